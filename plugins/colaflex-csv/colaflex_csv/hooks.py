"""The hooks by which colaflex tells of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import colaflex
from colaflex.hooks import RunInfo
from colaflex_csv.tables import write_result, write_steps

__all__ = ["colaflex_checkpoint", "colaflex_run_ended"]


@colaflex.hookimpl
def colaflex_checkpoint(run: RunInfo, path: Path) -> None:
    """The course so far; a run that is killed leaves it behind."""
    del path
    write_steps(run.folder)


@colaflex.hookimpl
def colaflex_run_ended(run: RunInfo, result: Mapping[str, object]) -> None:
    """The whole course, and the result."""
    write_steps(run.folder)
    write_result(run.folder, result)
