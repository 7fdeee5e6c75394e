"""The grid of a board: a run for every row, budget and seed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from colaflex.errors import UserError
from colaflex.hints import hint
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.tuning_plan import TuningPlan
from colaflex.spec import Spec

__all__ = ["Cell", "Job", "Trial", "asked_flops", "grid", "job_spec", "tuning_of"]


SWEEPS = (
    *("evaluation.sweep_steps", "evaluation.sweep_drawn_steps", "evaluation.sweep_guidance"),
    "evaluation.sweep_temperature",
)


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One run of a board."""

    row: str
    budget: str
    seed: int

    @property
    def name(self) -> str:
        """`ROW-BUDGET-sSEED`, the name of its run folder."""
        return f"{self.row}-{self.budget}-s{self.seed}"


@dataclass(frozen=True, slots=True, order=True)
class Trial:
    """One trial of the tuning of a row at a budget."""

    row: str
    budget: str
    number: int

    @property
    def name(self) -> str:
        """`ROW-BUDGET-tNUMBER`, the name of its run folder."""
        return f"{self.row}-{self.budget}-t{self.number:04d}"


Job = Cell | Trial
"""What a bench runs."""


def grid(
    board: Board, rows: Sequence[str] = (), budgets: Sequence[str] = (), seeds: Sequence[int] = ()
) -> list[Cell]:
    """The cells of a board, or those of some rows, budgets and seeds (none named: all).

    Seeds run fastest, so that workers side by side train different representations.

    Raises:
        UserError: the board has no such row, budget or seed.
    """
    _known("row", rows, board.rows)
    _known("budget", budgets, board.budgets)
    _known("seed", [str(seed) for seed in seeds], [str(seed) for seed in board.seeds])
    return [
        Cell(row, budget, seed)
        for budget in board.budgets
        if not budgets or budget in budgets
        for row in board.rows
        if not rows or row in rows
        for seed in board.seeds
        if not seeds or seed in seeds
    ]


def _known(what: str, asked: Sequence[str], known: Collection[str]) -> None:
    for name in asked:
        if name not in known:
            raise UserError(f"the board has no {what} {name!r}{hint(name, known, f'{what}s')}")


def asked_flops(board: Board, job: Job) -> float:
    """Model FLOPs of training that a run should take."""
    budget = board.budgets[job.budget]
    return budget if isinstance(job, Cell) else budget * tuning_of(board).fidelity


def job_spec(board: Board, job: Job, values: Mapping[str, Any]) -> Spec:
    """The spec of a run, with what was chosen and solved for.

    A trial is measured by what the board ranks and shows: at no sweep, by no other task.

    Args:
        board: the board.
        job: which of its runs.
        values: by key path of the spec: what tuning has chosen, widths and steps.
    """
    if isinstance(job, Cell):
        own: dict[str, Any] = {"seed": job.seed}
    else:
        own = {"seed": tuning_of(board).seed, **_measured_in_trials(board)}
    named = {"name": f"{board.board}-{job.name}"}
    return board.specs[job.row].override({**named, **own, **values})


def tuning_of(board: Board) -> TuningPlan:
    """How a board tunes its rows; it does, or there are no trials of it."""
    assert board.tuning is not None
    return board.tuning


def _measured_in_trials(board: Board) -> dict[str, Any]:
    off: dict[str, Any] = {key: [] for key in SWEEPS}
    swept = board.base_spec.evaluation.sweep_sampling.values()
    off |= {f"evaluation.sweep_sampling.{name}": [] for name in swept}
    families = {name.partition(".")[0] for name in board.metrics}
    if "task" not in families:
        off["evaluation.tasks"] = []
    if "likelihood" not in families:
        off["evaluation.likelihood"] = False
    if not any("judge" in name for name in board.metrics):
        off["evaluation.judge.enabled"] = False
    return off
