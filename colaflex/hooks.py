"""What a plugin implements: the hook specifications, and how it names its components.

A plugin is a module (or an object) named in the entry-point group `colaflex`, with functions
decorated by `@colaflex.hookimpl`:

    @colaflex.hookimpl
    def colaflex_components():
        return [colaflex.Component("prior", "mine", "pkg.mine:Mine", "pkg.config:MineConfig", "…")]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pluggy

__all__ = ["KINDS", "Component", "Hooks", "RunInfo", "hookimpl", "hookspec"]

KINDS = (
    "segmenter",
    "representation",
    "prior",
    "network",
    "solver",
    "coupling",
    "schedule",
    "baseline",
    "corpus",
    "task",
    "scorer",
    "metric",
)

hookspec = pluggy.HookspecMarker("colaflex")
hookimpl = pluggy.HookimplMarker("colaflex")


@dataclass(frozen=True, slots=True)
class Component:
    """How a component is registered: where it lies, not the thing itself.

    Attributes:
        kind: one of `KINDS`.
        name: the word that a spec uses, lower case with underscores.
        target: "package.module:Class", imported when the component is built.
        config: "package.module:Class" of its `ComponentConfig`, in a module without torch.
        summary: one line on what it is.
        interface: version of the colaflex interfaces that the component was written for.
        version: raised by its author whenever its results change.

    Example:
        >>> mine = Component(
        ...     kind="prior",
        ...     name="mine",
        ...     target="package.prior:Mine",
        ...     config="package.config:MineConfig",
        ...     summary="A prior of mine.",
        ... )
        >>> mine.version
        '1'
    """

    kind: str
    name: str
    target: str
    config: str
    summary: str
    interface: int = 1
    version: str = "1"


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What life-cycle hooks learn of a run.

    Attributes:
        folder: the run folder.
        name: the spec's name.
        seed: the run's seed.
        spec: the resolved spec.

    Example:
        >>> @hookimpl
        ... def colaflex_run_ended(run, result):
        ...     print(run.folder, result["status"])
        >>> from pathlib import Path
        >>> colaflex_run_ended(RunInfo(Path("runs/first"), "first", 0, {}), {"status": "complete"})
        runs/first complete
    """

    folder: Path
    name: str
    seed: int
    spec: Mapping[str, object]


class Hooks:
    """Every hook that a plugin may implement; a plugin takes only the arguments that it needs.

    What a hook prints goes to stderr. A life-cycle hook that raises is reported once and the run
    goes on; under COLAFLEX_STRICT_PLUGINS=1 it ends the run.

    Example:
        >>> @hookimpl
        ... def colaflex_components():
        ...     return [Component("prior", "mine", "mine:Mine", "mine:MineConfig", "Mine.")]
        >>> [each.name for each in colaflex_components()]
        ['mine']
    """

    @hookspec
    def colaflex_components(self) -> Iterable[Component]:  # type: ignore[empty-body]
        """The components that the plugin offers. Since interface 1."""

    @hookspec
    def colaflex_run_started(self, run: RunInfo) -> None:
        """A run begins, or goes on after a resume. Since interface 1."""

    @hookspec
    def colaflex_step(self, run: RunInfo, record: Mapping[str, object]) -> None:
        """A line was appended to metrics.jsonl: `record`. Since interface 1."""

    @hookspec
    def colaflex_checkpoint(self, run: RunInfo, path: Path) -> None:
        """A checkpoint was written, whole, to `path`. Since interface 1."""

    @hookspec
    def colaflex_run_ended(self, run: RunInfo, result: Mapping[str, object]) -> None:
        """A run is over; `result` is what stands in result.json. Since interface 1."""
