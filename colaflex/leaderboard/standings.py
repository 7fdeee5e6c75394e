"""Who stands where: the records of a board as rows, compared in pairs and ranked with ties.

A row is what one method gave at one budget, its seeds kept apart and then averaged. Rows are ranked
among those of the same metric and budget, and only where they compare: matched in parameters and
FLOPs, measured under the board's protocol, with the outcomes of items that the tests need. Ranks
are over seeds, and speak of methods, where rows have several; else over items, and speak of the
trained models alone.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from colaflex.errors import UserError
from colaflex.interfaces.metric import Items, Measurement
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.record import Record
from colaflex.leaderboard.trials import Winner
from colaflex.metrics.caveats import caveats
from colaflex.metrics.likelihood import BOUND, ESTIMATE, declared_likelihood, sign
from colaflex.metrics.names import describe
from colaflex.metrics.rank import Direction
from colaflex.report.run_record import clean
from colaflex.spec import Spec
from colaflex.statistics.hierarchical import hierarchical_interval
from colaflex.statistics.ranking import LEVEL, Over, compare, rank
from colaflex.statistics.significance import row_interval, seeds_interval

__all__ = ["Entry", "Standings", "Table", "digest_of", "over_seeds", "stand"]


@dataclass(frozen=True)
class Entry:
    """One row at one budget.

    Attributes:
        name: of the row, as in the board.
        budget: name of the budget.
        records: one a seed, in the order of the seeds.
        metric: what it is ranked by.
        metrics: every metric that all its records have: the seeds' mean with its interval over
            items, where they are known.
        over_seeds: the same with intervals over seeds; empty where it has one.
        by_seed: the metrics of each record.
        likelihood: what its components declare: exact, ode, bound, none; or unknown.
        digest: SHA-256 over the digests of its records.
        missing: seeds of the board that it lacks.
        rank: 1 is best; None for a row that is not ranked.
        tie: whether another row has the same rank.
        reason: why it is not ranked; "" if it is.
    """

    name: str
    budget: str
    records: tuple[Record, ...]
    metric: str
    metrics: Mapping[str, Measurement]
    over_seeds: Mapping[str, Measurement]
    by_seed: tuple[Mapping[str, Measurement], ...]
    likelihood: str
    digest: str
    missing: tuple[int, ...] = ()
    rank: int | None = None
    tie: bool = False
    reason: str = ""

    @property
    def bounds(self) -> frozenset[str]:
        """The metrics that bound what they are named after."""
        return frozenset(name for name in self.metrics if sign(name, self.likelihood) == BOUND)

    @property
    def estimates(self) -> frozenset[str]:
        """The metrics that estimate it along an ODE."""
        return frozenset(name for name in self.metrics if sign(name, self.likelihood) == ESTIMATE)

    @property
    def first(self) -> Record:
        """The record of its first seed, for what all seeds share."""
        return self.records[0]

    @property
    def seeds(self) -> list[int]:
        """Seeds that it has."""
        return [record.seed for record in self.records]

    @property
    def value(self) -> float:
        """Of the metric that it is ranked by; NaN where it lacks that."""
        return self.metrics[self.metric].value if self.metric in self.metrics else math.nan

    @property
    def shown(self) -> Mapping[str, Measurement]:
        """Its metrics with the intervals that say most: over seeds where it has several."""
        return self.over_seeds or self.metrics

    @property
    def caveats(self) -> list[str]:
        """What keeps its figures from meaning what they seem to."""
        return caveats(self.metrics, self.first.tokenizer.vocab_size)

    @property
    def flops(self) -> float:
        """Training FLOPs of a run, stage 1 and teachers included: mean over seeds."""
        return fmean(record.matched.flops.found for record in self.records)

    @property
    def tokens(self) -> float:
        """Training tokens of a run: mean over seeds."""
        return fmean(record.training.tokens for record in self.records)

    @property
    def parameters(self) -> int:
        """Parameters of all parts."""
        return self.first.parameters["total"]

    @property
    def components(self) -> dict[str, str]:
        """Names of its components by kind, for people."""
        return {kind: each.name for kind, each in self.first.components.items()}


@dataclass(frozen=True)
class Table:
    """Rows of one metric and budget: the ranked in order, then the others.

    `p` holds, for each two ranked rows by name, the p of no difference, corrected for all pairs;
    over seeds it is of the methods, over items of these trained models.
    """

    metric: str
    better: Direction
    budget: str
    rows: list[Entry]
    p: Mapping[tuple[str, str], float]
    over: Over

    @property
    def ranked(self) -> list[Entry]:
        """The rows that have a rank."""
        return [row for row in self.rows if row.rank is not None]

    def p_of(self, one: str, other: str) -> float | None:
        """The corrected p of two rows, in whichever order."""
        return self.p.get((one, other), self.p.get((other, one)))

    def differ(self, one: str, other: str) -> bool:
        """Whether two rows are told apart."""
        p = self.p_of(one, other)
        return p is not None and p <= LEVEL


@dataclass(frozen=True)
class Standings:
    """The tables of a board: metrics in the board's order, the smallest budget first."""

    board: Board
    tables: list[Table]

    @property
    def rows(self) -> list[Entry]:
        """All rows, table after table."""
        return [row for table in self.tables for row in table.rows]


