"""Resampler: a passage as so many latents, each of them the answer to the same learned query.

References:
    AURORA-LM (2026), identical prefix-aligned queries both ways, dropout of tokens and of latent
    channels, https://arxiv.org/abs/2608.02602; Perceiver IO (2021), latents and outputs by
    queries, https://arxiv.org/abs/2107.14795.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.interfaces.losses import LossTerm
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.representation import Encoding
from colaflex.interfaces.values import Posterior, Segmentation, TokenBatch, Vocabulary
from colaflex.networks.attention import SelfAttention
from colaflex.networks.cache import Cache
from colaflex.networks.causal import CausalTransformer
from colaflex.representations.resampler_config import ResamplerConfig
from colaflex.representations.segment_decoder import SegmentDecoder, wide

__all__ = ["Resampler"]

QUERY_STD = 0.02
"""Of the queries at first: small, so that what they find soon counts for more than they do."""


class Resampler(SegmentDecoder):
    """q(z | x) is a point of mean square 1; no vector is squeezed out of one segment alone.

    The encoder is a causal transformer over [tokens of a segment | query], segment after segment:
    the query of segment i, the same for all, sees every token up to that segment's end and the
    queries before it, and its state gives the latent. The decoder is one over [latent | slot
    queries]: a slot starts from its own segment's latent, sees those before it and the slots before
    it; it hears tokens where the decoder is autoregressive.
    So N segments of r tokens are ceil(L / r) latents for L tokens, each cut where a prefix ends.

    Args:
        config: sizes, and what encoder and decoder learn to do without.
        vocabulary: the tokens.
        max_segment_tokens: slots of a segment.

    Example:
        >>> from colaflex.interfaces.values import Segmentation, TokenBatch, Vocabulary
        >>> sizes = {"vocabulary": Vocabulary(300, 256, 257), "max_segment_tokens": 4}
        >>> text = colaflex.build("representation", "resampler", latent_dim=8, **sizes)
        >>> rows = TokenBatch(torch.zeros(1, 10).long(), torch.tensor([10]), torch.tensor([False]))
        >>> text.encode(rows, Segmentation(torch.tensor([[4, 4, 2]]))).mean.shape
        torch.Size([1, 3, 8])
    """

    config: ResamplerConfig

    def __init__(
        self, config: ResamplerConfig, *, vocabulary: Vocabulary, max_segment_tokens: int
    ) -> None:
        super().__init__(config, vocabulary, max_segment_tokens)
        width, inner = config.width, config.embedding_dim
        # One embedding more, for slots that hold no token.
        self.embedding = nn.Embedding(vocabulary.size + 1, inner)
        self.enter = nn.Linear(inner, width)
        self.query = nn.Parameter(torch.empty(width))
        self.encoder = CausalTransformer(width, config.encoder_layers, config.heads)
        self.posterior = nn.Linear(width, config.latent_dim)
        self._add_decoder()
        # Queries are alike: what tells latents apart is what they read, from the first step on.
        for part in self.encoder.modules():
            if isinstance(part, SelfAttention):
                part.output.reset_parameters()
        nn.init.normal_(self.embedding.weight, std=1.0)
        nn.init.normal_(self.query, std=QUERY_STD)

    def _add_decoder(self) -> None:
        config = self.config
        width, inner = config.width, config.embedding_dim
        self.lift = nn.Linear(config.latent_dim, width)
        self.slot_queries = nn.Parameter(torch.empty(self.slots, width))
        self.decoder = CausalTransformer(width, config.decoder_layers, config.heads)
        self.part = nn.Linear(width, inner)
        self.places = None
        self._add_voice()
        nn.init.normal_(self.slot_queries, std=QUERY_STD)

    def decoder_parameters(self) -> Iterator[nn.Parameter]:
        """As the base's, and the slots' queries."""
        yield from super().decoder_parameters()
        yield self.slot_queries

    @property
    def positions(self) -> int:
        """Of a segment, in encoder as in decoder: its slots, and its latent."""
        return self.slots + 1

    def encode(self, tokens: TokenBatch, segmentation: Segmentation) -> Posterior:
        """The point of every segment; see `Representation.encode`."""
        grid, token_mask = segmentation.slots(tokens.tokens, self.slots)
        return self._posterior(torch.where(token_mask, grid, self.end_of_segment))

    def _posterior(self, grid: Tensor) -> Posterior:
        entered = self.enter(self.embedding(grid))
        query = self.query.to(entered.dtype).expand(*grid.shape[:2], 1, -1)
        states = self.encoder(torch.cat([entered, query], 2).flatten(1, 2))
        asked = states.unflatten(1, (-1, self.positions))[:, :, -1]
        return Posterior(functional.rms_norm(wide(self.posterior(asked)), (self.latent_dim,)))

    def losses(self, tokens: TokenBatch, segmentation: Segmentation, noise: Noise) -> Encoding:
        """Term "realisation", nats: tokens told from disturbed latents of a view with holes."""
        grid, token_mask = segmentation.slots(tokens.tokens, self.slots)
        read = torch.where(token_mask, grid, self.end_of_segment)
        if self.config.token_dropout:
            drawn = noise.uniform("token dropout", tuple(grid.shape), self.lift.weight)
            hidden = token_mask & (drawn < self.config.token_dropout)
            read = read.masked_fill(hidden, self.vocabulary.mask)
        posterior = self._posterior(read)
        decoded = self._decoded(self._disturbed(posterior.mode(), noise))
        logits = self._told(decoded, torch.where(token_mask, grid, self.end_of_segment), noise)
        realisation = self._realisation(logits, grid, token_mask, segmentation.mask)
        return Encoding({"realisation": LossTerm(realisation, "tokens")}, posterior, posterior.mean)

    def _dropped(self, sample: Tensor, noise: Noise) -> Tensor:
        drawn = noise.uniform("latent dropout", sample.shape, sample)
        return sample * (drawn >= self.config.latent_dropout)

    def _laid(self, latents: Tensor) -> Tensor:
        """(batch, segments · positions, width): what the decoder reads."""
        lifted = self.lift(latents)[:, :, None]
        slots = lifted + self.slot_queries.to(lifted.dtype)
        return torch.cat([lifted, slots], 2).flatten(1, 2)

    def _decoded(self, latents: Tensor) -> Tensor:
        states: Tensor = self.decoder(self._laid(latents))
        return states

    def _slots(self, states: Tensor) -> Tensor:
        slots: Tensor = self.part(states.unflatten(1, (-1, self.positions))[:, :, 1:])
        return slots

    def _extended(
        self, latents: Tensor, state: Cache, counts: Tensor | None
    ) -> tuple[Tensor, Cache]:
        return self.decoder.extend(self._laid(latents), state, self._counted(counts))

    def continue_decoding(
        self, latents: Tensor, state: Cache, counts: Tensor | None = None
    ) -> Cache:
        """See `Representation.continue_decoding`."""
        return self.decoder.commit(self._laid(latents), state, self._counted(counts))

    def _counted(self, counts: Tensor | None) -> Tensor | None:
        return None if counts is None else counts * self.positions

    def decoding_flops(self, batch: int, segments: int) -> int:
        """See `TokenRepresentation.decoding_flops`."""
        linear = self.lift.weight.numel() + self.slots * self.part.weight.numel()
        passed = self.decoder.flops(batch, segments * self.positions)
        return 2 * batch * segments * linear + passed + self._voice_flops(batch * segments)

    def flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one forward pass of `losses`."""
        linear = self.slots * self.enter.weight.numel() + self.posterior.weight.numel()
        encoded = self.encoder.flops(batch, segments * self.positions)
        return 2 * batch * segments * linear + encoded + self.decoding_flops(batch, segments)
