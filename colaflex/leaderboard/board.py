"""A board: which rows are compared, on what data, at which budget, and how they are ranked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, PrivateAttr, model_validator

from colaflex import hints
from colaflex.errors import UserError
from colaflex.files.problems import Problem, SpecError
from colaflex.files.reading import user_path
from colaflex.files.yaml import read_file
from colaflex.host.registry import registry
from colaflex.metrics.rank import Rank
from colaflex.spec import Spec
from colaflex.spec.base import base_spec
from colaflex.spec.canonical import canonical, sha256_of
from colaflex.spec.resolve import Resolver
from colaflex.spec.training import Section

__all__ = ["BOARDS", "Board", "Row", "Tolerance", "Tuning", "board_path"]

BOARDS = Path("benchmarks") / "boards"
PROTOCOL_SCHEMA = 1
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


class Tuning(Section):
    """What it took to choose the options of a row: shown, and no part of its budget."""

    runs: int = Field(0, ge=0, le=1_000_000, description="Runs that were tried beforehand.")
    flops: float | None = Field(
        None, ge=0, le=1e30, description="Their model FLOPs; null: a budget each."
    )
    note: str = Field("", max_length=1000, description="How the options were chosen.")


class Row(Section):
    """A model on the board."""

    set: dict[str, Any] = Field({}, description="Values by key path, over the base spec.")
    width: str | None = Field(
        None, description="Key path of the width that is solved for; null finds the usual one."
    )
    fine: str | None = Field(
        None,
        description="Key path of the option that meets the parameters where widths are too "
        "coarse; null takes `feed_forward_ratio` or `ratio` beside the width.",
    )
    tuning: Tuning = Field(Tuning(), description="What it took to choose the options.")


class Board(Section):
    """A board file; make one with `Board.load`, which checks all of it.

    Attributes beside the keys of the file: `path`, `results` (the folder of the records),
    `base_spec`, `specs` (of every row, before matching) and `ranking`.
    """

    board: str = Field(..., min_length=1, max_length=100, description="Name of the board.")
    title: str = Field("", max_length=200, description="Title, for people.")
    summary: str = Field("", max_length=10_000, description="A paragraph on what is compared.")
    base: Path | None = Field(None, description="Spec that all rows extend.")
    spec: dict[str, Any] | None = Field(None, description="That spec, in place.")
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
    rows: dict[str, Row] = Field(..., description="The models by name.")

    _path: Path = PrivateAttr(default=Path())
    _base: Spec = PrivateAttr()
    _specs: dict[str, Spec] = PrivateAttr(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _know_components(cls, data: Any) -> Any:
        registry()
        return data

    @classmethod
    def load(cls, name: str | Path) -> Self:
        """Read a board.

        Args:
            name: a path of a board file, or the name of one in benchmarks/boards.

        Raises:
            SpecError: lists everything that is wrong, with its place.
            UserError: the file can't be read.
        """
        from colaflex.leaderboard.board_checks import problems_of, row_specs

        path = board_path(name)
        node = read_file(path)
        if not isinstance(node.value, dict):
            message = "expected a map with board, base, parameters, budgets, rank, rows"
            raise SpecError([Problem(node.origin, (), message)])
        resolver, rank = Resolver(registry()), node.child("rank")
        if rank is not None and isinstance(rank.value, dict):
            node = node.with_entries({**node.entries, "rank": replace(rank, value=[rank])})
        found = resolver.model(cls, node)
        if not isinstance(found, cls) or resolver.problems:
            raise SpecError(resolver.problems)
        found._path = path
        if problems := list(problems_of(found, node)):
            raise SpecError(problems)
        found._base = base_spec(node)
        found._specs = row_specs(found, node)
        return found

    @property
    def path(self) -> Path:
        """The board file."""
        return self._path

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
    def ranking(self) -> tuple[Rank, ...]:
        """What ranks, first to last."""
        return self.rank

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics ranked and shown, each once."""
        return tuple(dict.fromkeys([*(rank.metric for rank in self.ranking), *self.show]))

    def protocol(self, data_digest: str) -> str:
        """Identifies what must be equal for two records to compare: sha256, hex.

        Covers corpus, tokenizer, data, evaluation, the limit of generated tokens, parameters,
        budgets and their share, and tolerances; neither rows nor which seeds there are.
        """
        base, known = self._base, registry()
        return sha256_of(
            {
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
        )


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
