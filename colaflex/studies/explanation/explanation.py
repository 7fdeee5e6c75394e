"""What a study teaches of its settings, as values: which matter, which depend on which."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Drift", "Explanation", "Importance", "Interaction", "Interval", "LevelOptimum"]


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % interval; not a number where there is none."""

    value: float
    low: float
    high: float

    def covers(self, number: float) -> bool:
        """Whether a number lies in the interval."""
        return self.low <= number <= self.high


@dataclass(frozen=True, slots=True)
class LevelOptimum:
    """The best value of a setting while another is at one level.

    Attributes:
        level: of the other setting; a category counts from 0.
        trials: at this level.
        optimum: the best value.
        curve_x: values of the setting, from lowest to highest.
        curve_y: the fitted objective there, all else as it is on average.
        points: the trials: value of the setting, and the objective less the effects of all else.
        label: the level in words.
        at_edge: the fitted curve rises to an end of its range, so the best value may lie beyond.
    """

    level: float
    trials: int
    optimum: Interval
    curve_x: tuple[float, ...]
    curve_y: tuple[float, ...]
    points: tuple[tuple[float, float], ...]
    label: str = ""
    at_edge: bool = False


@dataclass(frozen=True, slots=True)
class Drift:
    """Does the best value of one setting depend on another?

    Attributes:
        of: the setting whose best value is asked for.
        along: the other.
        log: the slope is per unit of the other's natural logarithm, else per unit.
        levels: the best value at each level.
        slope: of the best value; not a number along categories.
        p_value: of the null hypothesis that the best value is the same at all levels.
        law: the slope that theory predicts, where it does.
    """

    of: str
    along: str
    log: bool
    levels: tuple[LevelOptimum, ...]
    slope: Interval
    p_value: float
    law: float | None = None

    @property
    def found(self) -> bool:
        """Whether the interval of the slope leaves out 0."""
        return self.slope.low > 0 or self.slope.high < 0

    @property
    def agrees(self) -> bool | None:
        """Whether the interval covers the law; None where there is none."""
        return None if self.law is None else self.slope.covers(self.law)


@dataclass(frozen=True, slots=True)
class Importance:
    """The share of the objective's variance that a setting accounts for, with 95 % interval."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Interaction:
    """What two settings explain only together.

    Attributes:
        first: a setting.
        second: another.
        share: of the explained variance.
        p_value: of the null hypothesis that their effects add up.
    """

    first: str
    second: str
    share: Interval
    p_value: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a study teaches of its settings.

    Attributes:
        trials: it rests on.
        importances: of each setting, the greatest first.
        interactions: of each pair, the greatest first.
        drifts: how the best value of each continuous setting depends on the others.
        notes: what can't be said, and why.
    """

    trials: int
    importances: tuple[Importance, ...] = ()
    interactions: tuple[Interaction, ...] = ()
    drifts: tuple[Drift, ...] = ()
    notes: tuple[str, ...] = ()
