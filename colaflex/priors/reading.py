"""What a readout is taught of a batch, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from colaflex.interfaces.values import LatentBatch

__all__ = ["Reading", "content_of"]


@dataclass(frozen=True)
class Reading:
    """What a readout is taught in a step, and what that cost at each call.

    Attributes:
        content: (samples · batch, blocks, block, any) what the path's latents stand for.
        losses: (samples · batch, blocks, block) nats, of each call in order.
    """

    content: Tensor
    losses: list[Tensor] = field(default_factory=list)

    def mean(self) -> Tensor:
        """(samples · batch, blocks, block) nats, over the calls."""
        return torch.stack(self.losses).mean(0)


def content_of(latents: LatentBatch) -> Tensor:
    """What latents stand for; raises ValueError where nobody told."""
    if latents.content is None:
        raise ValueError("this prior asks what latents stand for: LatentBatch.content is missing")
    return latents.content