def stand(
    board: Board,
    records: Sequence[Record],
    winners: Mapping[tuple[str, str], Winner | None] | None = None,
) -> Standings:
    """Rank the records of a board. All text in them is cleaned of unprintable characters.

    Args:
        board: the board.
        records: of it.
        winners: what its tuning has chosen, by row and budget: then a row with other settings is
            not ranked.
    """
    records = [Record.model_validate(clean(record.as_json())) for record in records]
    counts = Counter(record.data_digest for record in records)
    # The most frequent data; of equally frequent ones the first in the alphabet.
    data = min(counts, key=lambda digest: (-counts[digest], digest), default="")
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(records, key=lambda one: (one.row, one.seed, one.digest)):
        groups.setdefault((record.row, record.budget), []).append(record)
    rows = [_entry(board, group, board.protocol(data), winners or {}) for group in groups.values()]
    tables = []
    for ranking in board.rank:
        for budget in _budgets(board, records):
            key = (ranking.metric, budget)
            if members := [row for row in rows if (row.metric, row.budget) == key]:
                tables.append(_table(ranking.metric, ranking.direction, budget, members))
    return Standings(board, tables)


def digest_of(digests: Iterable[str]) -> str:
    """SHA-256 over the digests of several records, whatever their order."""
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def _budgets(board: Board, records: Sequence[Record]) -> list[str]:
    """The board's budgets, the smallest first, then those that only records name."""
    known = sorted(board.budgets, key=lambda name: board.budgets[name])
    return [*known, *sorted({record.budget for record in records} - set(known))]


def _entry(
    board: Board,
    group: list[Record],
    protocol: str,
    winners: Mapping[tuple[str, str], Winner | None],
) -> Entry:
    own = [record for record in group if record.seed in board.seeds]
    seeds = {record.seed: record for record in reversed(own or group)}  # of two the first stays
    chosen = tuple(seeds[seed] for seed in sorted(seeds))
    by_seed = tuple(record.measurements for record in chosen)
    metric = next(
        (one.metric for one in board.rank if all(one.metric in each for each in by_seed)),
        board.rank[-1].metric,
    )
    unfair = (_unfair(board, record, protocol) for record in chosen)
    unmeasured = (_unmeasured(*each, metric) for each in zip(chosen, by_seed, strict=True))
    untuned = (_untuned(board, record, winners) for record in chosen)
    reasons = (_foreign(board, group), _repeated(group), *unfair, *untuned, *unmeasured)
    return Entry(
        name=group[0].row,
        budget=group[0].budget,
        records=chosen,
        metric=metric,
        metrics=_measured(chosen, by_seed, row_interval),
        over_seeds=_measured(chosen, by_seed, _over_both) if len(chosen) > 1 else {},
        by_seed=by_seed,
        likelihood=_likelihood(chosen[0]),
        digest=digest_of(record.digest for record in group),
        missing=tuple(seed for seed in board.seeds if seed not in seeds),
        reason=next(filter(None, reasons), ""),
    )


def _likelihood(record: Record) -> str:
    """What its components declare; of those that aren't here nothing is known."""
    try:
        return declared_likelihood(Spec.of_record(record.spec))
    except UserError:
        return "unknown"


def _foreign(board: Board, group: list[Record]) -> str:
    """What the board knows nothing of."""
    if group[0].budget not in board.budgets:
        return "the board has no such budget"
    if not any(record.seed in board.seeds for record in group):
        seeds = ", ".join(str(seed) for seed in sorted({record.seed for record in group}))
        return f"none of the board's seeds (has {seeds})"
    return ""


