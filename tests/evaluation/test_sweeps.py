"""Which settings are swept, and which a model takes no notice of."""

from __future__ import annotations

from pathlib import Path

import pytest

import colaflex
from colaflex.evaluation.plan import EvaluationPlan
from colaflex.evaluation.sweeps import sweep_points
from colaflex.generation.text import GenerationOptions
from colaflex.latent.model import LatentModel
from colaflex.spec.sections import SamplingSweep

NONE = {"sweep_steps": (), "sweep_guidance": ()}
OPTIONS = GenerationOptions(steps=3, guidance=1.5, temperature=0.2)
PLAN = EvaluationPlan(
    sweep_steps=(1, 4), sweep_guidance=(1.0, 2.5), sweep_temperature=(0.0, 0.7), guided=True
)


@pytest.fixture(scope="module")
def flow(finished: Path) -> LatentModel:
    """A model whose prior heeds both steps and guidance."""
    model = colaflex.load(finished).model
    assert isinstance(model, LatentModel)
    return model


def test_one_setting_moves_and_the_others_stay(flow: LatentModel) -> None:
    points = {p.name: p.options for p in sweep_points(flow, OPTIONS, PLAN)}
    assert points == {
        "at_steps.1": OPTIONS.but(steps=1),
        "at_steps.4": OPTIONS.but(steps=4),
        "at_guidance.1": OPTIONS.but(guidance=1.0),
        "at_guidance.2.5": OPTIONS.but(guidance=2.5),
        "at_temperature.0": OPTIONS.but(temperature=0.0),
        "at_temperature.0.7": OPTIONS.but(temperature=0.7),
    }


def test_a_grid_has_every_pair_besides(flow: LatentModel) -> None:
    plan = EvaluationPlan(
        sweep_steps=(),
        sweep_guidance=(1.0, 2.0),
        sweep_temperature=(0.0, 0.5, 1.0),
        sweep_grid=True,
        guided=True,
    )
    points = {p.name: p.options for p in sweep_points(flow, OPTIONS, plan)}
    assert len(points) == 2 + 3 + 2 * 3
    both = points["at_guidance.2.at_temperature.0.5"]
    assert both == OPTIONS.but(guidance=2.0, temperature=0.5)


def test_drawn_steps_are_steps_by_drawn_estimates(flow: LatentModel) -> None:
    said: list[str] = []
    plan = EvaluationPlan(**NONE, sweep_drawn_steps=(2, 4), draws=True)
    points = {p.name: p.options for p in sweep_points(flow, OPTIONS, plan, said.append)}
    assert points == {
        "at_drawn_steps.2": OPTIONS.but(steps=2, estimate="draw"),
        "at_drawn_steps.4": OPTIONS.but(steps=4, estimate="draw"),
    }
    assert sweep_points(flow, OPTIONS, plan.model_copy(update={"draws": False}), said.append) == []
    assert said == ["evaluation: no sweep over drawn_steps, as this model draws no estimates"]


@pytest.mark.parametrize("guided", [False, None])
def test_what_changes_nothing_is_left_out_with_a_word(finished: Path, guided: bool | None) -> None:
    """A Gaussian prior has neither steps nor guidance, whether it declares so or shows it."""
    model = colaflex.load(finished).model
    assert isinstance(model, LatentModel)
    model.prior = colaflex.build("prior", "gaussian", latent_dim=4, block_size=2)
    said: list[str] = []
    plan = EvaluationPlan(
        sweep_steps=(1, 4), sweep_guidance=(2.0,), sweep_temperature=(0.5,), guided=guided
    )
    points = sweep_points(model, OPTIONS, plan, said.append)
    assert [p.name for p in points] == ["at_temperature.0.5"]
    assert ["steps" in said[0], "guidance" in said[1]] == [True, True]


def test_any_option_of_the_prior_may_be_swept(flow: LatentModel) -> None:
    said: list[str] = []
    swept = SamplingSweep(
        renoise=(0.0, "ddpm"),
        grid=("power(0.5)",),
        guidance_interval=((0.0, 0.5),),
        reencode=(True,),
        noise_temperature=(0.8,),
    )
    plan = EvaluationPlan(**NONE, sweep_sampling=swept, unfit=frozenset({"noise_temperature"}))
    points = {p.name: p.options for p in sweep_points(flow, OPTIONS, plan, said.append)}
    assert points == {
        "at_reencode.true": OPTIONS.but(reencode=True),
        "at_renoise.0": OPTIONS,
        "at_renoise.ddpm": OPTIONS.but(renoise="ddpm"),
        "at_grid.power(0.5)": OPTIONS.but(grid="power(0.5)"),
        "at_guidance_interval.0-0.5": OPTIONS.but(guidance_interval=(0.0, 0.5)),
    }
    unguided = OPTIONS.but(guidance=1.0)
    assert len(sweep_points(flow, unguided, plan, said.append)) == 4
    assert said == [
        *2 * ["evaluation: no sweep over noise_temperature, of which this model takes no notice"],
        "evaluation: no sweep over guidance_interval, as sampling.guidance is 1, off",
    ]


def test_guidance_shows_in_what_sampling_costs(flow: LatentModel) -> None:
    plan = EvaluationPlan(sweep_steps=(), sweep_guidance=(2.0,))
    assert [p.name for p in sweep_points(flow, OPTIONS, plan)] == ["at_guidance.2"]


def test_nothing_asked_for_is_nothing_said(flow: LatentModel) -> None:
    said: list[str] = []
    assert sweep_points(flow, OPTIONS, EvaluationPlan(**NONE), said.append) == []
    assert said == []
