"""Two linear readouts: one for the flow, one for the text."""

from __future__ import annotations

from torch import Tensor, nn

from colaflex.interfaces.readout import EndingReadout
from colaflex.representations.decoder_taught import DecoderTaught, Realisation
from colaflex.representations.token_slots import TokenSlots

__all__ = ["SecondHead"]


class SecondHead(DecoderTaught, EndingReadout):
    """The first head gives the mean that the flow needs, the second what is decoded at its end.

    The decoder teaches the second alone, so that the mean stays what it is.

    Args:
        weight: of the cross-entropy, nats per latent.
        decoder: the representation's.
        sizes: of what latents stand for.
        width: channels of the network's states.
    """

    def __init__(self, weight: float, decoder: Realisation, sizes: TokenSlots, width: int) -> None:
        super().__init__(weight, decoder, sizes)
        self.heads = nn.Linear(width, 2 * sizes.dim)
        nn.init.zeros_(self.heads.weight)
        nn.init.zeros_(self.heads.bias)

    def said(self, states: Tensor) -> Tensor:
        """(..., block, 2 dim): the mean, then the end."""
        both: Tensor = self.heads(states)
        return both

    def mean(self, said: Tensor) -> Tensor:
        """See `Readout.mean`."""
        return said[..., : self.sizes.dim]

    def end(self, said: Tensor) -> Tensor:
        """See `EndingReadout.end`."""
        return said[..., self.sizes.dim :]

    def decoded(self, said: Tensor) -> Tensor:
        """The ends."""
        return self.end(said)

    def flops(self, latents: int) -> int:
        """Model FLOPs of both heads."""
        return 2 * latents * self.heads.weight.numel()
