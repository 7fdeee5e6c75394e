"""Names of metrics: taken apart, described, and what compares with a sweep."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colaflex.interfaces.metric import Measurement
from colaflex.metrics.catalogue import DIVERSITY, HEADLINES, METRICS, QUALITY
from colaflex.metrics.names import beside, describe, place
from colaflex.report.tables import generation_of, sweeps_of


@pytest.mark.parametrize(
    ("name", "family", "metric", "row", "axis", "at"),
    [
        ("generation.distinct_2", "generation", "distinct_2", "model", None, None),
        ("generation.real.distinct_2", "generation", "distinct_2", "real", None, None),
        ("generation.at_steps.16.judge_nll", "generation", "judge_nll", "model", "steps", 16.0),
        ("generation.at_guidance.1.5.kl.a", "generation", "kl.a", "model", "guidance", 1.5),
        ("speed.at_steps.4.tokens_per_second", "speed", "tokens_per_second", "model", "steps", 4.0),
        ("speed.seconds_per_sample", "speed", "seconds_per_sample", "model", None, None),
        ("generation.at_temperature.0.x", "generation", "x", "model", "temperature", 0.0),
        ("generation.real", "generation", "real", "model", None, None),
        ("generation.at_grid.law.x", "generation", "x", "model", "grid", None),
        ("generation.at_renoise.0.real.x.y", "generation", "x.y", "real", "renoise", 0.0),
        ("generation.other.thing", "generation", "other.thing", "model", None, None),
        ("generation.other.distinct_2", "generation", "distinct_2", "other", None, None),
        ("generation.copying.distinct_2", "generation", "copying.distinct_2", "model", None, None),
        ("task.lambada.accuracy", "task", "lambada.accuracy", "model", None, None),
        ("loose", "loose", "", "model", None, None),
    ],
)
def test_names_are_taken_apart(
    name: str, family: str, metric: str, row: str, axis: str | None, at: float | None
) -> None:
    placed = place(name)
    assert (placed.family, placed.metric, placed.row, placed.axis, placed.at) == (
        family,
        metric,
        row,
        axis,
        at,
    )


def test_a_point_of_a_grid_has_several_settings() -> None:
    placed = place("generation.at_guidance.1.5.at_temperature.0.7.distinct_2")
    assert placed.point == (("guidance", 1.5), ("temperature", 0.7))
    assert (placed.metric, placed.axis, placed.at) == ("distinct_2", None, None)
    assert placed.canonical == "generation.distinct_2"


@pytest.mark.parametrize(
    ("named", "value"),
    [
        *[(word, word) for word in ("law", "power(0.5)", "prefix(1)", "data_end", "true")],
        *[(ends, ends) for ends in ("0-0.5", "0.25-1", "1e-05-0.7")],
        *[("1", 1.0), ("0.5", 0.5), ("1e-05", 1e-5), ("-1", -1.0)],
    ],
)
def test_a_swept_value_is_a_number_a_word_or_an_interval(named: str, value: float | str) -> None:
    for family, metric in (("generation", "distinct_2"), ("speed", "tokens_per_second")):
        placed = place(f"{family}.at_some_option.{named}.{metric}")
        assert (placed.point, placed.metric) == ((("some_option", value),), metric)


@given(st.text())
def test_any_name_can_be_described(name: str) -> None:
    place(name)
    assert isinstance(describe(name).label, str)
    assert isinstance(describe(f"generation.at_steps.2.{name}").label, str)


def test_descriptions() -> None:
    assert describe("generation.at_steps.4.real_thing").label == "real thing"
    assert describe("generation.trigram.distinct_3").label == "distinct 3-grams"
    assert describe("task.lambada.accuracy").label == "lambada"
    assert describe("generation.brier_lm").label == "BrierLM"
    assert describe("generation.brier_2").label == "Brier, n = 2"
    for name in (*HEADLINES, *(f"generation.{m}" for m in (*QUALITY, *DIVERSITY))):
        assert any(fnmatchcase(name, pattern) for pattern in METRICS)


def of(value: float, n: int) -> Measurement:
    return Measurement(value, value - 0.1, value + 0.1, n)


OLD = {
    "generation.unigram_entropy": of(4.4, 64),
    "generation.real.unigram_entropy": of(4.5, 64),
    "generation.judge_nll": of(3.6, 64),
    "generation.real.judge_nll": of(3.1, 64),
    "generation.at_steps.4.unigram_entropy": of(3.9, 16),
    "generation.at_steps.8.unigram_entropy": of(4.0, 16),
}
NEW = {
    **OLD,
    "generation.at_samples.16.unigram_entropy": of(4.0, 15),
    "generation.at_samples.16.real.unigram_entropy": of(4.1, 15),
}


def test_what_hangs_on_the_number_of_texts() -> None:
    sized = {pattern for pattern, info in METRICS.items() if info.sized}
    assert sized == {
        "generation.unigram_entropy", "generation.distinct_?", "generation.distinct_documents",
        "generation.kl*pair*", "generation.kl*",
    }  # fmt: skip
    assert describe("generation.at_samples.16.real.distinct_2").sized


@pytest.mark.parametrize("row", ["", "real."])
def test_references_beside_a_sweep_are_of_as_many_texts(row: str) -> None:
    name = f"generation.{row}unigram_entropy"
    assert beside(OLD, name, 16) is None  # 64 texts say more than 16
    assert beside(OLD, name, 64) == OLD[name]
    assert beside(NEW, name, 16) == NEW[f"generation.at_samples.16.{row}unigram_entropy"]
    nll = f"generation.{row}judge_nll"
    assert beside(OLD, nll, 16) == OLD[nll]
    assert beside(NEW, "generation.trigram.unigram_entropy", 16) is None


def test_the_number_of_texts_is_no_sweep_and_no_row_of_its_own() -> None:
    at = place("generation.at_samples.16.real.unigram_entropy")
    assert (at.row, at.metric, at.point) == ("real", "unigram_entropy", (("samples", 16.0),))
    assert [sweep.axis for sweep in sweeps_of(NEW)] == ["steps"]
    generation = generation_of(NEW)
    assert generation.at("real", "unigram_entropy") == of(4.5, 64)
    assert generation.beside("real", "unigram_entropy", 16) == of(4.1, 15)
    assert generation_of(OLD).beside("real", "unigram_entropy", 16) is None
