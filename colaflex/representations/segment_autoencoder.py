"""What the autoencoders over token segments share: encoder, decoder and their losses."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.interfaces.losses import Losses, LossTerm
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.representation import Encoding
from colaflex.interfaces.values import Posterior, Segmentation, TokenBatch, Vocabulary
from colaflex.networks.causal import CausalTransformer
from colaflex.representations.alignment import Alignment
from colaflex.representations.segment_autoencoder_config import SegmentAutoencoderConfig
from colaflex.representations.segment_decoder import SegmentDecoder, wide

__all__ = ["SegmentAutoencoder"]


class SegmentAutoencoder(SegmentDecoder):
    """Lifts token segments to vectors and back, causal over segments both ways.

    The tokens of a segment are embedded slot by slot and joined into one vector; a causal
    transformer over those vectors gives the states of which a subclass makes the posterior.

    Args:
        config: sizes, and how the decoder's input is disturbed in training.
        vocabulary: the tokens.
        max_segment_tokens: slots of a segment.
        channels: outputs of the encoder's head, for each latent.
    """

    config: SegmentAutoencoderConfig

    def __init__(
        self,
        config: SegmentAutoencoderConfig,
        *,
        vocabulary: Vocabulary,
        max_segment_tokens: int,
        channels: int,
    ) -> None:
        super().__init__(config, vocabulary, max_segment_tokens)
        width, inner = config.width, config.embedding_dim
        # One embedding more, for slots that hold no token.
        self.embedding = nn.Embedding(vocabulary.size + 1, inner)
        self.join = nn.Linear(self.slots * inner, width)
        self.encoder = CausalTransformer(width, config.encoder_layers, config.heads)
        self.posterior = nn.Linear(width, channels)
        self._add_decoder()
        nn.init.normal_(self.embedding.weight, std=1.0)
        self.alignment: Alignment | None = None
        if config.alignment != "none":
            self.alignment = Alignment(config.alignment, vocabulary, width)

    @abstractmethod
    def _posterior(self, states: Tensor) -> Posterior:
        """The latents' posterior from the encoder's states, (batch, segments, width)."""

    def _regularisers(self, posterior: Posterior, mask: Tensor) -> Losses:
        """Loss terms of the posterior alone; none by default."""
        del posterior, mask
        return {}

    def encode(self, tokens: TokenBatch, segmentation: Segmentation) -> Posterior:
        """The posterior of every segment's latent; see `Representation.encode`."""
        grid, held = segmentation.slots(tokens.tokens, self.slots)
        return self._posterior(self._states(grid, held))

    def _states(self, grid: Tensor, held: Tensor) -> Tensor:
        grid = torch.where(held, grid, self.end_of_segment)
        states: Tensor = self.encoder(self.join(self.embedding(grid).flatten(2)))
        return states

    def losses(self, tokens: TokenBatch, segmentation: Segmentation, noise: Noise) -> Encoding:
        """Terms "realisation", the regularisers, "masked"; see `Representation.losses`."""
        config = self.config
        grid, held = segmentation.slots(tokens.tokens, self.slots)
        states = self._states(grid, held)
        posterior = self._posterior(states)
        mask = segmentation.mask
        sample = posterior.sample(noise.normal("posterior", posterior.mean.shape, posterior.mean))
        logits = self.decode(self._disturbed(sample, noise))
        realisation = self._cross_entropy(logits, grid, held, mask)
        terms = {"realisation": LossTerm(realisation, "tokens")}
        terms.update(self._regularisers(posterior, mask))
        if config.mask_weight:
            masked = self._masked(grid, held, noise)
            terms["masked"] = LossTerm(masked, "tokens", config.mask_weight)
        if self.alignment is not None and config.alignment != "none":
            apart = self.alignment(states, tokens, segmentation)
            terms["alignment"] = LossTerm(apart, "latents", config.alignment.weight)
        return Encoding(terms, posterior, sample)

    def _masked(self, grid: Tensor, held: Tensor, noise: Noise) -> Tensor:
        """Cross-entropy of hidden tokens from a masked view of some rows (BERT-style)."""
        config, like = self.config, self.lift.weight
        rows = noise.uniform("masked rows", (grid.shape[0],), like) < config.mask_rows
        tokens = noise.uniform("masked tokens", grid.shape, like) < config.mask_ratio
        grid, held, hidden = grid[rows], held[rows], (tokens & held)[rows]
        view = torch.where(hidden, self.vocabulary.mask, grid)
        logits = self.decode(self._posterior(self._states(view, held)).mean)[hidden]
        total = functional.cross_entropy(wide(logits), grid[hidden], reduction="sum")
        return total / (config.mask_ratio * config.mask_rows)

    def flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one forward pass of `losses`."""
        linear = (self.join, self.posterior, self.lift, self.part)
        per_segment = 2 * sum(m.weight.numel() for m in linear)
        per_segment += 2 * self.slots * self.unembedding.weight.numel()
        once = batch * segments * per_segment
        once += self.encoder.flops(batch, segments) + self.decoder.flops(batch, segments)
        total = int(once * (1 + (self.config.mask_rows if self.config.mask_weight else 0)))
        if self.alignment is not None:
            total += self.alignment.flops(batch, segments) + self.frozen_flops(batch, segments)
        return total

    def frozen_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of the frozen encoder that is aligned to, if any."""
        if self.alignment is None:
            return 0
        return self.alignment.frozen_flops(batch, segments * self.slots)
