"""What the autoencoders over token segments share: encoder, decoder and their losses."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.interfaces.losses import Losses, LossTerm
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.representation import Encoding, Representation
from colaflex.interfaces.values import Posterior, Segmentation, TokenBatch, Vocabulary
from colaflex.networks.cache import Cache
from colaflex.networks.causal import CausalTransformer
from colaflex.representations.levels import Levels
from colaflex.representations.segment_autoencoder_config import SegmentAutoencoderConfig

__all__ = ["SegmentAutoencoder", "wide"]


class SegmentAutoencoder(Representation):
    """Lifts token segments to vectors and back, causal over segments both ways.

    The tokens of a segment are embedded slot by slot and joined into one vector; a causal
    transformer over those vectors gives the states of which a subclass makes the posterior. The
    decoder runs a causal transformer over the latents and reads every slot's logits,
    end-of-segment among them, off its state; slots are independent given that state.

    Args:
        config: sizes, and how the decoder's input is disturbed in training.
        vocabulary: the tokens.
        max_segment_tokens: slots of a segment.
        channels: outputs of the encoder's head, for each latent.
        group: where the first of so many segments is coarse, their number; 1 for one level.
    """

    config: SegmentAutoencoderConfig

    def __init__(
        self,
        config: SegmentAutoencoderConfig,
        *,
        vocabulary: Vocabulary,
        max_segment_tokens: int,
        channels: int,
        group: int = 1,
    ) -> None:
        super().__init__()
        self.config, self.vocabulary = config, vocabulary
        self.latent_dim, self.slots = config.latent_dim, max_segment_tokens
        self.end_of_segment = vocabulary.size
        width, inner = config.width, config.embedding_dim
        # One embedding more, for slots that hold no token.
        self.embedding = nn.Embedding(vocabulary.size + 1, inner)
        self.join = nn.Linear(self.slots * inner, width)
        self.encoder = CausalTransformer(width, config.encoder_layers, config.heads)
        self.posterior = nn.Linear(width, channels)
        self.lift = nn.Linear(config.latent_dim, width)
        self.decoder = CausalTransformer(width, config.decoder_layers, config.heads)
        self.part = nn.Linear(width, self.slots * inner)
        self.unembedding = nn.Linear(inner, vocabulary.size + 1)
        nn.init.normal_(self.embedding.weight, std=1.0)
        self.levels = Levels(group, width, inner) if group > 1 else None

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
        return self._posterior(self._states(grid, held, self._members(tokens, segmentation)))

    def _members(self, tokens: TokenBatch, segmentation: Segmentation) -> Tensor:
        if self.levels is None:
            return segmentation.mask
        return self.levels.members(tokens, segmentation)

    def _states(self, grid: Tensor, held: Tensor, members: Tensor) -> Tensor:
        grid = torch.where(held, grid, self.end_of_segment)
        vectors: Tensor = self.join(self.embedding(grid).flatten(2))
        if self.levels is not None:
            vectors = self.levels.read(vectors, members)
        states: Tensor = self.encoder(vectors)
        return states

    def decode(self, latents: Tensor) -> Tensor:
        """Logits of every slot; see `Representation.decode`."""
        return self._logits(self.decoder(self._lifted(latents)))

    def _lifted(self, latents: Tensor, before: Tensor | None = None) -> Tensor:
        lifted: Tensor = self.lift(latents)
        return lifted if self.levels is None else self.levels.mark(lifted, before)

    def _logits(self, states: Tensor) -> Tensor:
        slots = self.part(states).unflatten(-1, (self.slots, -1))
        logits: Tensor = self.unembedding(functional.silu(slots))
        return logits

    def begin_decoding(self, rows: int) -> Cache:
        """An empty decoder cache."""
        return self.decoder.begin(rows, self.lift.weight)

    def decode_next(
        self, latents: Tensor, state: Cache, counts: Tensor | None = None
    ) -> tuple[Tensor, Cache]:
        """Logits of further latents; see `Representation.decode_next`."""
        states, state = self.decoder.extend(self._lifted(latents, state.lengths), state, counts)
        return self._logits(states), state

    def select_decoding(self, state: Cache, rows: Tensor) -> Cache:
        """The decoder cache of some of the rows."""
        return state.select(rows)

    def losses(self, tokens: TokenBatch, segmentation: Segmentation, noise: Noise) -> Encoding:
        """Terms "realisation", the regularisers, "coarse", "masked"; see `Representation.losses`.

        "coarse", where there are two levels: a coarse latent's tokens in no order, from the
        decoder's state there, which has seen none of its fine latents.
        """
        config = self.config
        grid, held = segmentation.slots(tokens.tokens, self.slots)
        members, mask = self._members(tokens, segmentation), segmentation.mask
        posterior = self._posterior(self._states(grid, held, members))
        sample = posterior.sample(noise.normal("posterior", posterior.mean.shape, posterior.mean))
        states = self.decoder(self._lifted(self._disturbed(sample, noise)))
        realisation = self._cross_entropy(
            self._logits(states), grid, held, segmentation.lengths > 0
        )
        terms = {"realisation": LossTerm(realisation, "tokens")}
        terms.update(self._regularisers(posterior, mask))
        if self.levels is not None:
            logits = wide(self.unembedding(self.levels.gist_states(states))[..., :-1])
            bag = self.levels.bag(logits, grid, held & members[..., None])
            terms["coarse"] = LossTerm(bag, "tokens", config.coarse_weight)
        if config.mask_weight:
            masked = self._masked(grid, held, members, noise)
            terms["masked"] = LossTerm(masked, "tokens", config.mask_weight)
        return Encoding(terms, posterior, sample)

    def _disturbed(self, sample: Tensor, noise: Noise) -> Tensor:
        """The latents as the decoder learns to read them: channels dropped, noise added."""
        dropout, std = self.config.latent_dropout, self.config.decoder_noise
        fed = sample
        if dropout:
            kept = noise.uniform("latent dropout", sample.shape, sample) >= dropout
            fed = fed * kept / (1 - dropout)
        if std:
            # Each latent by its own size: no other row takes part, and none can outgrow the noise.
            size = sample.detach().square().mean(-1, keepdim=True).sqrt()
            fed = fed + std * size * noise.normal("decoder noise", sample.shape, sample)
        return fed

    def _cross_entropy(self, logits: Tensor, grid: Tensor, held: Tensor, mask: Tensor) -> Tensor:
        """Sum over the tokens and, of a short segment, the end-of-segment that follows them."""
        target, counted = self._targets(grid, held, mask)
        return functional.cross_entropy(wide(logits[counted]), target[counted], reduction="sum")

    def _targets(self, grid: Tensor, held: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        target = torch.where(held, grid, self.end_of_segment)
        # The first empty slot of an existing segment has to say that the segment ends.
        ends = functional.pad(held[..., :-1], (1, 0), value=True) & ~held & mask[..., None]
        return target, held | ends

    def _masked(self, grid: Tensor, held: Tensor, members: Tensor, noise: Noise) -> Tensor:
        """Cross-entropy of hidden tokens from a masked view of some rows (BERT-style)."""
        config, like = self.config, self.lift.weight
        rows = noise.uniform("masked rows", (grid.shape[0],), like) < config.mask_rows
        tokens = noise.uniform("masked tokens", grid.shape, like) < config.mask_ratio
        grid, held, hidden = grid[rows], held[rows], (tokens & held)[rows]
        view = torch.where(hidden, self.vocabulary.mask, grid)
        logits = self.decode(self._posterior(self._states(view, held, members[rows])).mean)[hidden]
        total = functional.cross_entropy(wide(logits), grid[hidden], reduction="sum")
        return total / (config.mask_ratio * config.mask_rows)

    def flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one forward pass of `losses`."""
        linear = (self.join, self.posterior, self.lift, self.part)
        per_segment = 2 * sum(m.weight.numel() for m in linear)
        per_segment += 2 * self.slots * self.unembedding.weight.numel()
        if self.levels is not None:
            per_segment += self.levels.flops(self.unembedding.weight.numel())
        once = batch * segments * per_segment
        once += self.encoder.flops(batch, segments) + self.decoder.flops(batch, segments)
        return int(once * (1 + (self.config.mask_rows if self.config.mask_weight else 0)))


def wide(x: Tensor) -> Tensor:
    """At least fp32: softmax and densities are never computed in bf16."""
    return x if x.dtype == torch.float64 else x.float()
