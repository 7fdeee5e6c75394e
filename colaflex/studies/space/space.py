"""What a study searches: which keys of a spec, which values, and which go together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import optuna

from colaflex.errors import UserError
from colaflex.files.yaml import Node
from colaflex.interfaces.component import ComponentConfig
from colaflex.spec import Spec
from colaflex.studies.objective import Point, Value
from colaflex.studies.space.fields import UnknownKey, field_at
from colaflex.studies.space.parameters import Parameter

__all__ = ["Space"]


@dataclass(frozen=True, slots=True)
class Space:
    """The searched keys; `space_reading.read_space` makes one out of a file.

    Attributes:
        parameters: components before what is in them.
    """

    parameters: tuple[Parameter, ...]

    @property
    def conditional(self) -> bool:
        """Whether some keys have a meaning with some components only."""
        return any(() not in parameter.when for parameter in self.parameters)

    @property
    def paths(self) -> tuple[str, ...]:
        """The searched key paths, each once."""
        return tuple(dict.fromkeys(parameter.path for parameter in self.parameters))

    def at(self, path: str) -> tuple[Parameter, ...]:
        """The parameters of a key path: several where components differ in its range."""
        return tuple(parameter for parameter in self.parameters if parameter.path == path)

    def suggest(self, trial: optuna.Trial) -> Point:
        """Ask a trial for a point: first for its components, then for what they have."""
        point: dict[str, Value] = {}
        for parameter in self.parameters:
            if parameter.active(point):
                point[parameter.path] = parameter.suggest(trial)
        return point

    def point(self, params: Mapping[str, Any]) -> Point:
        """The point that parameters of the storage stand for."""
        point: dict[str, Value] = {}
        for parameter in self.parameters:
            if parameter.name in params and parameter.active(point):
                point[parameter.path] = params[parameter.name]
        return point

    def params(self, point: Point) -> dict[str, Value]:
        """A point as parameters of the storage; what isn't searched is left out."""
        return {
            parameter.name: point[parameter.path]
            for parameter in self.parameters
            if parameter.path in point and parameter.active(point)
        }

    def default_point(self, spec: Spec) -> Point:
        """A spec's own values, or the nearest that are searched."""
        point: dict[str, Value] = {}
        for parameter in self.parameters:
            if parameter.active(point):
                point[parameter.path] = _own(parameter, self.spec(spec, point))
        return point

    def spec(self, base: Spec, point: Point) -> Spec:
        """A spec with a point's values set.

        Raises:
            SpecError: they don't go together.
        """
        return base.override({path: self._value(path, point) for path in point})

    def variants(self, spec: Spec) -> Iterator[tuple[str, Spec]]:
        """A spec with each choice of each searched component, and which it is, in words."""
        components = [
            parameter
            for parameter in self.parameters
            if () in parameter.when and field_at(spec, parameter.path).shape.slot is not None
        ]
        if not components:
            yield "", spec
        for parameter in components:
            for label, choice in parameter.choices.items():
                yield (
                    f" with {parameter.path} {label}",
                    spec.override({parameter.path: choice.node}),
                )

    def _value(self, path: str, point: Point) -> Node | Value:
        label = point[path]
        for parameter in self.at(path):
            if parameter.active(point) and label in parameter.choices:
                return parameter.choices[label].node
        return label

    def described(self) -> list[dict[str, Any]]:
        """All that makes points of it comparable, as plain data."""
        return [p.described() for p in sorted(self.parameters, key=lambda p: p.name)]


def _own(parameter: Parameter, spec: Spec) -> Value:
    """The value of a spec at a parameter, or the nearest that is searched."""
    try:
        value = field_at(spec, parameter.path).value
    except UnknownKey:
        return parameter.nearest(None)
    for label, choice in parameter.choices.items():
        if _same(spec, parameter.path, choice.node, value):
            return label
    for label in parameter.choices:
        if isinstance(value, ComponentConfig) and str(label).partition(" ")[0] == value.type:
            return label
    return parameter.nearest(value)


def _same(spec: Spec, path: str, node: Node, value: object) -> bool:
    try:
        spec_value: object = field_at(spec.override({path: node}), path).value
    except UserError:
        return False
    return spec_value == value
