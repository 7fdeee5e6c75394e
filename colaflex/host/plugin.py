"""One plugin loaded under guard: whatever it does wrong stays its own."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pluggy

from colaflex.hints import hint
from colaflex.hooks import KINDS, Component, Hooks
from colaflex.host.metadata import PluginSource
from colaflex.interfaces.component import INTERFACE_VERSION

__all__ = [
    "NAME",
    "OBJECT",
    "Plugin",
    "PluginError",
    "cause",
    "hook_manager",
    "load_plugin",
    "stdout_to_stderr",
]

NAME = re.compile(r"[a-z][a-z0-9_]*")
OBJECT = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")

Status = Literal["ready", "disabled", "failed"]


class PluginError(Exception):
    """A plugin broke the contract; the message says how."""


@dataclass(frozen=True)
class Plugin:
    """A plugin and what became of it.

    Attributes:
        source: where it comes from.
        status: ready, disabled or failed.
        reason: why it is disabled or failed, one line.
        trace: the traceback of a failure.
        components: what it offers; of a failed one, what it would have offered, as far as known.
        hooks: its own hook manager, only where it is ready.
    """

    source: PluginSource
    status: Status
    reason: str = ""
    trace: str = ""
    components: tuple[Component, ...] = ()
    hooks: pluggy.PluginManager | None = None

    @property
    def warning(self) -> str:
        """One line for a failed plugin."""
        return (
            f"warning: skipped the plugin {self.source.place}: {self.reason} "
            f"[colaflex plugins --why {self.source.name}]"
        )


def load_plugin(source: PluginSource) -> Plugin:
    """Import a plugin and ask for its components; a failure is returned, never raised.

    Every plugin has a hook manager of its own, so that nothing half-done is left behind.
    KeyboardInterrupt passes.
    """
    claimed: list[Component] = []
    try:
        if source.problem:
            raise PluginError(source.problem)
        with stdout_to_stderr():
            manager = hook_manager(source.load(), source.name)
            claimed += _offered(manager)
            _check(claimed)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # not every error is an Exception: pytest's skip is none
        trace = "".join(traceback.format_exception(error))
        named = tuple(component for component in claimed if not _not_text(component))
        return Plugin(source, "failed", cause(error), trace, named)
    return Plugin(source, "ready", components=tuple(claimed), hooks=manager)


def hook_manager(plugin: Any, name: str) -> pluggy.PluginManager:
    """A hook manager that knows this plugin alone; raises PluginError for one without hooks."""
    manager = pluggy.PluginManager("colaflex")
    manager.add_hookspecs(Hooks)
    manager.register(plugin, name)
    known = {hook for hook in dir(Hooks) if hook.startswith("colaflex_")}
    for caller in manager.get_hookcallers(plugin) or ():
        if caller.name not in known:
            raise PluginError(f"unknown hook {caller.name!r}{hint(caller.name, known, 'hooks')}")
    manager.check_pending()
    if not manager.get_hookcallers(plugin):
        kind = "module" if hasattr(plugin, "__spec__") else type(plugin).__name__
        raise PluginError(f"the {kind} {name!r} has no function decorated by @colaflex.hookimpl")
    return manager


def _offered(manager: pluggy.PluginManager) -> Iterator[Component]:
    for answer in manager.hook.colaflex_components():
        if not isinstance(answer, Iterable) or isinstance(answer, str | bytes):
            raise PluginError(
                f"colaflex_components returned {answer!r}, expected a list of colaflex.Component"
            )
        for component in answer:
            if not isinstance(component, Component):
                raise PluginError(
                    f"colaflex_components returned {component!r} in its list, "
                    "expected a colaflex.Component"
                )
            yield component


def _check(components: list[Component]) -> None:
    seen = set()
    for component in components:
        problem = _problem(component)
        if problem:
            raise PluginError(f"component {component.kind!r} {component.name!r}: {problem}")
        if (component.kind, component.name) in seen:
            raise PluginError(f"it registers the {component.kind} {component.name!r} twice")
        seen.add((component.kind, component.name))


def _problem(component: Component) -> str | None:
    """What is wrong with a registration, or None."""
    if component.interface != INTERFACE_VERSION:
        return (
            f"written for interface version {component.interface!r}, "
            f"this colaflex has version {INTERFACE_VERSION}"
        )
    wrong = _not_text(component)
    if wrong:
        return f"{wrong[0]} must be a string, not {getattr(component, wrong[0])!r}"
    if component.kind not in KINDS:
        return f"unknown kind{hint(component.kind, KINDS, 'kinds')}"
    if not NAME.fullmatch(component.name):
        return "a name is lower-case letters, digits and underscores, beginning with a letter"
    for field in ("target", "config"):
        if not OBJECT.fullmatch(getattr(component, field)):
            return f"{field} is {getattr(component, field)!r}, expected 'package.module:Class'"
    if not component.summary.strip() or not component.version.strip():
        return "summary and version must not be empty"
    return None


def _not_text(component: Component) -> list[str]:
    fields = ("kind", "name", "target", "config", "summary", "version")
    return [field for field in fields if not isinstance(getattr(component, field), str)]


def cause(error: BaseException) -> str:
    """An error in one line."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # a stranger's error may fail to say what it is
        text = ""
    if isinstance(error, PluginError):
        return text
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r}) while loading"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send to stderr all that is printed meanwhile, by Python or by native code."""
    with contextlib.ExitStack() as stack:
        _flush(sys.stdout)
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        # A process may have no stdout or stderr at all; then there is nothing to keep clean.
        with contextlib.suppress(OSError):
            saved = os.dup(1)
            stack.callback(_restore, saved)
            os.dup2(2, 1)
        yield


def _restore(saved: int) -> None:
    # What was written to the stream but not yet to the descriptor belongs to stderr, too.
    _flush(sys.__stdout__)
    os.dup2(saved, 1)
    os.close(saved)


def _flush(stream: io.TextIOBase | Any) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stream.flush()
