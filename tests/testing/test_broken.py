"""Components with one fault each: the kit catches them, and the right check says what is wrong."""

from __future__ import annotations

import re

import pytest
from broken import baselines, configs, densities, parts, priors, tasks

from colaflex.testing import check

FAULTS = {
    **priors.FAULTS,
    **densities.FAULTS,
    **configs.FAULTS,
    **parts.FAULTS,
    **baselines.FAULTS,
    **tasks.FAULTS,
}


def test_there_are_many() -> None:
    assert len(FAULTS) >= 60


@pytest.mark.parametrize("broken", FAULTS, ids=lambda c: c.__name__)
def test_it_is_caught_and_named(broken: type) -> None:
    name, said = FAULTS[broken]
    (result,) = check(broken, only=[name])
    assert result.status == "failed", result
    assert re.search(said, result.message), result.message


def test_a_sound_prior_with_a_density_passes_all() -> None:
    results = check(densities.Chain)
    assert {r.name for r in results if r.status == "failed"} == set(), results
    passed = {r.name for r in results if r.status == "passed"}
    assert {"prior.density", "prior.integrates", "prior.fits", "prior.recovers"} <= passed


def test_a_sound_baseline_passes_all() -> None:
    results = check(baselines.Unigram)
    assert {r.name for r in results if r.status == "failed"} == set(), results
    assert "baseline.likelihood" in {r.name for r in results if r.status == "passed"}
