"""Schedules as specs said them before they were components: read alike, with the same digest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import colaflex
from colaflex.errors import UserError
from colaflex.spec import Spec

FLOW = "flow_matching"
DIGESTS = {
    "{}": "06e606969a4bab5defb66ce8",
    "{loc: 0.5}": "d2378518335a159a4a7902d8",
    "{distribution: logit_normal, loc: 2.0, scale: 0.5}": "f8b412494c597417b0f56831",
    "{distribution: uniform, loc: 1.0, scale: 1.0}": "e6be1b2a4600010469cd0ec9",
}
"""How those of the corpus bible and flow matching began before."""


def spec(schedule: Any, prior: str = FLOW) -> Spec:
    return Spec.parse({"corpus": "bible", "prior": {"type": prior, "schedule": schedule}})


@pytest.mark.parametrize(("said", "digest"), DIGESTS.items())
def test_a_schedule_said_as_before_has_its_digest(said: str, digest: str, tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(f"corpus: bible\nprior: {{type: flow_matching, schedule: {said}}}\n")
    assert Spec.load(path).digest().startswith(digest)
    assert Spec.of_run(path).prior.schedule == Spec.load(path).prior.schedule


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({"distribution": "uniform"}, "uniform"),
        ({"distribution": "uniform", "loc": 1.0, "scale": 1.0}, {"type": "uniform"}),
        ({"distribution": "logit_normal", "loc": 0.5}, {"type": "logit_normal", "loc": 0.5}),
        ({"loc": 0.5}, {"type": "logit_normal", "loc": 0.5}),
        ({}, "logit_normal"),
    ],
)
@pytest.mark.parametrize("prior", [FLOW, "consistency"])
def test_both_ways_to_say_it_mean_the_same(before: Any, now: Any, prior: str) -> None:
    assert spec(before, prior) == spec(now, prior)
    assert spec(before, prior).digest() == spec(now, prior).digest()
    built = colaflex.build("prior", prior, latent_dim=8, schedule=before)
    assert built.config.schedule == spec(now, prior).prior.schedule


@pytest.mark.parametrize("schedule", ["tangent", {"type": "logit_normal", "stratified": True}])
def test_what_could_not_be_said_before_has_a_digest_of_its_own(schedule: Any) -> None:
    changed = spec(schedule)
    assert changed.digest() != spec("logit_normal").digest()
    assert Spec.parse(changed.resolved()).digest() == changed.digest()


def test_a_schedule_that_lacks_its_type_is_the_default_one() -> None:
    """Unless it says a location, as of the law that all schedules once were."""
    assert spec({"stratified": True}, "consistency").prior.schedule.type == "uniform"
    assert spec({"stratified": True}).prior.schedule.type == "logit_normal"
    assert spec({"loc": 0.5}, "consistency").prior.schedule.type == "logit_normal"


def test_layers_agree_on_the_schedule_however_they_say_it() -> None:
    base = spec({"loc": 0.5, "scale": 2.0})
    uniform = base.override({"prior.schedule.distribution": "uniform"})
    assert uniform == spec("uniform")
    assert uniform.swap_report[0].dropped == {"loc": 0.5, "scale": 2.0}
    assert base.override({"prior.schedule.type": "uniform"}) == uniform
    assert base.override({"prior.schedule.loc": 1.5}) == spec({"loc": 1.5, "scale": 2.0})
    tangent = base.override({"prior.schedule": {"type": "tangent", "shift": 5}})
    assert tangent == spec({"type": "tangent", "shift": 5.0})
    assert base.override({"prior": "consistency"}).prior.schedule.loc == 0.5


def test_an_option_of_another_schedule_is_refused_not_a_reason_to_change_it() -> None:
    tangent = spec({"type": "tangent", "shift": 5})
    with pytest.raises(UserError, match=r"prior\.schedule\.loc: unknown key of tangent"):
        tangent.override({"prior.schedule.loc": 0.5})


def test_a_head_keeps_the_location_that_it_had_where_none_is_said() -> None:
    prior = {"type": "autoregressive_latent", "head": "diffusion"}
    plain = Spec.parse({"corpus": "bible", "prior": prior})
    assert plain.prior.diffusion.schedule.loc == 0.0
    said = plain.override({"prior.diffusion.schedule": {"loc": 0.0}})
    assert said.digest() == plain.digest()
    assert plain.override({"prior.diffusion.schedule.scale": 2}).prior.diffusion.schedule.loc == 1.0
