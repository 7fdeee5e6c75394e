"""The catalogue of components: what there is, by kind and name, and why something is not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypedDict

from colaflex.errors import UserError
from colaflex.hints import hint
from colaflex.hooks import KINDS, Component
from colaflex.host.metadata import PluginSource, normalised
from colaflex.host.plugin import Plugin

__all__ = ["Catalogue", "ComponentError", "Entry", "Row", "from_distribution"]


class ComponentError(UserError, ValueError):
    """A component can't be had; a ValueError too, so that pydantic adds the place in the spec."""


class Row(TypedDict):
    """One line of `colaflex plugins`; a plugin that names no component has no kind and name."""

    kind: str | None
    name: str | None
    target: str | None
    summary: str | None
    distribution: str
    version: str
    entry_point: str
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A component that is ready, and where it comes from."""

    component: Component
    source: PluginSource

    @property
    def distribution(self) -> str:
        """The distribution that it was installed with."""
        return self.source.distribution

    @property
    def version(self) -> str:
        """Version of the distribution."""
        return self.source.version

    @property
    def entry_point(self) -> str:
        """Name of the plugin's entry point."""
        return self.source.name

    @property
    def qualified(self) -> str:
        """distribution:name, which means this component whatever else is installed."""
        return f"{normalised(self.distribution)}:{self.component.name}"

    @property
    def described(self) -> str:
        """Kind, name and origin, for messages."""
        return f"the {self.component.kind} {self.component.name!r} of {self.source.place}"


class Catalogue:
    """Finds components among the plugins' registrations; imports nothing."""

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        self.plugins = tuple(plugins)
        self._entries: dict[tuple[str, str], list[Entry]] = {}
        for plugin in self.plugins:
            if plugin.status == "ready":
                for component in plugin.components:
                    key = component.kind, component.name
                    self._entries.setdefault(key, []).append(Entry(component, plugin.source))

    def entries(self, kind: str) -> list[Entry]:
        """All components of a kind."""
        return [e for (k, _), entries in self._entries.items() if k == kind for e in entries]

    def spelling(self, entry: Entry) -> str:
        """The short name where it means this component, else distribution:name."""
        named = self._entries[entry.component.kind, entry.component.name]
        return entry.component.name if _short_choice(named) is entry else entry.qualified

    def names(self, kind: str) -> list[str]:
        """The names that `find` takes, sorted; an ambiguous one in its qualified forms."""
        return sorted(self.spelling(entry) for entry in self.entries(kind))

    def find(self, kind: str, name: str) -> Entry:
        """The component that a name stands for.

        Args:
            kind: one of `KINDS`.
            name: its name, or distribution:name.

        Raises:
            ComponentError: unknown, ambiguous, switched off, or of a plugin that failed.
        """
        if kind not in KINDS:
            raise ComponentError(f"unknown kind of component {kind!r}{hint(kind, KINDS, 'kinds')}")
        distribution, _, short = name.rpartition(":")
        entries = self._entries.get((kind, short), [])
        if distribution:
            entries = [e for e in entries if from_distribution(e.source, distribution)]
        chosen = _short_choice(entries)
        if chosen:
            return chosen
        if entries:
            spellings = " or ".join(e.qualified for e in entries)
            raise ComponentError(f"the {kind} {name!r} is ambiguous: write {spellings}")
        raise ComponentError(self._missing(kind, distribution, short))

    def rows(self) -> list[Row]:
        """What `colaflex plugins` lists: by kind and name, plugins without components last."""
        rows = [row for plugin in self.plugins for row in self._rows(plugin)]
        order = {kind: place for place, kind in enumerate(KINDS)}
        return sorted(
            rows,
            key=lambda r: (
                order.get(r["kind"] or "", len(order)),
                r["name"] or "",
                r["distribution"],
                r["entry_point"],
            ),
        )

    def _rows(self, plugin: Plugin) -> list[Row]:
        rows = []
        for component in plugin.components or (None,):
            status, reason = plugin.status, plugin.reason
            shared = [] if component is None else self._rivals(plugin, component)
            rows.append(
                Row(
                    kind=component.kind if component else None,
                    name=component.name if component else None,
                    target=component.target if component else None,
                    summary=component.summary if component else None,
                    distribution=plugin.source.distribution,
                    version=plugin.source.version,
                    entry_point=plugin.source.name,
                    status="ambiguous" if shared else status,
                    reason=f"write {' or '.join(shared)}" if shared else reason,
                )
            )
        return rows

    def _rivals(self, plugin: Plugin, component: Component) -> list[str]:
        """The spellings by which a component is had whose short name isn't its own."""
        if plugin.status != "ready":
            return []
        entries = self._entries[component.kind, component.name]
        chosen = _short_choice(entries)
        if chosen is None:
            return [e.qualified for e in entries]
        if chosen.source is plugin.source:
            return []
        return [e.qualified for e in entries if e.source is plugin.source]

    def _missing(self, kind: str, distribution: str, short: str) -> str:
        """Why there is no such component: the plugin's stored cause, where one is to blame."""
        name = f"{distribution}:{short}" if distribution else short
        others = [p for p in self.plugins if p.status != "ready"]
        if distribution:
            others = [p for p in others if from_distribution(p.source, distribution)]
        claimants = [
            p for p in others if any((c.kind, c.name) == (kind, short) for c in p.components)
        ]
        if claimants:
            clauses = "; ".join(_state(p) for p in claimants)
            return f"the {kind} {name!r} can't be used: {clauses}"
        message = f"unknown {kind} {name!r}{hint(name, self.names(kind))}"
        elsewhere = [k for k, n in self._entries if n == short and k != kind]
        if elsewhere and not distribution:
            message += f"; {short!r} is a {elsewhere[0]}"
        if distribution and not any(
            from_distribution(p.source, distribution) for p in self.plugins
        ):
            message += f"; no plugin of that name is installed: pip install {distribution}"
        # One that failed early never said what it has: it may well be the one that is meant.
        silent = [p for p in others if not p.components]
        if silent:
            clauses = "\n  ".join(_state(p) for p in silent)
            message += f"\nThese plugins are not loaded and may have it:\n  {clauses}"
        return message


def from_distribution(source: PluginSource, distribution: str) -> bool:
    """Whether a plugin belongs to a distribution, however that is spelt."""
    return normalised(source.distribution) == normalised(distribution)


def _state(plugin: Plugin) -> str:
    why = "" if plugin.status == "disabled" else f" [colaflex plugins --why {plugin.source.name}]"
    return f"the plugin {plugin.source.place} {plugin.status}: {plugin.reason}{why}"


def _short_choice(entries: Sequence[Entry]) -> Entry | None:
    """Which of those of one name the short name means: ours, or the only one."""
    own = [entry for entry in entries if entry.source.own]
    if own:
        return own[0]
    return entries[0] if len(entries) == 1 else None
