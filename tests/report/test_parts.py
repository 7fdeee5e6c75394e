from __future__ import annotations

import io
import math
from fnmatch import fnmatchcase
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colaflex.interfaces.metric import Measurement
from colaflex.report import print_summary
from colaflex.report.curves import _smooth, _thin, course
from colaflex.report.metrics import DIVERSITY, HEADLINES, METRICS, QUALITY, ROWS, describe, place
from colaflex.report.numbers import compact, decimals, duration, interval, number, with_unit
from colaflex.report.record import clean, components, left_out, measurements
from colaflex.report.sections import generation_of, sweeps_of
from colaflex.report.style import elide, spread


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


def test_sweeps_and_rows_keep_apart() -> None:
    names = [
        "generation.x",
        "generation.real.x",
        "generation.at_guidance.1.5.x",
        "generation.at_steps.16.x",
        "generation.at_steps.2.x",
        "generation.at_steps.2.network_evaluations",
    ]
    metrics = {name: Measurement(float(i), i - 1.0, i + 1.0, 3) for i, name in enumerate(names)}
    generation, sweeps = generation_of(metrics), sweeps_of(metrics)
    assert generation.rows == ["model", "real"] and generation.metrics == ["x"]
    assert [sweep.axis for sweep in sweeps] == ["steps", "guidance"]
    assert [(at, m.value) for at, m in sweeps[0].points("x")] == [(2.0, 4.0), (16.0, 3.0)]
    assert sweeps[0].evaluations == {}
    assert next(iter(ROWS)) == "model"


def test_each_line_of_a_grid_is_a_sweep_of_its_own() -> None:
    names = [
        f"generation.{guidance}at_temperature.{temperature}.x"
        for guidance in ("", "at_guidance.1.", "at_guidance.2.")
        for temperature in (0, 1)
    ]
    metrics = {name: Measurement(float(i), i - 1.0, i + 1.0, 3) for i, name in enumerate(names)}
    metrics["speed.at_steps.2.network_evaluations_per_block"] = Measurement(4, 4, 4, 1)
    metrics["generation.at_steps.2.x"] = Measurement(7, 7, 7, 1)
    assert generation_of(metrics).metrics == []
    sweeps = sweeps_of(metrics)
    assert [sweep.title for sweep in sweeps] == [
        "steps",
        "temperature",
        "temperature at guidance 1",
        "temperature at guidance 2",
    ]
    assert sweeps[0].evaluations == {2.0: 4.0}
    assert [(at, m.value) for at, m in sweeps[2].points("x")] == [(0.0, 2.0), (1.0, 3.0)]


@pytest.mark.parametrize(
    ("value", "text"),
    [(2_712_320, "2.71 M"), (3.1e14, "310 T"), (999_600, "1.00 M"), (12, "12.0"), (0, "0")],
)
def test_compact(value: float, text: str) -> None:
    assert compact(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.25 s"), (59.6, "1 min"), (371, "6 min 11 s"), (7200, "2 h"), (2e5, "2 d 7 h")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_numbers_show_what_the_interval_supports() -> None:
    measured = Measurement(0.99781, 0.9974, 0.9982, 100)
    places = decimals([measured], "share")
    assert (number(measured.value, "share", places), interval(measured, "share", places)) == (
        "99.78",
        "99.74 – 99.82",
    )
    assert number(0.644, "share") == "64.4"
    assert number(-8.32, "", 2) == "−8.32" and number(-0.001, "", 2) == "0.00"
    assert interval(Measurement(0, -1.0, 1.0, 2), "", 1) == "−1.0 to 1.0"
    assert interval(Measurement(1, math.nan, 1, 2)) == "" and decimals([]) is None
    assert with_unit("5.31 k", "tokens/s") == "5.31 k tokens/s"
    assert with_unit("1.13 G", "bytes") == "1.13 GB"
    assert with_unit("61.0", "share") == "61.0 %"


@given(st.floats(allow_nan=True, allow_infinity=True), st.sampled_from(["", "share", "bytes"]))
def test_every_float_can_be_printed(value: float, unit: str) -> None:
    assert "nan" not in number(value, unit) and "inf" not in number(value, unit)
    compact(value)
    duration(abs(value))


@given(
    st.recursive(
        st.text() | st.floats() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_cleaning_is_idempotent_and_leaves_text_encodable(value: object) -> None:
    once = clean(value)
    assert repr(clean(once)) == repr(once)
    repr(once).encode()


def test_components_in_either_form() -> None:
    listed = [{"kind": "prior", "name": "p", "distribution": "d", "version": 2}]
    keyed = {"prior": {"type": "d:p", "version": "2"}, "corpus": "colaflex:bible"}
    assert components({"components": listed}) == components({"components": keyed})[:1]
    assert components({"components": keyed})[1].name == "bible"
    assert components({"components": {"prior": ["d:p", "2"]}}) == components({"components": listed})
    assert components({}) == [] and components({"components": None}) == []
    assert measurements({"metrics": {"a": None, "b": 2}})["b"].value == 2.0


@given(st.lists(st.floats(-100, 100), max_size=12), st.floats(0.1, 5))
def test_spread_labels_keep_order_and_distance(positions: list[float], gap: float) -> None:
    placed = spread(positions, gap)
    ordered = [place for _, place in sorted(zip(positions, placed, strict=True))]
    assert all(b - a >= gap - 1e-9 for a, b in pairwise(ordered))


def test_thinned_curves_keep_spikes_and_ends() -> None:
    values = np.sin(np.arange(5000) / 300)
    values[1234], values[4321] = 9.0, -9.0
    x, y = _thin(np.arange(5000.0), values)
    assert len(x) <= 700 and y.max() == 9.0 and y.min() == -9.0
    assert (x[0], x[-1]) == (0.0, 4999.0)


def test_smoothing_keeps_constants_and_bounds() -> None:
    np.testing.assert_allclose(_smooth(np.full(500, 3.0)), 3.0)
    noise = np.random.default_rng(0).normal(size=2000)
    assert _smooth(noise).std() < 0.3 * noise.std()
    assert len(_smooth(np.ones(2))) == 2


def test_elide() -> None:
    assert elide("a \n b") == "a b"
    assert elide("x" * 50, 10) == "x" * 9 + "…"


@pytest.mark.filterwarnings("error")
def test_what_only_a_short_stage_recorded_is_drawn_with_all_stages() -> None:
    history = [{"stage": "short", "step": step, "gradient_norm": 1.0 + step} for step in (2, 4)]
    history += [{"stage": "long", "step": step} for step in (2, 90)]
    ((figure,), _) = course(history)
    assert "short" in figure.svg and "long" in figure.svg


def test_what_was_left_out_is_told_with_its_reason_without_points_of_sweeps() -> None:
    names = ["likelihood.bits_per_byte", "generation.real.judge_nll_per_byte"]
    swept = "generation.at_temperature.0.7.judge_nll_per_byte"
    result = {"left_out": dict.fromkeys([*names, swept], "no such bytes")}
    assert left_out(result) == [(name, "no such bytes") for name in names]
    assert left_out({}) == left_out({"left_out": 3}) == []
    shown = io.StringIO()
    print_summary(result, shown)
    lines = shown.getvalue().splitlines()
    assert lines[-2:] == [f"{name} is left out: no such bytes" for name in names]
