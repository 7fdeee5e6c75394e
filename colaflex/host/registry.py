"""The registry: every component by kind and name, whoever it comes from.

The rest of the program reaches components here and nowhere else.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any

from colaflex.errors import UserError, WrongKind
from colaflex.hints import hint
from colaflex.host.components import Catalogue, ComponentError, Entry, Row, from_distribution
from colaflex.host.life_cycle import LifeCycle
from colaflex.host.metadata import COMMANDS, COMPONENTS, Selection, installed
from colaflex.host.plugin import Plugin, cause, load_plugin, stdout_to_stderr
from colaflex.interfaces.component import ComponentConfig, install_resolver
from colaflex.runtime import terminal

__all__ = ["ComponentError", "Entry", "Registry", "Row", "build", "registry"]


class Registry(Catalogue):
    """All components of the installed plugins, their configs, and how they are built.

    Attributes:
        heavy_configs: paths of configs whose import brought torch in, though it should not.
    """

    def __init__(self, plugins: Iterable[Plugin], strict: bool = False) -> None:
        super().__init__(plugins)
        self._strict = strict
        self._objects: dict[str, object] = {}
        self.heavy_configs: set[str] = set()

    @classmethod
    def discover(cls, selection: Selection | None = None) -> Registry:
        """Load every plugin that is switched on, one at a time."""
        selection = selection or Selection.from_environment()
        plugins: list[Plugin] = []
        for source in installed(COMPONENTS):
            refusal = selection.refusal(source)
            if refusal:
                plugins.append(Plugin(source, "disabled", refusal))
                continue
            plugin = _without_rivals(load_plugin(source), plugins)
            if plugin.status == "failed" and (selection.strict or source.own):
                failure = f"the plugin {source.place} failed: {plugin.reason}\n{plugin.trace}"
                raise ComponentError(failure.rstrip())
            plugins.append(plugin)
        return cls(plugins, selection.strict)

    def config_class(self, kind: str, name: str) -> type[ComponentConfig]:
        """The config class of a component; raises ComponentError where it is not fit for use."""
        return self._config_class(self.find(kind, name))

    def config(self, kind: str, raw: object) -> ComponentConfig:
        """The config that a spec's value stands for.

        Args:
            kind: one of `KINDS`.
            raw: a name, a mapping with `type`, or a config.

        Returns:
            The config, its `type` the short name, or distribution:name where that is ambiguous.

        Raises:
            ComponentError: no such component.
            pydantic.ValidationError: its options are wrong.
        """
        if isinstance(raw, ComponentConfig):
            return raw
        options: Mapping[str, object] = {"type": raw} if isinstance(raw, str) else _mapping(raw)
        name = options.get("type")
        if not isinstance(name, str):
            raise ComponentError(
                f"a {kind} is a name, or a mapping with `type`; got {raw!r} "
                f"(there are: {', '.join(self.names(kind))})"
            )
        entry = self.find(kind, name)
        fields = {**options, "type": self.spelling(entry)}
        return self._config_class(entry).model_validate(fields)

    def target(self, kind: str, name: str) -> Callable[..., Any]:
        """The class of a component, imported; raises ComponentError where that fails."""
        return self._target(self.find(kind, name))

    def entry_of(self, config: ComponentConfig) -> Entry:
        """The component that a config belongs to: by its type, else by its class."""
        if config.type:
            return self.find(config.kind, config.type)
        path = f"{type(config).__module__}:{type(config).__qualname__}"
        entries = [e for e in self.entries(config.kind) if e.component.config == path]
        if len(entries) == 1:
            return entries[0]
        raise ComponentError(f"{path} has no `type` and is the config of {len(entries)} components")

    def build(self, config: ComponentConfig, **context: Any) -> Any:
        """Construct a component as `target(config, **context)`.

        A constructor that takes `build` gets this method, to build the components that its own
        config names.

        Raises:
            ComponentError: the class can't be imported, or doesn't take that context.
        """
        entry = self.entry_of(config)
        target = self._target(entry)
        signature = inspect.signature(target)
        open_ended = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
        if open_ended or "build" in signature.parameters:
            context.setdefault("build", self.build)
        options = [*list(signature.parameters)[1:], *type(config).model_fields]
        for name in context:
            if not open_ended and name not in signature.parameters:
                raise ComponentError(
                    f"{entry.described} has no option {name!r}{hint(name, options)}"
                )
        try:
            signature.bind(config, **context)
        except TypeError as error:
            raise ComponentError(f"{entry.described} can't be built: {error}") from error
        try:
            return target(config, **context)
        except Exception as error:
            if not entry.source.own:
                error.add_note(f"raised while building {entry.described}")
            raise

    def faults(self, plugin: Plugin) -> list[str]:
        """What is wrong with the components of a ready plugin.

        Looks at every config, and whether the module of every target is there; imports no target,
        since those bring torch in.
        """
        if plugin.status != "ready":
            return []
        entries = [Entry(component, plugin.source) for component in plugin.components]
        return [fault for entry in entries for fault in self._faults(entry)]

    def _faults(self, entry: Entry) -> Iterator[str]:
        path = entry.component.config
        try:
            self._config_class(entry).model_json_schema()
        except ComponentError as error:
            yield str(error)
        except Exception as error:
            yield f"{entry.described}: its config {path} has no JSON Schema: {cause(error)}"
        if path in self.heavy_configs:
            yield f"{entry.described}: its config {path} imports torch, which makes commands slow"
        module = entry.component.target.partition(":")[0]
        try:
            with stdout_to_stderr():
                missing = importlib.util.find_spec(module) is None
            problem = "there is no such module" if missing else ""
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            problem = cause(error)
        if problem:
            target = entry.component.target
            yield f"{entry.described} can't be used: its target {target}: {problem}"

    def life_cycle(self, *observers: object) -> LifeCycle:
        """The life-cycle hooks of all plugins, and of objects that observe this run alone."""
        hooks = [(p.source.place, p.hooks) for p in self.plugins if p.hooks is not None]
        return LifeCycle(hooks, observers, self._strict)

    def _config_class(self, entry: Entry) -> type[ComponentConfig]:
        before = "torch" in sys.modules
        path = entry.component.config
        config = self._object(entry, "config", path)
        if not before and "torch" in sys.modules:
            self.heavy_configs.add(path)
        if not (inspect.isclass(config) and issubclass(config, ComponentConfig)):
            raise ComponentError(
                f"{entry.described} can't be used: its config {path} "
                f"is no subclass of ComponentConfig"
            )
        kind = getattr(config, "kind", "")
        if kind != entry.component.kind:
            raise ComponentError(
                f"{entry.described} can't be used: its config {path} has kind = {kind!r}"
            )
        return config

    def _target(self, entry: Entry) -> Callable[..., Any]:
        target = self._object(entry, "target", entry.component.target)
        if not callable(target):
            raise ComponentError(
                f"{entry.described} can't be used: its target "
                f"{entry.component.target} is {target!r}, expected a class"
            )
        return target

    def _object(self, entry: Entry, part: str, path: str) -> object:
        """Import "module:attribute"; a stranger's failure names the distribution."""
        if path in self._objects:
            return self._objects[path]
        module, _, attribute = path.partition(":")
        try:
            with stdout_to_stderr():
                value: object = attrgetter(attribute)(importlib.import_module(module))
        except UserError:
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if entry.source.own or self._strict:
                raise
            raise ComponentError(
                f"{entry.described} can't be used: its {part} {path} fails to import: "
                f"{cause(error)} [COLAFLEX_STRICT_PLUGINS=1 shows the traceback]"
            ) from error
        self._objects[path] = value
        return value


