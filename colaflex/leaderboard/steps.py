"""How many steps of each stage take the FLOPs that a board allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from colaflex.errors import UserError
from colaflex.experiment.prepared import Prepared, prepare
from colaflex.experiment.run_options import RunOptions
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.cells import Job, asked_flops
from colaflex.spec import Spec
from colaflex.training.stage_loop import Share, prepared_batch
from colaflex.training.stage_plan import BatchOrder, StagePlan, plan_stages

__all__ = ["Steps", "solve_steps"]

STAGE1 = "representation"
SUMMED = 4096
"""Steps whose FLOPs are summed one by one; of longer stages, so many, evenly spread."""
ROUNDS, NEAR = 16, 1e-3


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps by the name of the settings they stand in, and the FLOPs that they come to."""

    steps: dict[str, int]
    flops: int


def solve_steps(board: Board, job: Job, spec: Spec, share: float) -> Steps:
    """The steps of every stage of a row of solved size.

    Stage 1 has its share of the budget; what it leaves, the other stages and teachers divide as
    their shares say. What a step takes depends on its batch: the batches of the very order are
    counted.

    Args:
        board: the board.
        job: which of its runs.
        spec: of the run, its steps aside.
        share: the fraction of the run's FLOPs that stage 1 takes.

    Raises:
        UserError: the run's FLOPs are less than a step takes.
    """
    options = RunOptions(device="cpu", quiet=True)
    prepared = prepare(spec, Path(), options)
    prepared.check()
    costs = _Costs(prepared)
    budget, steps, spent = asked_flops(board, job), dict[str, int](), 0
    names = list(dict.fromkeys(stage.settings for stage in costs.stages))
    if STAGE1 in names and spec.baseline is None:
        names.remove(STAGE1)
        steps, spent = costs.solve([STAGE1], share * budget, steps)
    first = spent
    steps, spent = costs.solve(names, budget - first, steps)
    # A stage may have no step in which another has many; a budget may not be passed by far.
    if first + spent > (1 + board.tolerance.flops) * budget and min(steps.values()) == 1:
        raise UserError(
            f"{board.path}: budgets.{job.budget}: {budget:.3g} FLOPs are too few for the row "
            f"{job.row}: one step of each stage takes {first + spent:.3g}"
        )
    return Steps(steps, first + spent)


class _Costs:
    """FLOPs of the steps of an experiment, each counted once."""

    def __init__(self, prepared: Prepared) -> None:
        self.prepared = prepared
        self.stages = prepared.model.stages()
        self._orders: dict[str, BatchOrder] = {}
        self._known: dict[tuple[str, int], int] = {}

    def solve(
        self, names: Sequence[str], asked: float, fixed: Mapping[str, int]
    ) -> tuple[dict[str, int], int]:
        """Steps of the settings `names` that take nearly `asked`, beside those that are fixed."""
        training = self.prepared.spec.training
        parts = {name: max(1, training.for_stage(name).steps) for name in names}
        whole = sum(parts.values())

        def shared(total: int) -> dict[str, int]:
            return {name: max(1, round(total * part / whole)) for name, part in parts.items()}

        total, low, high = 8 * len(names), 0, 0  # 0: no bound yet
        best: tuple[dict[str, int], int] = ({}, 0)
        for _ in range(ROUNDS):
            steps = {**fixed, **shared(total)}
            flops = self._flops(names, steps)
            if not best[0] or abs(flops - asked) < abs(best[1] - asked):
                best = (steps, flops)
            low, high = (total, high) if flops <= asked else (low, total)
            guess = max(round(total * asked / flops), low + 1)
            total = min(guess, high - 1) if high else guess
            if abs(flops / asked - 1) < NEAR or total <= low:
                break
        return best

    def _flops(self, names: Sequence[str], steps: Mapping[str, int]) -> int:
        training = self.prepared.spec.training
        plans = plan_stages(
            self.stages,
            lambda name: training.for_stage(name).model_copy(update={"steps": steps.get(name, 1)}),
        )
        return sum(self._stage(plan) for plan in plans if plan.stage.settings in names)

    def _stage(self, plan: StagePlan) -> int:
        counted = min(plan.steps, SUMMED)
        chosen = [index * plan.steps // counted for index in range(counted)]
        total = sum(self._step(plan, step) for step in chosen)
        return total if counted == plan.steps else round(total * plan.steps / counted)

    def _step(self, plan: StagePlan, step: int) -> int:
        key = plan.stage.name, step
        if key not in self._known:
            prepared, name = self.prepared, plan.stage.settings
            if name not in self._orders:
                self._orders[name] = prepared.order(plan)
            order, seed = self._orders[name], prepared.spec.seed
            batch, _, _ = prepared_batch(plan, order, seed, step, Share())
            self._known[key] = plan.stage.flops(batch)
        return self._known[key]
