"""Life-cycle hooks of a run, called so that no plugin can end it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pluggy

from colaflex.hooks import RunInfo
from colaflex.host.plugin import cause, hook_manager, stdout_to_stderr
from colaflex.runtime import terminal

__all__ = ["LifeCycle"]


class LifeCycle:
    """Tells plugins what happens to a run.

    A hook that raises is reported on stderr once, with the distribution's name, and is called
    again the next time; with `strict`, what it raised goes on up.
    """

    def __init__(
        self,
        hooks: Sequence[tuple[str, pluggy.PluginManager]] = (),
        observers: Sequence[object] = (),
        strict: bool = False,
    ) -> None:
        """Hooks of plugins with the names to report them by, and objects that observe this run."""
        local = [(type(o).__name__, hook_manager(o, type(o).__name__)) for o in observers]
        self._hooks = [*hooks, *local]
        self._strict = strict
        self._reported: set[tuple[str, str]] = set()

    def run_started(self, run: RunInfo) -> None:
        """The run begins, or goes on after a resume."""
        self._call("colaflex_run_started", run=run)

    def step(self, run: RunInfo, record: Mapping[str, object]) -> None:
        """A line was appended to metrics.jsonl."""
        self._call("colaflex_step", run=run, record=record)

    def checkpoint(self, run: RunInfo, path: Path) -> None:
        """A checkpoint was written."""
        self._call("colaflex_checkpoint", run=run, path=path)

    def run_ended(self, run: RunInfo, result: Mapping[str, object]) -> None:
        """The run is over."""
        self._call("colaflex_run_ended", run=run, result=result)

    def _call(self, hook: str, **arguments: Any) -> None:
        for place, manager in self._hooks:
            caller = getattr(manager.hook, hook)
            if not caller.get_hookimpls():
                continue
            try:
                with stdout_to_stderr():
                    caller(**arguments)
            except (Exception, SystemExit) as error:
                if self._strict:
                    raise
                self._report(place, hook, error)

    def _report(self, place: str, hook: str, error: BaseException) -> None:
        if (place, hook) in self._reported:
            return
        self._reported.add((place, hook))
        terminal.say(
            f"warning: the hook {hook} of the plugin {place} failed, the run goes on: "
            f"{cause(error)}"
        )
