"""What can be wrong with a board, found before anything runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from colaflex.errors import UserError
from colaflex.files.problems import KeyPath, Origin, Problem, SpecError
from colaflex.files.yaml import Node
from colaflex.leaderboard.knobs import knob, usual_width
from colaflex.metrics.names import is_known, near_metric
from colaflex.metrics.rank import out_of_reach
from colaflex.spec import Spec
from colaflex.spec.base import base_problems

if TYPE_CHECKING:
    from colaflex.leaderboard.board import Board

__all__ = ["NAME", "problems_of", "row_specs"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.]{0,63}")
BOARD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
SHARED = ("corpus", "tokenizer", "evaluation", "seed", "name", "spec_version", "requires")
"""What a row can't set: it would be measured on something else than the others."""


def problems_of(board: Board, node: Node) -> Iterator[Problem]:
    """What is wrong with a board, its specs aside."""
    if not BOARD_NAME.fullmatch(board.board):
        yield _problem(node, ("board",), f"{board.board!r} is no name", _letters(BOARD_NAME))
    for section in ("budgets", "rows"):
        names = getattr(board, section)
        if not names:
            yield _problem(node, (section,), "expected at least one")
        for name in names:
            if not NAME.fullmatch(name):
                place = node.entries[section].entries[name].key
                yield Problem(place, (section, name), f"{name!r} is no name", _letters(NAME))
    yield from base_problems(node, board.path, "a board")
    yield from _budgets(board, node)
    yield from _seeds(board, node)
    yield from _metrics(board, node)


def _letters(pattern: re.Pattern[str]) -> str:
    more = "_ . -" if pattern is BOARD_NAME else "_ ."
    return f"use at most 64 letters, digits and {more}, a letter or digit first"


def _budgets(board: Board, node: Node) -> Iterator[Problem]:
    # Forward and backward pass take 6 FLOPs a parameter and token, embeddings aside.
    least = 6.0 * board.parameters
    values: dict[float, str] = {}
    for name, flops in board.budgets.items():
        path = ("budgets", name)
        if flops < least:
            message = f"{flops:.3g} FLOPs are too few to train {board.parameters:,} parameters"
            yield _problem(node, path, message, f"one token alone takes about {least:.3g}")
        if flops in values:
            yield _problem(node, path, f"the same FLOPs as {values[flops]}", "remove one")
        values[flops] = name


def _seeds(board: Board, node: Node) -> Iterator[Problem]:
    if not board.seeds:
        yield _problem(node, ("seeds",), "expected at least one")
    for index, seed in enumerate(board.seeds):
        if seed in board.seeds[:index]:
            yield _problem(node, ("seeds", index), f"{seed} stands twice", "remove one")


def _metrics(board: Board, node: Node) -> Iterator[Problem]:
    seen: set[str] = set()
    if not board.rank:
        yield _problem(node, ("rank",), "expected at least one")
    for index, rank in enumerate(board.rank):
        path: KeyPath = ("rank", index)
        problem = _unknown(node, (*path, "metric"), rank.metric)
        if problem is not None:
            yield problem
        elif rank.metric in seen:
            yield _problem(node, (*path, "metric"), "stands twice", "remove one")
        elif not rank.is_directed:
            message = f"nothing says which way {rank.metric} is better"
            yield _problem(node, path, message, "add `better: higher` or `better: lower`")
        seen.add(rank.metric)
    shown: set[str] = set()
    for index, name in enumerate(board.show):
        problem = _unknown(node, ("show", index), name)
        if problem is not None:
            yield problem
        elif name in shown:
            yield _problem(node, ("show", index), f"{name} stands twice", "remove one")
        shown.add(name)


def _unknown(node: Node, path: KeyPath, name: str) -> Problem | None:
    if is_known(name):
        return None
    return _problem(node, path, f"there is no metric {name}", near_metric(name))


def row_specs(board: Board, node: Node) -> dict[str, Spec]:
    """The spec of every row.

    Raises:
        SpecError: lists what is wrong with them.
    """
    problems: list[Problem] = []
    specs: dict[str, Spec] = {}
    for name in board.rows:
        try:
            specs[name] = _row_spec(board, node, name)
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(problems)
    problems += _twice(board, node, specs)
    problems += _out_of_reach(board, node, specs)
    if problems:
        raise SpecError(problems)
    return specs


def _row_spec(board: Board, node: Node, name: str) -> Spec:
    row, path = board.rows[name], ("rows", name)
    entries = node.entries["rows"].entries[name].entries
    sets = entries["set"].entries if "set" in entries else {}
    problems = []
    for key, value in sets.items():
        where = (*path, "set", key)
        if not all(key.split(".")):
            problems.append(Problem(value.key, where, "is no key path"))
        elif key.split(".")[0] in SHARED or key == "sampling.max_new_tokens":
            message = "a row can't set what all rows share"
            problems.append(Problem(value.key, where, message, "set it in the base spec"))
        elif (key.endswith(".steps") and key.startswith("training")) or key == "training.steps":
            message = "steps follow from the budget"
            problems.append(Problem(value.key, where, message, "remove it"))
    if problems:
        raise SpecError(problems)
    try:
        spec = board.base_spec.override(sets)
    except SpecError as error:
        raise SpecError([_within(problem, path) for problem in error.problems]) from None
    for option in ("width", "fine"):
        given = getattr(row, option)
        if given is None:
            continue
        try:
            knob(spec, given)
        except UserError as error:
            problems.append(_problem(node, (*path, option), str(error)))
    if row.fine is not None and row.width is None and usual_width(spec) is None:
        message = "a fine option goes with a width, and the row has none"
        problems.append(_problem(node, (*path, "fine"), message, "name one with `width`"))
    if problems:
        raise SpecError(problems)
    return spec


def _within(problem: Problem, path: KeyPath) -> Problem:
    return Problem(problem.origin, (*path, "set", *problem.path), problem.message, problem.hint)


def _twice(board: Board, node: Node, specs: dict[str, Spec]) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for name, spec in specs.items():
        row = board.rows[name]
        key = f"{spec.digest()} {row.width} {row.fine}"
        if key in seen:
            place = node.entries["rows"].entries[name].key
            yield Problem(place, ("rows", name), f"the same model as {seen[key]}", "remove one")
        seen[key] = name


def _out_of_reach(board: Board, node: Node, specs: dict[str, Spec]) -> Iterator[Problem]:
    """Ranked metrics that no row can have, by what rows declare and the base spec measures."""
    for index, rank in enumerate(board.rank):
        reason = out_of_reach(rank.metric, specs.values())
        if reason:
            path = ("rank", index, "metric")
            yield _problem(node, path, f"no row can have {rank.metric}: {reason}")


def _problem(node: Node, path: KeyPath, message: str, hint: str = "") -> Problem:
    """A problem at a path, or where the path's last given part stands."""
    origin: Origin = node.origin
    for key in path:
        child = node.child(key)
        if child is None:
            break
        node, origin = child, child.origin
    return Problem(origin, path, message, hint)
