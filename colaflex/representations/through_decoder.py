"""A linear readout that the decoder teaches, at little noise."""

from __future__ import annotations

from torch import Tensor, nn

from colaflex.representations.decoder_taught import DecoderTaught, Realisation
from colaflex.representations.token_slots import TokenSlots

__all__ = ["ThroughDecoder"]


class ThroughDecoder(DecoderTaught):
    """One linear head; the decoder reads the clean latents that it expects.

    At much noise the mean of many latents is none that a decoder knows, and its cross-entropy would
    pull the mean to one of them: what reaches a latent has the weight (1 - t)^2 of its own time.

    Args:
        weight: of the cross-entropy at no noise, nats per latent.
        decoder: the representation's.
        sizes: of what latents stand for.
        width: channels of the network's states.
    """

    def __init__(self, weight: float, decoder: Realisation, sizes: TokenSlots, width: int) -> None:
        super().__init__(weight, decoder, sizes)
        self.linear = nn.Linear(width, sizes.dim)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def said(self, states: Tensor) -> Tensor:
        """(..., block, dim): the clean latents themselves."""
        latents: Tensor = self.linear(states)
        return latents

    def mean(self, said: Tensor) -> Tensor:
        """See `Readout.mean`."""
        return said

    def decoded(self, said: Tensor) -> Tensor:
        """The expected latents."""
        return said

    def gate(self, times: Tensor) -> Tensor:
        """(1 - t)^2."""
        return (1.0 - times).square()

    def flops(self, latents: int) -> int:
        """Model FLOPs of the head."""
        return 2 * latents * self.linear.weight.numel()
