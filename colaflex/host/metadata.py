"""Entry points of installed distributions, read from metadata alone, and which are switched on.

Imports no plugin, and nothing heavier than importlib.metadata.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from colaflex.hints import hint

__all__ = [
    "ALLOW",
    "COMMANDS",
    "COMPONENTS",
    "REFUSE",
    "STRICT",
    "PluginSource",
    "Selection",
    "installed",
    "normalised",
    "spare_libraries",
]

COMPONENTS = "colaflex"
COMMANDS = "colaflex.commands"

ALLOW = "COLAFLEX_PLUGINS"
REFUSE = "COLAFLEX_DISABLE_PLUGINS"
STRICT = "COLAFLEX_STRICT_PLUGINS"


def normalised(distribution: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


@dataclass(frozen=True, slots=True)
class PluginSource:
    """One entry point of an installed distribution.

    Attributes:
        distribution: name as its metadata writes it.
        version: of the distribution.
        name: of the entry point.
        value: "module" or "module:attribute".
        problem: why the metadata can't be read, or None.
    """

    distribution: str
    version: str
    name: str
    value: str
    problem: str | None = None

    @property
    def own(self) -> bool:
        """Whether it is colaflex's own."""
        return normalised(self.distribution) == "colaflex"

    @property
    def place(self) -> str:
        """Distribution, version and entry point, for messages."""
        return f"{self.distribution} {self.version} (entry point {self.name} = {self.value})"

    def answers_to(self, name: str) -> bool:
        """Whether `name` is its entry point or its distribution."""
        return name == self.name or normalised(name) == normalised(self.distribution)

    def load(self) -> Any:
        """Import what the entry point names; raises whatever the import raises."""
        point = metadata.EntryPoint(self.name, self.value, COMPONENTS)
        if not point.pattern.match(self.value):
            raise ValueError(f"the entry point is {self.value!r}, expected module or module:object")
        return point.load()


@dataclass(frozen=True, slots=True)
class Selection:
    """Which plugins may load, decided before any import.

    Attributes:
        allowed: names of the only ones to load, or None for all.
        refused: names of those switched off.
        strict: a broken plugin raises, for plugin authors.
    """

    allowed: frozenset[str] | None = None
    refused: frozenset[str] = frozenset()
    strict: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Selection:
        """From COLAFLEX_PLUGINS, COLAFLEX_DISABLE_PLUGINS and COLAFLEX_STRICT_PLUGINS."""
        values = os.environ if environment is None else environment
        allowed = values.get(ALLOW)
        return cls(
            allowed=None if allowed is None else _names(allowed),
            refused=_names(values.get(REFUSE, "")),
            strict=values.get(STRICT, "") not in {"", "0"},
        )

    def refusal(self, source: PluginSource) -> str | None:
        """Why the plugin may not load, or None; colaflex's own components always may."""
        if source.own:
            return None
        if any(source.answers_to(name) for name in self.refused):
            return f"switched off by {REFUSE} or --no-plugin"
        if self.allowed is not None and not any(source.answers_to(n) for n in self.allowed):
            return f"not named in {ALLOW}"
        return None

    def misnamed(self, sources: Iterable[PluginSource]) -> list[str]:
        """A warning for each name that does nothing: no plugin's, or refused though it is ours."""
        sources = list(sources)
        strange = [source for source in sources if not source.own]
        names = {name for s in strange for name in (s.name, s.distribution)}
        warnings = []
        for name in sorted(self.refused | (self.allowed or frozenset())):
            answering = [source for source in sources if source.answers_to(name)]
            if not answering:
                warnings.append(f"no plugin {name!r} is installed{hint(name, names)}")
            elif name in self.refused and all(source.own for source in answering):
                warnings.append(f"{name!r} is part of colaflex and can't be switched off")
        return warnings


def _names(value: str) -> frozenset[str]:
    return frozenset(name.strip() for name in value.split(",") if name.strip())


def installed(group: str) -> list[PluginSource]:
    """Entry points of a group: ours first, the others by distribution and name.

    Of two installations of one distribution the first on the path counts, as in imports.
    """
    by_distribution: dict[str, list[PluginSource]] = {}
    for distribution in metadata.distributions():
        if f"[{group}]" in _entry_points_text(distribution):
            sources = list(_sources(distribution, group))
            if sources:
                by_distribution.setdefault(normalised(sources[0].distribution), sources)
    sources = [source for of_one in by_distribution.values() for source in of_one]
    return sorted(sources, key=lambda s: (not s.own, normalised(s.distribution), s.name))


def spare_libraries() -> None:
    """Keep pydantic and torch from entry points where some can't be read.

    Imported, they look through those of all distributions, and one malformed file stops them.
    """
    if not all(map(_readable, metadata.distributions())):
        os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
        os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")


def _readable(distribution: metadata.Distribution) -> bool:
    try:
        return distribution.entry_points is not None
    except (TypeError, ValueError):  # UnicodeDecodeError is one
        return False


def _entry_points_text(distribution: metadata.Distribution) -> str:
    try:
        return distribution.read_text("entry_points.txt") or ""
    except UnicodeDecodeError:
        # Ours are ASCII names in files that we could have read; this one names none of them.
        return ""


def _sources(distribution: metadata.Distribution, group: str) -> Iterator[PluginSource]:
    """The group's entry points; one with a `problem` where the file can't be parsed."""
    try:
        points = [point for point in distribution.entry_points if point.group == group]
    except (TypeError, ValueError) as error:
        name, version = _identity(distribution, "unknown")
        problem = f"its entry_points.txt can't be read: {error}"
        yield PluginSource(name, version, name, "entry_points.txt", problem)
        return
    for point in points:
        name, version = _identity(distribution, re.split("[.:]", point.value)[0])
        yield PluginSource(name, version, point.name, point.value)


def _identity(distribution: metadata.Distribution, otherwise: str) -> tuple[str, str]:
    """Name and version; an installation cut short may lack its METADATA."""
    try:
        name = distribution.metadata["Name"]
        version = distribution.version
    except Exception:  # what is raised depends on the Python version
        return otherwise, "unknown"
    return name or otherwise, version or "unknown"
