"""What all representations of token segments offer to priors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from colaflex.interfaces.readout import Readout
from colaflex.interfaces.representation import Representation
from colaflex.interfaces.values import Segmentation, TokenBatch
from colaflex.representations.block_recurrent_readout import BlockRecurrentReadout
from colaflex.representations.categorical_readout import CategoricalReadout
from colaflex.representations.chained_readout import ChainedReadout
from colaflex.representations.configs import ReadoutConfig
from colaflex.representations.decoder_readouts import Realisation, SecondHead, ThroughDecoder
from colaflex.representations.recurrent_readout import RecurrentReadout
from colaflex.representations.token_content import TokenHistory, TokenSlots, token_costs

__all__ = ["TokenRepresentation"]

CATEGORICAL: Mapping[str, type[CategoricalReadout]] = {
    "categorical": CategoricalReadout,
    "chained": ChainedReadout,
    "recurrent": RecurrentReadout,
    "block_recurrent": BlockRecurrentReadout,
}
DECODER_READOUTS: Mapping[str, type[ThroughDecoder | SecondHead]] = {
    "through_decoder": ThroughDecoder,
    "second_head": SecondHead,
}


class TokenRepresentation(Representation):
    """Segments of tokens, decoded slot by slot, with the segment's end in slots that hold none.

    Attributes:
        group: where the first of so many segments is coarse, their number; 1 for one level.
        offers: how readouts and readings of history are made.

    Example:
        >>> from colaflex.interfaces.values import Segmentation, TokenBatch, Vocabulary
        >>> sizes = {"vocabulary": Vocabulary(300, 256, 257), "max_segment_tokens": 3}
        >>> text = colaflex.build("representation", "text_vae", **sizes)
        >>> ids, whole = torch.tensor([[5, 6, 7, 8]]), torch.tensor([False])
        >>> rows = TokenBatch(ids, torch.tensor([4]), whole)
        >>> text.content(rows, Segmentation(torch.tensor([[3, 1]])))
        tensor([[[  5,   6,   7],
                 [  8, 300, 300]]])
    """

    group: int = 1
    offers: ReadoutConfig

    @property
    @abstractmethod
    def token_table(self) -> Tensor:
        """(size + 1, channels) the decoder's embeddings of tokens and the segment's end."""

    def content(self, tokens: TokenBatch, segmentation: Segmentation) -> Tensor:
        """(batch, segments, slots) the tokens, and `end_of_segment` where there are none."""
        grid, token_mask = segmentation.slots(tokens.tokens, self.slots)
        return torch.where(token_mask, grid, self.end_of_segment)

    def _token_slots(self, inner: int | None) -> TokenSlots:
        inner = self.token_table.shape[1] if inner is None else inner
        return TokenSlots(self.end_of_segment + 1, self.slots, self.latent_dim, inner, self.group)

    @abstractmethod
    def decoding_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of `decode` on so many latents."""

    def costs(self, latents: Tensor, content: Tensor) -> Tensor:
        """What the tokens of each segment cost; see `Representation.costs`."""
        return token_costs(self.told(latents, content), content)

    def readout(self, name: str, width: int) -> Readout:
        """A categorical one, or one that the decoder teaches; see `Representation.readout`."""
        if name in DECODER_READOUTS:
            decoder = Realisation(
                lambda latents: self.decode(latents),
                lambda latents, content: self.told(latents, content),
                lambda batch, segments: self.decoding_flops(batch, segments),
            )
            sizes = self._token_slots(None)
            return DECODER_READOUTS[name](self.offers.weight, decoder, sizes, width)
        if name not in CATEGORICAL:
            return super().readout(name, width)
        if self.slots == 1 and name != "block_recurrent":  # there is no chain of one
            name = "categorical"
        if self.offers.embeddings == "own":
            sizes = self._token_slots(self.offers.embedding_dim)
            return CATEGORICAL[name](self.offers, sizes, width)
        sizes = self._token_slots(None)
        return CATEGORICAL[name](self.offers, sizes, width, lambda: self.token_table)

    def history(self, width: int) -> nn.Module:
        """Embeddings of the tokens; see `Representation.history`."""
        return TokenHistory(self._token_slots(self.offers.embedding_dim), width)
