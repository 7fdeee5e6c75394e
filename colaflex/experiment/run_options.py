"""Settings of a run that are none of the experiment's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from colaflex.errors import UserError
from colaflex.hints import hint
from colaflex.interfaces.corpus import Split

__all__ = ["RunOptions"]

_WORDS = {
    "precision": ("auto", "fp32", "bf16"),
    "strategy": ("ddp", "fsdp"),
    "split": get_args(Split),
}


@dataclass(frozen=True)
class RunOptions:
    """Settings of a run that are none of the experiment's.

    Attributes:
        resume: go on with what the folder holds.
        device: cpu, cuda, or auto.
        precision: fp32, bf16, or auto (bf16 where the hardware multiplies it natively).
        strategy: of several processes, ddp or fsdp.
        tensorboard: write TensorBoard events as well.
        quiet: no progress.
        split: the held-out documents that the model is measured on.
        report: whether a report page is written.

    Example:
        >>> options = RunOptions(device="cpu", precision="fp32", quiet=True)
        >>> options.split
        'test'
    """

    resume: bool = False
    device: str = "auto"
    precision: str = "auto"
    strategy: str = "ddp"
    tensorboard: bool = False
    quiet: bool = False
    split: Split = "test"
    report: bool = True

    def __post_init__(self) -> None:
        """Refuse words that mean nothing, which would be taken for others."""
        for name, words in _WORDS.items():
            if (given := getattr(self, name)) not in words:
                raise UserError(f"{name} {given!r}{hint(str(given), words)}")