def _repeated(group: list[Record]) -> str:
    """Two records of one seed: nobody may pick the better one."""
    counts = Counter(record.seed for record in group)
    twice = [seed for seed in sorted(counts) if counts[seed] > 1]
    return f"{counts[twice[0]]} records of seed {twice[0]}" if twice else ""


def _unfair(board: Board, record: Record, protocol: str) -> str:
    """Why a record doesn't compare with others, or ""."""
    if record.protocol != protocol:
        return f"another protocol ({record.protocol[:12]}, the board's is {protocol[:12]})"
    parameters = float(record.parameters["total"]), float(board.parameters)
    flops = record.matched.flops.found, board.budgets.get(record.budget, math.nan)
    for what, (found, asked), bound in (
        ("parameters", parameters, board.tolerance.parameters),
        ("FLOPs", flops, board.tolerance.flops),
    ):
        off = found / asked - 1
        if not abs(off) <= bound:
            return f"{what} {100 * off:+.1f} % off the board's ({100 * bound:g} % are allowed)"
    return "" if record.matched.ok else "not matched, by its own record"


def _untuned(board: Board, record: Record, winners: Mapping[tuple[str, str], Winner | None]) -> str:
    """Why a record's options are not those that tuning has chosen, or ""."""
    key = record.row, board.tuned_at(record.budget)
    if key not in winners:
        return ""
    winner = winners[key]
    if winner is None:
        return "its tuning is not done"
    if record.tuning.trial != winner.trial.digest or record.tuning.settings != winner.settings:
        return "made with other settings than its tuning has chosen"
    return ""


def _unmeasured(record: Record, metrics: Mapping[str, Measurement], metric: str) -> str:
    """Why a record can't be tested, or ""."""
    if metric not in metrics:
        return f"lacks {metric}"
    return "" if metric in record.items else f"holds no items of {metric}"


def _measured(
    records: Sequence[Record],
    by_seed: Sequence[Mapping[str, Measurement]],
    interval: Callable[[list[Items], str], Measurement],
) -> dict[str, Measurement]:
    """Every metric that all records have: by their items where they are known, else over seeds."""
    measured = {}
    for name in by_seed[0]:
        seeds = [metrics[name] for metrics in by_seed if name in metrics]
        if len(seeds) < len(records):
            continue
        if all(name in record.items for record in records):
            measured[name] = interval(_items(records, name), name)
        else:
            values = [seed.value for seed in seeds]
            measured[name] = seeds[0] if len(seeds) == 1 else over_seeds(name, values)
    return measured


def _over_both(row: list[Items], metric: str) -> Measurement:
    """A metric of several records over seeds and items."""
    return hierarchical_interval(row, metric, **_ends(metric))


def over_seeds(metric: str, values: Sequence[float]) -> Measurement:
    """A metric over seeds, its interval no wider than what is possible."""
    return seeds_interval(values, **_ends(metric))


def _ends(metric: str) -> dict[str, float]:
    """The least and the greatest value that a metric can have."""
    share = describe(metric).unit == "share"
    lowest = 0.0 if share or metric.startswith("speed.") else -math.inf
    return {"lowest": lowest, "highest": 1.0 if share else math.inf}


def _items(records: Sequence[Record], metric: str) -> list[Items]:
    return [record.items[metric].items for record in records]


def _table(metric: str, better: Direction, budget: str, rows: list[Entry]) -> Table:
    """The rows compared and put in order."""
    unit = _unit([row for row in rows if not row.reason])
    rows = [_with_seeds(row) if unit == "seeds" else row for row in rows]
    fair = {row.name: row for row in rows if not row.reason}
    outcomes = {name: _items(row.records, metric) for name, row in fair.items()}
    p = compare(outcomes)
    ranked = [
        replace(fair[place.name], rank=place.rank, tie=bool(place.tie))
        for place in rank(outcomes, higher=better == "higher", p=p)
    ]
    others = sorted((row for row in rows if row.reason), key=lambda row: row.name)
    return Table(metric, better, budget, [*ranked, *others], p, unit)


def _unit(fair: Sequence[Entry]) -> Over:
    """Over seeds as soon as two rows have several: then there are methods to compare."""
    several = sum(len(row.records) > 1 for row in fair)
    return "seeds" if several > 1 or several == len(fair) > 0 else "items"


def _with_seeds(row: Entry) -> Entry:
    """A row among others that are ranked over seeds: of one training it has no rank."""
    alone = not row.reason and len(row.records) == 1
    return replace(row, reason="has one seed; ranks are over seeds") if alone else row
