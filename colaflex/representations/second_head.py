"""Two linear readouts: one for the flow, one for the text."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from colaflex.interfaces.readout import EndingReadout
from colaflex.representations.decoder_taught import DecoderTaught

__all__ = ["SecondHead"]


class SecondHead(DecoderTaught, EndingReadout):
    """The first head gives the mean that the flow needs, the second what is decoded at its end.

    The decoder teaches the second alone, so that the mean stays what it is.
    """

    heads: ClassVar[int] = 2

    def end(self, said: Tensor) -> Tensor:
        """See `EndingReadout.end`."""
        return said[..., self.sizes.dim :]

    def decoded(self, said: Tensor) -> Tensor:
        """The ends."""
        return self.end(said)
