"""How a readout is called: to learn what latents stand for, or to keep what it says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from colaflex.interfaces.one_line import one_line
from colaflex.interfaces.readout import Readout
from colaflex.interfaces.values import LatentBatch

__all__ = ["ContentTargets", "ReadoutCall", "SaidRecorder", "content_of"]


class ReadoutCall(Protocol):
    """Stands between a network and its readout."""

    def read(self, head: Readout, states: Tensor) -> Tensor:
        """(..., block, width) -> (..., block, dim), the clean latents that the readout gives."""
        ...


@dataclass(frozen=True)
class ContentTargets:
    """What a readout learns in a step, and what that cost at each call.

    Attributes:
        content: (samples · batch, blocks, block, any) what the path's latents stand for.
        losses: (samples · batch, blocks, block) nats, of each call in order.
    """

    content: Tensor
    losses: list[Tensor] = field(default_factory=list)

    __repr__ = one_line

    @classmethod
    def repeated(cls, content: Tensor, samples: int) -> ContentTargets:
        """The same for each noising; content is (batch, blocks, block, any)."""
        return cls(content.repeat(samples, *(1 for _ in content.shape[1:])))

    def read(self, head: Readout, states: Tensor) -> Tensor:
        """Teach the readout; see `ReadoutCall.read`."""
        clean, nats = head.taught(states, self.content)
        self.losses.append(nats)
        return clean

    def mean(self) -> Tensor:
        """(samples · batch, blocks, block) nats, over the calls."""
        return torch.stack(self.losses).mean(0)


@dataclass
class SaidRecorder:
    """Keeps what a readout said last.

    Attributes:
        said: see `Readout.said`; empty before the first call.
    """

    said: Tensor = field(default_factory=lambda: torch.empty(0))

    __repr__ = one_line

    def read(self, head: Readout, states: Tensor) -> Tensor:
        """Hear the readout; see `ReadoutCall.read`."""
        self.said = head.said(states)
        return head.mean(self.said)


def content_of(latents: LatentBatch) -> Tensor:
    """What latents stand for; raises ValueError where nobody said."""
    if latents.content is None:
        raise ValueError("this prior asks what latents stand for: LatentBatch.content is missing")
    return latents.content
