"""A board: which rows are compared, on what data, at which budget, and how they are ranked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, PrivateAttr

from colaflex import hints
from colaflex.errors import UserError
from colaflex.files.problems import KeyPath, Problem, SpecError, nearest
from colaflex.files.reading import user_path
from colaflex.files.yaml import Node
from colaflex.host.registry import registry
from colaflex.leaderboard.record import within
from colaflex.leaderboard.row import Row, row_specs
from colaflex.leaderboard.tuning_plan import TuningPlan
from colaflex.metrics.names import is_known, near_metric
from colaflex.metrics.rank import Rank, out_of_reach
from colaflex.spec import Spec
from colaflex.spec.canonical import canonical, sha256_of
from colaflex.spec.definition import Definition
from colaflex.spec.training import Section

if TYPE_CHECKING:
    from colaflex.leaderboard.tuning_space import RowSpace

__all__ = ["BOARDS", "NAME", "Board", "Tolerance", "board_path"]

BOARDS = Path("benchmarks") / "boards"
PROTOCOL_SCHEMA = 1
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.]{0,63}")
BOARD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
LETTERS, FIRST = "use at most 64 letters, digits and", "a letter or digit first"
Positive = Annotated[float, Field(gt=0, le=1e30)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Tolerance(Section):
    """How far a row may be off what the board asks for and still be ranked."""

    parameters: float = Field(
        0.02, gt=0, le=0.5, description="Relative difference of the total of parameters."
    )
    flops: float = Field(
        0.03, gt=0, le=0.5, description="Relative difference of the model FLOPs of training."
    )


class Board(Definition):
    """A board file; make one with `Board.load`, which checks all of it.

    Attributes beside the keys of the file: `path`, `results` (the folder of the records),
    `base_spec`, `specs` (of every row, before matching) and `spaces` (what is searched of each).
    """

    KIND = "a board"
    EXPECTED = "a map with board, base, parameters, budgets, rank, rows"

    board: str = Field(..., min_length=1, max_length=100, description="Name of the board.")
    parameters: int = Field(
        ..., ge=1, le=10**15, description="Parameters of every row, all parts together."
    )
    budgets: dict[str, Positive] = Field(
        ..., description="Model FLOPs of training by name, over all stages and teachers."
    )
    stage1_flops: float = Field(
        0.2, gt=0, lt=1, description="Fraction of a budget that stage 1 of a latent row takes."
    )
    tolerance: Tolerance = Field(Tolerance(), description="How far a row may be off.")
    seeds: tuple[Seed, ...] = Field((0,), max_length=1000, description="Seeds of every row.")
    rank: tuple[Rank, ...] = Field(
        ...,
        max_length=20,
        description="Metric that ranks; of a list of them, the first that a row has.",
    )
    show: tuple[str, ...] = Field((), max_length=100, description="Further metrics shown.")
    tuning: TuningPlan | None = Field(
        None, description="How every row is tuned alike; null: each has what its file says of it."
    )
    rows: dict[str, Row] = Field(..., description="The models by name.")

    _base: Spec = PrivateAttr()
    _specs: dict[str, Spec] = PrivateAttr(default_factory=dict)
    _spaces: dict[str, RowSpace] = PrivateAttr(default_factory=dict)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a board.

        Args:
            path: of a board file, or the name of one in benchmarks/boards.

        Raises:
            SpecError: lists everything that is wrong, with its place.
            UserError: the file can't be read.
        """
        return super().load(board_path(path))

    @classmethod
    def _full_form(cls, node: Node) -> Node:
        rank, tuning, rows = (node.child(key) for key in ("rank", "tuning", "rows"))
        if rank is not None and isinstance(rank.value, dict):
            node = node.with_entries({**node.entries, "rank": replace(rank, value=[rank])})
        if tuning is not None:
            node = node.with_entries({**node.entries, "tuning": _searched(tuning)})
        if rows is None:
            return node
        full = {name: _row_searched(row) for name, row in rows.entries.items()}
        return node.with_entries(
            {**node.entries, "rows": rows.with_entries(full) if full else rows}
        )

    def _problems(self, node: Node) -> Iterator[Problem]:
        if not BOARD_NAME.fullmatch(self.board):
            message = f"{self.board!r} is no name"
            yield node.problem(("board",), message, f"{LETTERS} _ . -, {FIRST}")
        for section, names in (("budgets", self.budgets), ("rows", self.rows)):
            if not names:
                yield node.problem((section,), "expected at least one")
            for name in names:
                if not NAME.fullmatch(name):
                    hint = f"{LETTERS} _ ., {FIRST}"
                    yield node.key_problem((section, name), f"{name!r} is no name", hint)
        yield from self._wrong_budgets(node)
        yield from self._wrong_seeds(node)
        yield from self._wrong_ranks(node)
        yield from self._wrong_metrics_shown(node)
        yield from self._wrong_tuning(node)

    def _wrong_budgets(self, node: Node) -> Iterator[Problem]:
        # Forward and backward pass take 6 FLOPs a parameter and token, embeddings aside.
        least = 6.0 * self.parameters
        names: dict[float, str] = {}
        for name, flops in self.budgets.items():
            path = ("budgets", name)
            if flops < least:
                message = f"{flops:.3g} FLOPs are too few to train {self.parameters:,} parameters"
                yield node.problem(path, message, f"one token alone takes about {least:.3g}")
            if flops in names:
                yield node.problem(path, f"the same FLOPs as {names[flops]}", "remove one")
            names[flops] = name

    def _wrong_seeds(self, node: Node) -> Iterator[Problem]:
        if not self.seeds:
            yield node.problem(("seeds",), "expected at least one")
        for index, seed in enumerate(self.seeds):
            if seed in self.seeds[:index]:
                yield node.problem(("seeds", index), f"{seed} stands twice", "remove one")

    def _wrong_ranks(self, node: Node) -> Iterator[Problem]:
        if not self.rank:
            yield node.problem(("rank",), "expected at least one")
        for index, rank in enumerate(self.rank):
            path: KeyPath = ("rank", index, "metric")
            if not is_known(rank.metric):
                message = f"there is no metric {rank.metric}"
                yield node.problem(path, message, near_metric(rank.metric))
            elif rank.metric in [before.metric for before in self.rank[:index]]:
                yield node.problem(path, "stands twice", "remove one")
            elif not rank.is_directed:
                message = f"nothing says which way {rank.metric} is better"
                hint = "add `better: higher` or `better: lower`"
                yield node.problem(path[:-1], message, hint)

    def _wrong_metrics_shown(self, node: Node) -> Iterator[Problem]:
        for index, name in enumerate(self.show):
            path: KeyPath = ("show", index)
            if not is_known(name):
                yield node.problem(path, f"there is no metric {name}", near_metric(name))
            elif name in self.show[:index]:
                yield node.problem(path, f"{name} stands twice", "remove one")

    def _wrong_tuning(self, node: Node) -> Iterator[Problem]:
        plan = self.tuning
        for name, row in self.rows.items():
            path: KeyPath = ("rows", name, "tuning")
            own = [key for key in ("runs", "flops") if key in row.tuning.model_fields_set]
            if plan is None and row.tuning.space is not None:
                message = "the board tunes no row, so that nothing is searched"
                yield node.key_problem((*path, "space"), message, "give the board `tuning`")
            elif plan is not None and own:
                message = "the board tunes all rows alike, by its own `tuning`"
                yield node.key_problem((*path, own[0]), message, "remove it")
        if plan is None:
            return
        if plan.seed in self.seeds:
            message = f"{plan.seed} is a seed of the board"
            yield node.problem(("tuning", "seed"), message, "take one that is not")
        if plan.budget is not None and plan.budget not in self.budgets:
            hint = nearest(plan.budget, self.budgets)
            yield node.problem(("tuning", "budget"), f"there is no budget {plan.budget}", hint)

    def _complete(self, base: Spec, node: Node) -> Self:
        self._base, self._specs = base, row_specs(self.rows, base, node)
        if problems := list(self._out_of_reach(node)):
            raise SpecError(problems)
        if self.tuning is not None:
            from colaflex.leaderboard.tuning_space import row_spaces

            self._spaces = row_spaces(self.tuning, self.rows, self._specs, self.stage1_flops, node)
        return self

    def _out_of_reach(self, node: Node) -> Iterator[Problem]:
        """Ranked metrics that no row can have, by what rows declare and the base spec measures."""
        for index, rank in enumerate(self.rank):
            if reason := out_of_reach(rank.metric, self._specs.values()):
                message = f"no row can have {rank.metric}: {reason}"
                yield node.problem(("rank", index, "metric"), message)

    @property
    def results(self) -> Path:
        """The folder of the records: results/NAME beside the folder of the board file."""
        return self._path.resolve().parent.parent / "results" / self.board

    @property
    def base_spec(self) -> Spec:
        """What all rows extend."""
        return self._base

    @property
    def specs(self) -> Mapping[str, Spec]:
        """The spec of every row: its budget, seed and widths are still those of the base."""
        return self._specs

    @property
    def spaces(self) -> Mapping[str, RowSpace]:
        """What is searched of every row; empty where the board tunes none."""
        return self._spaces

    def stage1_share(self, row: str) -> float:
        """The fraction of its budget that a row's stage 1 takes, where tuning says nothing."""
        return self.rows[row].stage1_flops or self.stage1_flops

    def tuned_at(self, budget: str) -> str:
        """The budget at which rows are tuned for a budget."""
        return budget if self.tuning is None else self.tuning.budget or budget

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics ranked and shown, each once."""
        return tuple(dict.fromkeys([*(rank.metric for rank in self.rank), *self.show]))

    def matches(self, parameters: float, flops: float, asked: float) -> bool:
        """Whether a model's size and its training's FLOPs are as near as they must be."""
        size = within(parameters, self.parameters, self.tolerance.parameters)
        return size and within(flops, asked, self.tolerance.flops)

    def protocol(self, data_digest: str) -> str:
        """Identifies what must be equal for two records to compare: sha256, hex.

        Covers corpus, tokenizer, data, evaluation, the limit of generated tokens, parameters,
        budgets and their share, tolerances, and how much all rows are tuned; neither rows nor
        which seeds there are.
        """
        plan, terms = self.tuning, self._terms(data_digest)
        return sha256_of(terms if plan is None else {**terms, "tuning": _amount(plan)})

    def trial_protocol(self, data_digest: str) -> str:
        """Identifies the same of trials, which more trials leave as they are."""
        return sha256_of(self._terms(data_digest))

    def _terms(self, data_digest: str) -> dict[str, Any]:
        base, known = self._base, registry()
        return {
            "schema": PROTOCOL_SCHEMA,
            "board": self.board,
            "data": data_digest,
            "corpus": canonical(base.corpus, known, contents=False),
            "tokenizer": canonical(base.tokenizer, known),
            "evaluation": canonical(base.evaluation, known),
            "max_new_tokens": base.sampling.max_new_tokens,
            "parameters": self.parameters,
            "budgets": dict(self.budgets),
            "stage1_flops": self.stage1_flops,
            "tolerance": self.tolerance.model_dump(),
        }


def _amount(plan: TuningPlan) -> dict[str, Any]:
    """How much is searched, whatever of which row."""
    return plan.model_dump(include={"trials", "fidelity", "samplings", "changes", "seed", "budget"})


def _searched(tuning: Node) -> Node:
    """A section with `space`, which may be the word `default`, in its full form."""
    space = tuning.child("space")
    if space is None or space.value != "default":
        return tuning
    return tuning.with_entries({k: v for k, v in tuning.entries.items() if k != "space"})


def _row_searched(row: Node) -> Node:
    tuning = row.child("tuning")
    if tuning is None:
        return row
    return row.with_entries({**row.entries, "tuning": _searched(tuning)})


def board_path(name: str | Path) -> Path:
    """The file of a board, by path or name; raises UserError with the nearest name."""
    path = user_path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file() or len(path.parts) > 1:
        return path
    known = BOARDS / f"{name}.yaml"
    if known.is_file():
        return known
    names = [file.stem for file in BOARDS.glob("*.yaml")]
    raise UserError(
        f"there is no board {str(name)!r} in {BOARDS}{hints.hint(str(name), names, 'boards')}; "
        "give its name or the path of a board file"
    )
