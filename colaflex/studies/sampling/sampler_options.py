"""What a study file names with options, a sampler or a pruner: which options, which values."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from colaflex.files.problems import nearest
from colaflex.files.yaml import Node
from colaflex.spec.training import Section

__all__ = ["Kind", "Named", "Option", "check", "long_form", "options_of"]

TYPES = ("bool", "int", "float", "str")
NULL = "None"
ZERO = ("n_startup_trials", "n_startup_steps", "n_warmup_steps", "bootstrap_count")
ZERO_OR_MORE = (*ZERO, "min_early_stopping_rate")
SHARES = ("mutation_prob", "crossover_prob", "swapping_prob", "p_threshold")


class Named(Section):
    """What it is, and its options: `tpe`, or `{type: tpe, multivariate: true}`."""

    type: str = Field(..., min_length=1, max_length=100, description="Its name.")
    options: dict[str, Any] = Field({}, description="Its options by name.")


def long_form(node: Node) -> Node:
    """A node of a file as `Named` holds it: options apart from the type."""
    if isinstance(node.value, str):
        return node.with_entries({"type": node})
    if not isinstance(node.value, dict):
        return node
    options = {key: child for key, child in node.entries.items() if key != "type"}
    entries = {key: child for key, child in node.entries.items() if key == "type"}
    if options:
        entries["options"] = Node(options, node.origin, node.key)
    return node.with_entries(entries)


@dataclass(frozen=True, slots=True)
class Option:
    """An option.

    Attributes:
        types: names of the types that its value may have.
        required: whether it has no default.
        low: the least number; None: any.
        high: the greatest number; None: any.
    """

    types: tuple[str, ...]
    required: bool = False
    low: float | None = None
    high: float | None = None

    def wrong(self, value: object) -> str:
        """What is expected instead of a value; empty if nothing is wrong with it."""
        if value is None and NULL in self.types:
            return ""
        names = [name for name in self.types if name != NULL]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        # An int may stand for a float; a bool is an int to Python, not to people.
        fitting = {type(value).__name__} | ({"float"} if is_number else set())
        if not fitting & set(names):
            return f"expected {' or '.join(names)}"
        if isinstance(value, int | float) and is_number:
            if self.low is not None and not value >= self.low:
                return f"expected {self.low:g} or more"
            if self.high is not None and not value <= self.high:
                return f"expected {self.high:g} or less"
        return ""


@dataclass(frozen=True, slots=True)
class Kind:
    """Something that can be named, say a sampler.

    Attributes:
        make: makes it from its options.
        options: by name.
    """

    make: Callable[..., Any]
    options: Mapping[str, Option]


def options_of(made: Callable[..., Any], hidden: tuple[str, ...] = ()) -> dict[str, Option]:
    """The options that a file can set: arguments that are plain values, but for the hidden ones."""
    options = {}
    for name, parameter in inspect.signature(made).parameters.items():
        types = tuple(part.strip() for part in str(parameter.annotation).split("|"))
        if name in hidden or not set(types) <= {*TYPES, NULL}:
            continue
        required = parameter.default is inspect.Parameter.empty
        options[name] = Option(types, required, *_ends(name, types))
    return options


def _ends(name: str, types: tuple[str, ...]) -> tuple[float | None, float | None]:
    if name in SHARES:
        return 0, 1
    if name == "percentile":
        return 0, 100
    if name in ("reduction_factor", "population_size"):
        return 2, None
    return (0 if name in ZERO_OR_MORE else 1, None) if "int" in types else (None, None)


def check(named: Named, kinds: Mapping[str, Kind], what: str) -> str:
    """What is wrong with a name and its options, and what would be right; empty: nothing."""
    kind = kinds.get(named.type)
    if kind is None:
        return f"unknown {what} {named.type!r}; {nearest(named.type, kinds)}"
    for name, value in named.options.items():
        option = kind.options.get(name)
        if option is None:
            hint = nearest(name, kind.options) or "it has none"
            return f"{what} {named.type} has no option {name!r}; {hint}"
        expected = option.wrong(value)
        if expected:
            return f"{name} of {what} {named.type} can't be {value!r}; {expected}"
    for name, option in kind.options.items():
        if option.required and name not in named.options:
            return f"{what} {named.type} needs the option {name!r}"
    return ""
