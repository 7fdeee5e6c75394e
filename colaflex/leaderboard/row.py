"""The rows of a board: what each sets over the base spec, and what can be wrong with that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import Field

from colaflex.errors import UserError
from colaflex.files.problems import KeyPath, Problem, SpecError
from colaflex.files.yaml import Node
from colaflex.leaderboard.solved_options import finer_option, knob, usual_width
from colaflex.spec import Spec
from colaflex.spec.training import Section

__all__ = ["Row", "Tuning", "is_shared", "row_specs", "unsettable"]

MEASURED = ("corpus", "tokenizer", "evaluation", "spec_version")
"""Sections by which all rows are measured alike."""
OF_RUNS = ("seed", "name", "requires")
"""What runs have of their own, or need."""


def is_shared(path: str) -> bool:
    """Whether an option says how rows are measured: then it is the base spec's for all of them."""
    return path.partition(".")[0] in MEASURED or path == "sampling.max_new_tokens"


class Tuning(Section):
    """What it took to choose the options of a row: shown, and no part of its budget."""

    runs: int = Field(0, ge=0, le=1_000_000, description="Runs that were tried beforehand.")
    flops: float | None = Field(
        None, ge=0, le=1e30, description="Their model FLOPs; null: a budget each."
    )
    note: str = Field("", max_length=1000, description="How the options were chosen.")
    space: dict[str, Any] | None = Field(
        None,
        description="What the board's tuning searches of this row, instead of what it searches of "
        "others: key path -> choices, a range or `default`; null, or `default`: as of others.",
    )


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
    stage1_flops: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Fraction of its budget that stage 1 takes; null: the board's.",
    )
    tuning: Tuning = Field(Tuning(), description="What it took to choose the options.")

    def solved_paths(self, spec: Spec) -> list[str]:
        """Key paths of its width and of the option that is finer, as far as its spec has them."""
        width = self.width or usual_width(spec)
        if width is None:
            return []
        fine = self.fine or finer_option(spec, width)
        return [width] if fine is None else [width, fine]


def row_specs(rows: Mapping[str, Row], base: Spec, node: Node) -> dict[str, Spec]:
    """The spec of every row.

    Args:
        rows: by name.
        base: what they extend.
        node: the board's file.

    Raises:
        SpecError: lists what is wrong with them.
    """
    problems: list[Problem] = []
    specs: dict[str, Spec] = {}
    for name, row in rows.items():
        try:
            specs[name] = _row_spec(row, base, node, ("rows", name))
        except SpecError as error:
            problems += error.problems
    if problems := problems or list(_repeated(rows, specs, node)):
        raise SpecError(problems)
    return specs


def _row_spec(row: Row, base: Spec, node: Node, path: KeyPath) -> Spec:
    section = node.at((*path, "set"))
    sets = {} if section is None else section.entries
    if problems := [p for key in sets for p in unsettable(node, (*path, "set", key), key)]:
        raise SpecError(problems)
    try:
        spec = base.override(sets)
    except SpecError as error:
        raise SpecError(
            [replace(p, path=(*path, "set", *p.path)) for p in error.problems]
        ) from None
    if problems := list(_unsolvable(row, spec, node, path)):
        raise SpecError(problems)
    return spec


def unsettable(node: Node, path: KeyPath, key: str) -> Iterator[Problem]:
    """Why a row can't have a value of its own at a key path, if so."""
    if not all(key.split(".")):
        yield node.key_problem(path, "is no key path")
    elif is_shared(key) or key.partition(".")[0] in OF_RUNS:
        message = "a row can't set what all rows share"
        yield node.key_problem(path, message, "set it in the base spec")
    elif (key.endswith(".steps") and key.startswith("training")) or key == "training.steps":
        yield node.key_problem(path, "steps follow from the budget", "remove it")


def _unsolvable(row: Row, spec: Spec, node: Node, path: KeyPath) -> Iterator[Problem]:
    for option in ("width", "fine"):
        if (name := getattr(row, option)) is not None:
            try:
                knob(spec, name)
            except UserError as error:
                yield node.problem((*path, option), str(error))
    if row.fine is not None and row.width is None and usual_width(spec) is None:
        message = "a fine option goes with a width, and the row has none"
        yield node.problem((*path, "fine"), message, "name one with `width`")


def _repeated(rows: Mapping[str, Row], specs: Mapping[str, Spec], node: Node) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for name, spec in specs.items():
        row = rows[name]
        key = f"{spec.digest()} {row.width} {row.fine} {row.stage1_flops}"
        if key in first:
            message = f"the same model as {first[key]}"
            yield node.key_problem(("rows", name), message, "remove one")
        first[key] = name
