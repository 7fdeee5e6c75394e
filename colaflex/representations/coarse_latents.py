"""What a segment autoencoder learns on top where some of its latents are coarse."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.interfaces.levels import coarse_places, grouped
from colaflex.interfaces.values import Segmentation, TokenBatch

__all__ = ["CoarseLatents"]


class CoarseLatents(nn.Module):
    """The first latent of every group stands for the fine segments that follow in it.

    The encoder reads a coarse latent off the mean of their vectors; the decoder, whose other
    states see it, tells from its own state which tokens they hold, in no order.

    Args:
        group: segments of a group, the coarse one among them.
        width: channels of encoder and decoder.
        inner: channels of a token embedding.
    """

    def __init__(self, group: int, width: int, inner: int) -> None:
        super().__init__()
        self.group = group
        self.gather = nn.Linear(width, width)
        self.encoder_level = nn.Embedding(2, width)
        self.decoder_level = nn.Embedding(2, width)
        self.gist = nn.Linear(width, inner)

    def members(self, tokens: TokenBatch, segmentation: Segmentation) -> Tensor:
        """(batch, segments) bool: fine segments that their coarse one stands for.

        They are those before the first boundary that is forced within the group: what lies behind
        the end of a prompt is none of its coarse latent's business.
        """
        exists = segmentation.lengths > 0
        if tokens.forced is None:
            return exists
        starts = segmentation.lengths.cumsum(1) - segmentation.lengths
        forced = functional.pad(tokens.forced, (0, 1))  # empty segments start behind the row
        boundary = grouped(forced.gather(1, starts) & exists, self.group)
        boundary[:, :, :2] = False  # a boundary before the group cuts nothing off
        whole = (boundary.cumsum(2) == 0).flatten(1)[:, : exists.shape[1]]
        return exists & whole

    def read(self, vectors: Tensor, members: Tensor) -> Tensor:
        """(batch, segments, width): the fine segments' vectors and the coarse ones', marked."""
        apart, count = grouped(vectors, self.group), grouped(members, self.group)[..., None]
        mean = torch.where(count, apart, 0.0).sum(2) / count.sum(2).clamp(min=1)
        both = torch.cat([self.gather(mean)[:, :, None], apart[:, :, 1:]], 2).flatten(1, 2)
        places = torch.arange(vectors.shape[1], device=vectors.device)
        return both[:, : vectors.shape[1]] + self._marks(self.encoder_level, places)

    def mark(self, lifted: Tensor, before: Tensor | None = None) -> Tensor:
        """Lifted latents with their level's mark.

        Args:
            lifted: (batch, segments, width).
            before: (batch,) latents that stand before them; none by default.
        """
        places = torch.arange(lifted.shape[1], device=lifted.device)
        if before is not None:
            places = before[:, None] + places
        return lifted + self._marks(self.decoder_level, places)

    def _marks(self, table: nn.Embedding, places: Tensor) -> Tensor:
        marks: Tensor = table(coarse_places(places, self.group).long())
        return marks

    def gist_states(self, states: Tensor) -> Tensor:
        """(batch, segments, width) decoder states -> (batch, groups, inner) of the coarse ones."""
        inner: Tensor = functional.silu(self.gist(states[:, :: self.group]))
        return inner

    def bag(self, logits: Tensor, grid: Tensor, token_mask: Tensor) -> Tensor:
        """Sum of -log p(token) over the tokens that coarse latents stand for, nats.

        Args:
            logits: (batch, groups, size).
            grid: (batch, segments, slots) tokens.
            token_mask: (batch, segments, slots) bool, the tokens meant.
        """
        tokens, counted = (grouped(part, self.group).flatten(2) for part in (grid, token_mask))
        log_p = logits.log_softmax(-1).gather(-1, tokens)
        return -torch.where(counted, log_p, 0.0).sum()

    def flops(self, unembedding: int) -> int:
        """Model FLOPs a segment, on average; `unembedding` is the number of its weights."""
        coarse = self.gather.weight.numel() + self.gist.weight.numel() + unembedding
        return 2 * coarse // self.group
