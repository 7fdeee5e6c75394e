"""Priors that are taught, under the real trainer: the latents that the teacher knows stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_models import rows, small_model
from torch import Tensor

from colaflex.interfaces.values import TokenBatch
from colaflex.latent.language_model import LatentLanguageModel
from colaflex.spec.training import Interval, StageSettings, Training
from colaflex.training.stage_plan import StagePlan, plan_stages
from colaflex.training.trainer import Trainer, TrainerOptions
from colaflex.training.watcher import Watcher

SETTINGS = StageSettings(steps=4, batch_size=4, learning_rate=5e-3, warmup_steps=0)


class Same:
    """The same few rows in every step."""

    def batch(self, step: int) -> TokenBatch:
        del step
        return rows([9, 4, 12, 7])


class Snapshots(Watcher):
    """The weights of each part at the end of each stage."""

    def __init__(self, model: LatentLanguageModel) -> None:
        self.model = model
        self.found: dict[str, dict[str, Tensor]] = {}

    def stage_ended(self, result: Any) -> None:
        state = self.model.state_dict()
        self.found[result["stage"]] = {name: value.clone() for name, value in state.items()}


def trained(model: LatentLanguageModel, folder: Path) -> tuple[dict[str, dict[str, Tensor]], Any]:
    """Weights after each stage, and the FLOPs that the trainer has counted."""
    plans = plan_stages(model.stages(), lambda name: SETTINGS)
    seen = Snapshots(model)

    def order(plan: StagePlan) -> Same:
        del plan
        return Same()

    options = TrainerOptions(folder, "digest")
    done = Trainer(model, plans, order, options, watchers=[seen]).train()
    return seen.found, {stage.stage: stage.flops for stage in done.stages}


def moved(one: dict[str, Tensor], other: dict[str, Tensor]) -> set[str]:
    """The parts of the model in which two states differ."""
    return {name.split(".")[0] for name in one if not torch.equal(one[name], other[name])}


REGIMES = ("joint", "interval", "scratch", "frozen")


@pytest.mark.parametrize("regime", REGIMES)
def test_a_student_learns_the_latents_that_its_teacher_knows(regime: Any, tmp_path: Path) -> None:
    model = small_model(
        Training(regime=regime, interval=Interval(joint_steps=1, frozen_steps=1)),
        prior="rectified_flow",
    )
    start = {name: value.clone() for name, value in model.state_dict().items()}
    weights, flops = trained(model, tmp_path)
    before = weights.get("representation", start)
    parts = moved(before, weights["teacher"])
    assert ("representation" in parts) == (regime != "frozen")
    assert moved(weights["teacher"], weights["prior"]) == {"prior"}
    # What is charged is what is done: of the representation, an encoder's pass.
    frozen = small_model(Training(regime="frozen"), prior="rectified_flow")
    _, cheapest = trained(frozen, tmp_path / "frozen")
    assert flops["prior"] == cheapest["prior"]
    assert (flops["teacher"] > cheapest["teacher"]) == (regime != "frozen")


def test_an_adopted_teacher_keeps_the_representation_at_rest(tmp_path: Path) -> None:
    teacher = small_model()
    model = small_model(Training(regime="joint"), prior="rectified_flow")
    model.prior.adopt_teacher(teacher.prior)
    assert [stage.name for stage in model.stages()] == ["representation", "prior"]
    weights, _ = trained(model, tmp_path)
    assert moved(weights["representation"], weights["prior"]) == {"prior"}


def test_priors_without_a_teacher_learn_along_with_the_representation(tmp_path: Path) -> None:
    model = small_model(Training(regime="joint"), prior="consistency")
    weights, _ = trained(model, tmp_path)
    assert moved(weights["representation"], weights["prior"]) == {"prior", "representation"}
