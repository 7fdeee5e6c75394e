"""What all representations of token segments offer to priors."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from colaflex.interfaces.readout import Readout
from colaflex.interfaces.representation import Representation
from colaflex.interfaces.values import Segmentation, TokenBatch
from colaflex.representations.readout_config import ReadoutConfig
from colaflex.representations.token_history import TokenHistory
from colaflex.representations.token_readout import CategoricalReadout
from colaflex.representations.token_slots import TokenSlots

__all__ = ["TokenRepresentation"]


class TokenRepresentation(Representation):
    """Segments of tokens, told slot by slot, with the segment's end in slots that hold none.

    Attributes:
        group: where the first of so many segments is coarse, their number; 1 for one level.
        offers: how readouts and readings of history are made.
    """

    group: int = 1
    offers: ReadoutConfig

    @property
    @abstractmethod
    def token_table(self) -> Tensor:
        """(size + 1, channels) the decoder's embeddings of tokens and the segment's end."""

    def content(self, tokens: TokenBatch, segmentation: Segmentation) -> Tensor:
        """(batch, segments, slots) the tokens, and `end_of_segment` where there are none."""
        grid, held = segmentation.slots(tokens.tokens, self.slots)
        return torch.where(held, grid, self.end_of_segment)

    def _token_slots(self, inner: int | None) -> TokenSlots:
        inner = self.token_table.shape[1] if inner is None else inner
        return TokenSlots(self.end_of_segment + 1, self.slots, self.latent_dim, inner, self.group)

    def readout(self, name: str, width: int) -> Readout:
        """A categorical one; see `Representation.readout`."""
        if name != "categorical":
            return super().readout(name, width)
        if self.offers.embeddings == "own":
            return CategoricalReadout(
                self.offers, self._token_slots(self.offers.embedding_dim), width
            )
        return CategoricalReadout(
            self.offers, self._token_slots(None), width, lambda: self.token_table
        )

    def history(self, width: int) -> nn.Module:
        """Embeddings of the tokens; see `Representation.history`."""
        return TokenHistory(self._token_slots(self.offers.embedding_dim), width)
