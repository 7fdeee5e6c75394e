from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colaflex.interfaces.metric import Measurement
from colaflex.metrics.measurements import left_out, measurements_of
from colaflex.metrics.names import ROWS
from colaflex.report import print_summary
from colaflex.report.curves import _smooth, _thin, course
from colaflex.report.drawing import elide, spread
from colaflex.report.run_record import clean, components
from colaflex.report.tables import generation_of, sweeps_of


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


def test_words_of_a_sweep_stand_behind_its_numbers() -> None:
    values = ("law", "0.5", "0", "ddpm", "10")
    metrics = {
        f"generation.at_renoise.{value}.x": Measurement(float(i), i - 1.0, i + 1.0, 3)
        for i, value in enumerate(values)
    }
    metrics["speed.at_renoise.ddpm.network_evaluations_per_block"] = Measurement(4, 4, 4, 1)
    (sweep,) = sweeps_of(metrics)
    assert [at for at, _ in sweep.lines()] == ["0", "0.5", "10", "ddpm", "law"]
    assert [at for at, _ in sweep.points("x")] == [0.0, 0.5, 10.0]
    assert [cell and cell.value for cell in dict(sweep.lines())["ddpm"]] == ["4.00", "3"]
    assert sweep.table["ddpm", "network_evaluations"].value == 4


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
    assert measurements_of({"metrics": {"a": None, "b": 2}})["b"].value == 2.0


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
