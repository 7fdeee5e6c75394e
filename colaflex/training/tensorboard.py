"""A TensorBoard writer on the life-cycle hooks; needs the extra `track`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from colaflex.errors import UserError
from colaflex.files.reading import inside
from colaflex.hooks import RunInfo, hookimpl

__all__ = ["TensorBoard"]


class TensorBoard:
    """A plugin object: every number of metrics.jsonl becomes a scalar under RUN/tensorboard."""

    def __init__(self) -> None:
        self._writer: Any = None

    @hookimpl
    def colaflex_run_started(self, run: RunInfo) -> None:
        """Open the event file."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UserError("TensorBoard is not installed: pip install 'colaflex[track]'") from None
        self._writer = SummaryWriter(str(inside(run.folder, "tensorboard")))

    @hookimpl
    def colaflex_step(self, record: Mapping[str, object]) -> None:
        """Write the numbers of a line, each under its stage."""
        step = record["step"]
        for name, value in record.items():
            if name != "step" and isinstance(value, int | float):
                self._writer.add_scalar(f"{record['stage']}/{name}", value, step)

    @hookimpl
    def colaflex_checkpoint(self) -> None:
        """What a checkpoint knew of is on the disk."""
        self._writer.flush()

    @hookimpl
    def colaflex_run_ended(self) -> None:
        """Close the event file."""
        self._writer.close()
