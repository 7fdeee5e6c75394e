"""Trials as columns of numbers: the objective, and what each searched setting was."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from colaflex.statistics.intervals import Floats
from colaflex.studies.objective import is_number
from colaflex.studies.trials import TrialRecord

__all__ = ["Booleans", "Evidence", "Knob", "SearchedParameter", "SearchedSpace", "evidence"]

Booleans = NDArray[np.bool_]
LOGARITHMIC = ("latent_dim", "block_size")
"""Keys of sizes: what matters of them is their ratio."""


class SearchedParameter(Protocol):
    """What has to be known of a parameter of a search space."""

    @property
    def path(self) -> str:
        """The key path in the spec."""
        ...  # pragma: no cover

    @property
    def distribution(self) -> BaseDistribution:
        """What it is drawn from."""
        ...  # pragma: no cover


class SearchedSpace(Protocol):
    """What has to be known of a search space."""

    @property
    def parameters(self) -> Sequence[SearchedParameter]:
        """All of them."""
        ...  # pragma: no cover


@dataclass(frozen=True, slots=True)
class Knob:
    """A searched setting, as it was in every trial.

    Attributes:
        path: its key path.
        x: (trials,) its values on the scale of the analysis; NaN where it had no meaning.
        low: end of its range on that scale.
        high: the other end.
        log: the scale is the natural logarithm.
        continuous: it takes any value of a range, rather than one of a few.
        labels: names of categories, which are counted from 0; empty for numbers.
    """

    path: str
    x: Floats
    low: float
    high: float
    log: bool = False
    continuous: bool = False
    labels: tuple[str, ...] = ()

    @property
    def known(self) -> Booleans:
        """(trials,) where it has a meaning."""
        return np.isfinite(self.x)

    @property
    def levels(self) -> Floats:
        """The values that occur."""
        return np.unique(self.x[self.known])

    def plain(self, x: float) -> float:
        """A value as it stands in a spec."""
        return float(f"{math.exp(x):.12g}") if self.log else x  # 8, not 7.999999999999998


@dataclass(frozen=True, slots=True)
class Evidence:
    """What complete trials say.

    Attributes:
        y: (trials,) the objective as it was measured.
        sign: 1 if more of it is better, else -1.
        knobs: the searched settings.
        notes: which trials were left out.
    """

    y: Floats
    sign: int
    knobs: tuple[Knob, ...]
    notes: tuple[str, ...] = ()


def evidence(
    records: Sequence[TrialRecord], space: SearchedSpace, direction: Literal["higher", "lower"]
) -> Evidence:
    """Complete trials whose first objective is a number, as columns."""
    used = [r for r in records if r.state == "complete" and r.values and math.isfinite(r.values[0])]
    ranges: dict[str, list[BaseDistribution]] = {}
    for parameter in space.parameters:
        ranges.setdefault(parameter.path, []).append(parameter.distribution)
    knobs = [_knob(path, distributions, used) for path, distributions in ranges.items()]
    return Evidence(
        np.array([r.values[0] for r in used], dtype=np.float64),
        1 if direction == "higher" else -1,
        tuple(knob for knob in knobs if knob is not None),
        tuple(_left_out(records)),
    )


def _left_out(records: Sequence[TrialRecord]) -> list[str]:
    pruned = sum(r.state == "pruned" for r in records)
    failed = sum(r.state == "failed" for r in records)
    strange = sum(
        r.state == "complete" and not (r.values and math.isfinite(r.values[0])) for r in records
    )
    notes = []
    if pruned:
        notes.append(f"{_count(pruned)} pruned and left out: measured after less training.")
    if failed:
        notes.append(f"{_count(failed)} failed and left out.")
    if strange:
        notes.append(f"{_count(strange)} left out: the objective was not a number.")
    return notes


def _count(n: int) -> str:
    return "1 trial was" if n == 1 else f"{n} trials were"


def _knob(path: str, ranges: list[BaseDistribution], used: list[TrialRecord]) -> Knob | None:
    """The column of a setting; None if it never had a meaning."""
    values = [record.point.get(path) for record in used]
    if all(value is None for value in values):
        return None
    if all(value is None or is_number(value) for value in values):
        return _numbers(path, ranges, [math.nan if v is None else float(v) for v in values])
    labels = sorted({str(value) for value in values if value is not None})
    codes = [math.nan if value is None else labels.index(str(value)) for value in values]
    return Knob(path, np.array(codes, np.float64), 0.0, len(labels) - 1.0, labels=tuple(labels))


def _numbers(path: str, ranges: list[BaseDistribution], values: list[float]) -> Knob:
    x = np.array(values, np.float64)
    ends = [float(x[np.isfinite(x)].min()), float(x[np.isfinite(x)].max())]
    log = continuous = False
    for distribution in ranges:
        if isinstance(distribution, FloatDistribution | IntDistribution):
            ends += [float(distribution.low), float(distribution.high)]
            log = log or distribution.log
            continuous = continuous or isinstance(distribution, FloatDistribution)
        elif isinstance(distribution, CategoricalDistribution):
            ends += [
                float(choice) for choice in distribution.choices if isinstance(choice, int | float)
            ]
    levels = np.unique([*ends, *x[np.isfinite(x)]])
    if levels[0] > 0 and not continuous:
        log = log or path.rpartition(".")[2] in LOGARITHMIC or _evener_in_log(levels)
    if log:
        x, ends = np.log(x), [math.log(end) for end in ends]
    return Knob(path, x, min(ends), max(ends), log, continuous)


def _evener_in_log(levels: Floats) -> bool:
    """Whether the levels are spaced more evenly in the logarithm."""
    if len(levels) < 3:
        return False
    gaps, ratios = np.diff(levels), np.diff(np.log(levels))
    return bool(ratios.std() / ratios.mean() < 0.9 * gaps.std() / gaps.mean())