def _mapping(raw: object) -> Mapping[str, object]:
    return raw if isinstance(raw, Mapping) else {}


def _without_rivals(plugin: Plugin, others: Iterable[Plugin]) -> Plugin:
    """The plugin, or its failure: within one distribution, distribution:name must be unique."""
    entry_points = {
        (component.kind, component.name): other.source.name
        for other in others
        if other.status == "ready" and from_distribution(other.source, plugin.source.distribution)
        for component in other.components
    }
    for component in plugin.components if plugin.status == "ready" else ():
        key = component.kind, component.name
        if key in entry_points:
            reason = (
                f"the {component.kind} {component.name!r} is registered by the same distribution's "
                f"entry point {entry_points[key]!r} already"
            )
            return Plugin(plugin.source, "failed", reason)
    return plugin


_discovering = False


@functools.cache
def registry() -> Registry:
    """The registry of this process: plugins load at the first call, failures go to stderr once.

    Raises:
        ComponentError: a plugin asks for it while it is itself being loaded.
    """
    global _discovering
    if _discovering:
        raise ComponentError("a plugin is loaded before there is a registry; it can't ask for one")
    selection = Selection.from_environment()
    for warning in selection.misnamed([*installed(COMPONENTS), *installed(COMMANDS)]):
        terminal.say(f"warning: {warning}")
    _discovering = True
    try:
        current = Registry.discover(selection)
    finally:
        _discovering = False
    for plugin in current.plugins:
        if plugin.status == "failed":
            terminal.say(plugin.warning)
    install_resolver(current.config)
    return current


def build(kind: str, name: str, **options: Any) -> Any:
    """Build a component by name, for notebooks.

    `build("prior", "flow_matching", latent_dim=16, block_size=8)`: options that are fields of the
    component's config go there, the others to its constructor.

    Raises:
        ComponentError: unknown component, or an option that it doesn't take.
        WrongKind: what is given are no names.
        pydantic.ValidationError: a config field has a wrong value.

    Example:
        >>> prior = build("prior", "flow_matching", latent_dim=16, block_size=8)
        >>> prior.sample(rows=2, blocks=1).shape
        torch.Size([2, 8, 16])
    """
    if not isinstance(kind, str) or not isinstance(name, str):
        raise WrongKind(f"expected the names of a kind and a component, got {kind!r}, {name!r}")
    known = registry()
    fields = known.config_class(kind, name).model_fields
    chosen = {key: value for key, value in options.items() if key in fields}
    context = {key: value for key, value in options.items() if key not in fields}
    return known.build(known.config(kind, {**chosen, "type": name}), **context)
