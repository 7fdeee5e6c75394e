"""The ranks that data leave open: every pair tested, Holm's correction, ties.

Not being told apart is not transitive: a may be level with b, and b with c, where a beats c. So
ranks come from what *is* told apart. One row beats another where their difference is significant
after Holm's correction over all pairs, or where it beats a row that beats the other; if no
significant difference is false, which holds for all at once in 95 % of boards, then neither is what
follows from them. A row's rank is 1 + the number of rows that beat it: the best place that the data
leave it (Klein, Wright and Wieczorek 2020; Mogstad et al. 2024). Rows of one rank tie. So

- a row that beats another has the smaller rank, and no two rows of a tie beat each other;
- rows with the same outcomes tie;
- ranks depend neither on the order of the rows nor on their names;
- a worse value may have the better rank, where it is known less well.

Where every row has several seeds the tests are over seeds, and speak of methods. Else they are over
items, and speak of these trained models alone.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeVar

from colaflex.interfaces.metric import Items
from colaflex.statistics.hierarchical import hierarchical_test
from colaflex.statistics.significance import PERMUTATIONS, items_test, row_value

__all__ = ["LEVEL", "Outcomes", "Over", "Standing", "compare", "holm", "over", "rank"]

LEVEL = 0.05
"""How often at most a board of equal rows shows any difference as significant."""

Outcomes = Sequence[Items]
"""A row's outcomes item by item, one a seed."""

Over = Literal["seeds", "items"]
"""What tests generalise over: to further trainings, or to further items of these trainings."""

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Standing:
    """A row's place on a board.

    Attributes:
        name: the row's.
        value: mean of its seeds.
        rank: 1 + the number of rows that beat it.
        tie: the other rows of this rank, best first.
        p: against the row with the best value, corrected for all pairs; 1 for that row itself.
    """

    name: str
    value: float
    rank: int
    tie: tuple[str, ...]
    p: float


def holm(p: Mapping[K, float]) -> dict[K, float]:
    """p-values corrected for their number (Holm 1979); equal ones stay equal."""
    corrected, largest = {}, 0.0
    for behind, key in enumerate(sorted(p, key=lambda key: p[key])):
        largest = max(largest, min(1.0, (len(p) - behind) * p[key]))
        corrected[key] = largest
    return {key: corrected[key] for key in p}


def over(rows: Iterable[Outcomes]) -> Over:
    """What rows are compared over: seeds, if all of them have several."""
    return "seeds" if all(len(outcomes) > 1 for outcomes in rows) else "items"


def compare(rows: Mapping[str, Outcomes], level: float = LEVEL) -> dict[tuple[str, str], float]:
    """The p of every two rows whose values are finite, corrected for the number of pairs."""
    measured = sorted(name for name, outcomes in rows.items() if math.isfinite(_mean(outcomes)))
    pairs, unit = list(combinations(measured, 2)), over(rows[name] for name in measured)
    # So many that a corrected p can be well below the level.
    permutations = max(PERMUTATIONS, math.ceil(5 * len(pairs) / level))
    test = hierarchical_test if unit == "seeds" else items_test
    return holm({(a, b): test(rows[a], rows[b], permutations=permutations) for a, b in pairs})


def rank(
    rows: Mapping[str, Outcomes],
    higher: bool = True,
    level: float = LEVEL,
    p: Mapping[tuple[str, str], float] | None = None,
) -> list[Standing]:
    """The rows of a board with their ranks, ordered by rank, value and name.

    A value that is not finite comes last, behind every row that has one; of such rows nothing more
    is known.

    Args:
        rows: outcomes by name; all of one metric.
        higher: whether the greater value is the better one.
        level: of the corrected tests.
        p: what `compare` says of the rows, where it is known already.
    """
    values = {name: _mean(outcomes) for name, outcomes in rows.items()}
    sign = -1 if higher else 1

    def place(name: str) -> tuple[bool, float, str]:
        measured = math.isfinite(values[name])
        return not measured, sign * values[name] if measured else 0.0, name

    order = sorted(rows, key=place)
    measured = [name for name in order if math.isfinite(values[name])]
    p = compare(rows, level) if p is None else p
    p = {**p, **{(b, a): each for (a, b), each in p.items()}}
    beaten_by: dict[str, set[str]] = {}
    for i, name in enumerate(measured):
        direct = {a for a in measured[:i] if p[a, name] <= level}
        beaten_by[name] = direct.union(*(beaten_by[a] for a in direct))
    for name in order[len(measured) :]:
        beaten_by[name] = set(measured)
    ranks = {name: 1 + len(beaten_by[name]) for name in order}
    return [
        Standing(
            name,
            values[name],
            ranks[name],
            tuple(other for other in order if ranks[other] == ranks[name] and other != name),
            p.get((order[0], name), 1.0),
        )
        for name in sorted(order, key=lambda name: ranks[name])
    ]


def _mean(outcomes: Outcomes) -> float:
    values = [row_value([each]) for each in outcomes]
    return math.fsum(values) / len(values) if values else math.nan
