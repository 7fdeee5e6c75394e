"""Which width gives a row the parameters that its board asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from colaflex.corpora.tokenizer import Tokenizer
from colaflex.experiment.assembly import build_model
from colaflex.experiment.result import parameter_counts
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.solved_options import Knob, knob

__all__ = ["Size", "solve_size"]

Values = dict[str, float | int]


@dataclass(frozen=True, slots=True)
class Size:
    """What was solved for, by key path, and the parameters that it gives."""

    values: Values
    parameters: int


def solve_size(
    board: Board, row: str, tokenizer: Tokenizer, chosen: Mapping[str, Any] | None = None
) -> Size:
    """The values of a row's width, and of the option finer than it, nearest to the asked total.

    Widths split into heads, so they are coarse: of the widths below and above the total, the one
    is taken whose finer option has to move less. A model without a width stays as it is.

    Args:
        board: the board.
        row: name of the row.
        tokenizer: of its corpus.
        chosen: what tuning has set over the row's own, by key path.
    """
    spec = board.specs[row].override(chosen) if chosen else board.specs[row]

    def count(values: Values) -> int:
        model = build_model(spec.override(values) if values else spec, tokenizer)
        return parameter_counts(model)["total"]

    knobs = [knob(spec, path) for path in board.rows[row].solved_paths(spec)]
    if not knobs:
        return Size({}, count({}))
    width, fine = knobs[0], knobs[1] if len(knobs) > 1 else None
    asked = board.parameters
    sizes_by_distance: list[tuple[float, float, Size]] = []
    for wide in _neighbours(width, asked, lambda n: count({width.path: width.value(n)})):
        at: Values = {width.path: width.value(wide)}
        sizes = [Size(at, count(at))]
        if fine is not None:
            sizes += _finer(fine, at, asked, count)
        size = min(sizes, key=lambda size: abs(size.parameters - asked))
        off = abs(size.parameters / asked - 1)
        sizes_by_distance.append(
            (max(0.0, off - board.tolerance.parameters / 4), _moved(size, fine), size)
        )
    return min(sizes_by_distance, key=lambda item: item[:2])[2]


def _finer(fine: Knob, at: Values, asked: int, count: Callable[[Values], int]) -> Iterator[Size]:
    def sized(number: int) -> Size:
        values = {**at, fine.path: fine.value(number)}
        return Size(values, count(values))

    for number in _neighbours(fine, asked, lambda n: sized(n).parameters):
        yield sized(number)


def _moved(size: Size, fine: Knob | None) -> float:
    """By which factor the finer option was moved, at least 1."""
    if fine is None or fine.path not in size.values:
        return 1.0
    ratio = float(size.values[fine.path]) / float(fine.value(fine.now))
    return max(ratio, 1 / ratio)


def _neighbours(option: Knob, asked: int, count: Callable[[int], int]) -> list[int]:
    """The last value with at most so many parameters, and the first one with more.

    The number of parameters rises with the value; where all have more, or none, one is left.
    """
    below, above = option.now, option.now
    while count(above) <= asked:
        if above == option.most:
            return [above]
        below, above = above, min(option.most, 2 * above)
    while count(below) > asked:
        if below == option.least:
            return [below]
        below, above = max(option.least, below // 2), below
    while above - below > 1:
        middle = (below + above) // 2
        if count(middle) <= asked:
            below = middle
        else:
            above = middle
    return [below, above]
