"""A linear readout that the decoder teaches, at little noise."""

from __future__ import annotations

from torch import Tensor

from colaflex.representations.decoder_taught import DecoderTaught

__all__ = ["ThroughDecoder"]


class ThroughDecoder(DecoderTaught):
    """One linear head; the decoder reads the clean latents that it expects.

    At much noise the mean of many latents is none that a decoder knows, and its cross-entropy would
    pull the mean to one of them: what reaches a latent has the weight (1 - t)^2 of its own time.
    """

    def decoded(self, said: Tensor) -> Tensor:
        """The expected latents."""
        return said

    def gate(self, times: Tensor) -> Tensor:
        """(1 - t)^2."""
        return (1.0 - times).square()
