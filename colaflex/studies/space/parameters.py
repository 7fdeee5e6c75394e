"""A searched key of a spec: its name in the storage, its distribution, and when it is there."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from colaflex.files.yaml import Node
from colaflex.studies.objective import Value, is_number

__all__ = ["ALWAYS", "Choice", "Combination", "Parameter"]

Combination = tuple[tuple[str, Value], ...]
"""Choices of components, by their key paths."""

ALWAYS: frozenset[Combination] = frozenset({()})


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the values to choose from.

    Attributes:
        node: what is set in the spec, with its place.
        identity: of what it says beyond its label: a component's version and options.
    """

    node: Node
    identity: str = ""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A searched key.

    Attributes:
        path: its key path.
        name: in the storage: the path, or path@component where components differ in its range.
        distribution: the values.
        component: those that it is searched with, for people; None: with all.
        when: the choices of components that it has a meaning with.
        choices: label -> what is set, where the values are labels.
    """

    path: str
    name: str
    distribution: BaseDistribution
    component: str | None = None
    when: frozenset[Combination] = ALWAYS
    choices: Mapping[Value, Choice] = field(default_factory=dict, compare=False)

    def active(self, point: Mapping[str, Value]) -> bool:
        """Whether it has a meaning with the components chosen so far."""
        return any(
            all(path in point and point[path] == label for path, label in combination)
            for combination in self.when
        )

    @property
    def is_range(self) -> bool:
        """Whether it is a range, not a list of choices."""
        return not isinstance(self.distribution, CategoricalDistribution)

    @property
    def is_finite(self) -> bool:
        """Whether its values can be listed."""
        spread = self.distribution
        return not isinstance(spread, FloatDistribution) or spread.step is not None

    def suggest(self, trial: optuna.Trial) -> Value:
        """Ask a trial for a value."""
        match self.distribution:
            case IntDistribution(low=low, high=high, log=log, step=step):
                return trial.suggest_int(self.name, low, high, step=step, log=log)
            case FloatDistribution(low=low, high=high, log=log, step=step):
                return trial.suggest_float(self.name, low, high, step=step, log=log)
            case CategoricalDistribution(choices=choices):
                choice: Value = trial.suggest_categorical(self.name, choices)  # type: ignore[assignment]
                return choice
        raise TypeError(f"{self.name} can't be drawn from {self.distribution}")

    def nearest(self, value: object) -> Value:
        """The value of the search that is nearest to one of a spec.

        Of choices, the same, else the nearest number, else the middle one (of words, the first);
        of a range, the value within it, else its middle.
        """
        number = float(value) if is_number(value) else None  # type: ignore[arg-type]
        match self.distribution:
            case CategoricalDistribution(choices=choices):
                return _nearest_choice(list(choices), value, number)  # type: ignore[arg-type]
            case IntDistribution() | FloatDistribution() as spread:
                return _within(spread, number)
        raise TypeError(f"{self.name} has no values")

    def described(self) -> dict[str, Any]:
        """All that makes values of it comparable, as plain data."""
        return {
            "path": self.path,
            "name": self.name,
            "distribution": json.loads(distribution_to_json(self.distribution)),
            "when": sorted(json.dumps(combination) for combination in self.when),
            "choices": [choice.identity for choice in self.choices.values()],
        }


def _nearest_choice(choices: list[Value], value: object, number: float | None) -> Value:
    for choice in choices:
        if type(choice) is type(value) and choice == value:
            return choice
    numbers = [choice for choice in choices if is_number(choice)]
    if not numbers:
        return choices[0]
    if number is None:
        return sorted(numbers)[(len(numbers) - 1) // 2]
    return min(numbers, key=lambda choice: abs(float(choice) - number))


def _within(spread: IntDistribution | FloatDistribution, number: float | None) -> Value:
    if number is None:
        ends = (spread.low, spread.high)
        number = math.sqrt(ends[0] * ends[1]) if spread.log else (ends[0] + ends[1]) / 2
    clipped = min(max(number, spread.low), spread.high)
    if spread.step is not None:
        count = math.floor((clipped - spread.low) / spread.step + 0.5)
        clipped = min(spread.low + count * spread.step, spread.high)
    return round(clipped) if isinstance(spread, IntDistribution) else float(clipped)
