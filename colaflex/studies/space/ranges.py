"""What a study file says of one searched key: choices, a range, or `default`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import Field

from colaflex.errors import UserError
from colaflex.files.problems import KeyPath, Origin, Problem, SpecError, dotted, nearest
from colaflex.files.yaml import Node, node_of
from colaflex.host.registry import registry
from colaflex.interfaces.component import ComponentConfig
from colaflex.spec import Spec
from colaflex.spec.canonical import canonical, components_of, sha256_of
from colaflex.spec.resolve import Resolver
from colaflex.spec.training import Section
from colaflex.studies.objective import Value
from colaflex.studies.space.fields import SpecField, field_at, own_range
from colaflex.studies.space.parameters import Choice

__all__ = ["DEFAULT_WORD", "KeyValues", "read_range"]

DEFAULT_WORD = "default"
EXPECTED = "expected a list of choices, a range {low: .., high: ..}, or `default`"


class RangeSettings(Section):
    """A range as it stands in a study file."""

    low: float = Field(..., description="Least value.")
    high: float = Field(..., description="Largest value, included.")
    step: float | None = Field(None, description="Distance of the values; null: any between.")
    log: bool = Field(False, description="Whether ratios count, not differences.")


@dataclass(frozen=True, slots=True)
class KeyValues:
    """The values of a key in one variant of the spec."""

    distribution: BaseDistribution
    choices: Mapping[Value, Choice] = field(default_factory=dict)


class _Reader:
    """Reads one entry of `space` against one variant of the spec."""

    def __init__(self, node: Node, path: str, spec: Spec) -> None:
        self.node, self.path, self.spec = node, path, spec
        self.where: KeyPath = ("space", path)
        self.field = field_at(spec, path)
        self.problems: list[Problem] = []

    def read(self) -> KeyValues | None:
        value = self.node.value
        if value == DEFAULT_WORD:
            return self._default()
        if isinstance(value, list):
            return self._choices(value)
        if isinstance(value, dict):
            return self._range()
        near = nearest(value, [DEFAULT_WORD]) if isinstance(value, str) else ""
        self._report(self.node.origin, f"{EXPECTED}, got {value!r}", near if "did" in near else "")
        return None

    def _report(self, origin: Origin, message: str, hint: str = "", *more: str | int) -> None:
        self.problems.append(Problem(origin, (*self.where, *more), message, hint))

    def _default(self) -> KeyValues | None:
        try:
            own = own_range(self.field)
        except UserError as error:
            self._report(self.node.origin, str(error))
            return None
        origin = self.node.origin
        if not own.choices:
            given = {"low": own.low, "high": own.high, "step": own.step, "log": own.log}
            nodes = {key: node_of(value, origin) for key, value in given.items()}
            return self._spread(RangeSettings.model_validate(given), nodes)
        # Of its own choices only those count that this spec takes.
        fit = [choice for choice in own.choices if self._fits(node_of(choice, origin))]
        if not fit:
            listed = ", ".join(map(str, own.choices))
            self._report(origin, f"the spec takes none of its own choices, {listed}", "give some")
            return None
        return self._choices([node_of(choice, origin) for choice in fit])

    def _fits(self, node: Node) -> bool:
        try:
            self.spec.override({self.path: node})
        except UserError:
            return False
        return True

    def _choices(self, nodes: list[Node]) -> KeyValues | None:
        if not nodes:
            self._report(self.node.origin, "expected at least one choice")
            return None
        choices: dict[Value, Choice] = {}
        for index, node in enumerate(nodes):
            tried = self._tried(node, index)
            if tried is None:
                continue
            spec_value = tried.value
            choice = Choice(node, _identity(spec_value))
            label = _label(node, spec_value)
            other = label in choices and choices[label].identity != choice.identity
            if other and isinstance(spec_value, ComponentConfig):
                label = f"{label} {json.dumps(node.plain, sort_keys=True)}"
            if label in choices:
                self._report(node.origin, f"{label} stands twice", "remove one", index)
                continue
            choices[label] = choice
        return KeyValues(CategoricalDistribution(list(choices)), choices) if choices else None

    def _tried(self, node: Node, *more: str | int) -> SpecField | None:
        """What the spec holds once a value is set; None where it refuses it."""
        if self.field.shape.slot is not None and not isinstance(node.value, str | dict):
            message = f"expected {self.field.shape.expected}"
            self._report(node.origin, message, "", *more)
            return None
        try:
            return field_at(self.spec.override({self.path: node}), self.path)
        except SpecError as error:
            for problem in error.problems:
                own = dotted(problem.path)
                inner = own.removeprefix(self.path).lstrip(".")
                same = own == self.path or not own
                message = problem.message if same else f"{inner or own}: {problem.message}"
                self._report(
                    problem.origin if problem.origin.source == node.origin.source else node.origin,
                    message,
                    problem.hint,
                    *more,
                )
            return None

    def _range(self) -> KeyValues | None:
        resolver = Resolver(registry())
        settings = resolver.model(RangeSettings, self.node, self.where)
        self.problems += resolver.problems
        if not isinstance(settings, RangeSettings):
            return None
        if not self.field.is_number or self.field.shape.slot is not None:
            hint = "list the choices: [a, b]"
            message = f"a range needs a number, the field takes {self.field.shape.expected}"
            self._report(self.node.origin, message, hint)
            return None
        return self._spread(settings, self.node.entries)

    def _spread(self, settings: RangeSettings, nodes: Mapping[str, Node]) -> KeyValues | None:
        low, high, step, log = settings.low, settings.high, settings.step, settings.log
        for key, message, hint in _faults(settings, self.field):
            origin = nodes[key].origin if key in nodes else self.node.origin
            self._report(origin, message, hint, key)
        if self.problems:
            return None
        for key in ("low", "high"):
            end = int(getattr(settings, key)) if self.field.is_integer else getattr(settings, key)
            self._tried(Node(end, nodes[key].origin, nodes[key].key), key)
        if self.problems:
            return None
        if self.field.is_integer:
            return KeyValues(IntDistribution(int(low), int(high), log, int(step or 1)))
        return KeyValues(FloatDistribution(low, high, log, step))


def read_range(node: Node, path: str, spec: Spec) -> tuple[KeyValues | None, list[Problem]]:
    """The values of a searched key in a spec, and what is wrong with its entry.

    Raises:
        UnknownKey: the spec has no such key.
    """
    reader = _Reader(node, path, spec)
    searched = reader.read()
    return (None if reader.problems else searched), reader.problems


def _faults(settings: RangeSettings, spec_field: SpecField) -> Iterator[tuple[str, str, str]]:
    """What is wrong with a range, with the key that it is wrong at."""
    low, high, step = settings.low, settings.high, settings.step
    if spec_field.is_integer:
        for key in ("low", "high", "step"):
            value = getattr(settings, key)
            if value is not None and not float(value).is_integer():
                yield key, f"expected an integer, as the field takes, got {value}", ""
                return
    if low > high:
        yield "low", f"the range is upside down: low {low:g} is above high {high:g}", "swap them"
    elif low == high:
        yield "high", "low and high are equal: there is nothing to search", "leave the key out"
    elif settings.log and low <= 0:
        yield "low", f"a log range needs low above 0, got {low:g}", "leave `log` out, or raise low"
    elif settings.log and step is not None:
        yield "step", "a log range has no step", "leave `step` or `log` out"
    elif step is not None and step <= 0:
        yield "step", f"expected a step above 0, got {step:g}", ""
    elif step is not None:
        # As written, in decimals: 0.1 fits from 0 to 0.3.
        first, last, by = (Decimal(str(value)) for value in (low, high, step))
        count, rest = divmod(last - first, by)
        if rest or not count:
            hint = f"the last value would be {float(first + count * by):g}"
            yield "step", f"a step of {step:g} doesn't fit from {low:g} to {high:g}", hint


def _label(node: Node, spec_value: Any) -> Value:
    """What a choice is called in the storage, where values are scalars."""
    if isinstance(spec_value, ComponentConfig):
        return spec_value.type
    if isinstance(spec_value, bool | int | float):
        return spec_value
    if isinstance(node.value, str):
        return node.value
    return json.dumps(node.plain, sort_keys=True)


def _identity(spec_value: Any) -> str:
    """Of what a choice says beyond its label."""
    if isinstance(spec_value, bool | int | float | str):
        return ""
    known = registry()
    return sha256_of([canonical(spec_value, known), components_of(spec_value, known)])
