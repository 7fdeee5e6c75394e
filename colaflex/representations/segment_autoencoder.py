"""What the autoencoders over token segments share: encoder, decoder and their losses."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.interfaces.losses import Losses, LossTerm
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.representation import Encoding
from colaflex.interfaces.values import Posterior, Segmentation, TokenBatch, Vocabulary
from colaflex.networks.boundaries import confident, smoothed
from colaflex.networks.causal import CausalTransformer
from colaflex.networks.transformer import fitting_heads
from colaflex.representations.alignment import Alignment
from colaflex.representations.coarse_latents import CoarseLatents
from colaflex.representations.configs import SegmentAutoencoderConfig
from colaflex.representations.segment_decoder import SegmentDecoder, wide

__all__ = ["SegmentAutoencoder"]


class SegmentAutoencoder(SegmentDecoder):
    """Lifts token segments to vectors and back, causal over segments both ways.

    The tokens of a segment are embedded slot by slot and joined into one vector; a causal
    transformer over those vectors gives the states of which a subclass makes the posterior. With
    `token_layers`, what is joined are causal states of the tokens, and learned boundaries take
    part: see `colaflex.networks.boundaries`.

    Args:
        config: sizes, and how the decoder's input is disturbed in training.
        vocabulary: the tokens.
        max_segment_tokens: slots of a segment.
        group: where the first of so many segments is coarse, their number; 1 for one level.

    Example:
        >>> from colaflex.interfaces.values import Posterior
        >>> class Points(SegmentAutoencoder):
        ...     def _posterior(self, states):
        ...         return Posterior(self.posterior(states))
    """

    config: SegmentAutoencoderConfig

    def __init__(
        self,
        config: SegmentAutoencoderConfig,
        *,
        vocabulary: Vocabulary,
        max_segment_tokens: int,
        group: int = 1,
    ) -> None:
        super().__init__(config, vocabulary, max_segment_tokens)
        self.group = group
        width, inner = config.width, config.embedding_dim
        # One embedding more, for slots that hold no token.
        self.embedding = nn.Embedding(vocabulary.size + 1, inner)
        self.token_encoder: CausalTransformer | None = None
        self.join = nn.Linear(self.slots * inner, width)
        self.encoder = CausalTransformer(width, config.encoder_layers, config.heads)
        self.posterior = nn.Linear(width, self.posterior_channels)
        self._add_decoder()
        nn.init.normal_(self.embedding.weight, std=1.0)
        self.levels = CoarseLatents(group, width, inner) if group > 1 else None
        if config.token_layers:
            heads = fitting_heads(inner, config.heads)
            self.token_encoder = CausalTransformer(inner, config.token_layers, heads)
        self.alignment: Alignment | None = None
        if config.alignment != "none":
            self.alignment = Alignment(config.alignment, vocabulary, width)

    @property
    def posterior_channels(self) -> int:
        """Outputs of the encoder's head, for each latent."""
        return self.latent_dim

    @abstractmethod
    def _posterior(self, states: Tensor) -> Posterior:
        """The latents' posterior from the encoder's states, (batch, segments, width)."""

    def _regularisers(self, posterior: Posterior, mask: Tensor) -> Losses:
        """Loss terms of the posterior alone; none by default."""
        del posterior, mask
        return {}

    def encode(self, tokens: TokenBatch, segmentation: Segmentation) -> Posterior:
        """The posterior of every segment's latent; see `Representation.encode`."""
        members = self._members(tokens, segmentation)
        return self._posterior(self._states(tokens.tokens, segmentation, members))

    @property
    def segmentwise(self) -> bool:
        """Without layers of the encoder, token layers and coarse latents, it is."""
        return not len(self.encoder.layers) and self.token_encoder is None and self.levels is None

    @property
    def token_width(self) -> int:
        """Channels of the token states; 0 where there are none."""
        return 0 if self.token_encoder is None else self.token_encoder.width

    def token_states(self, tokens: TokenBatch) -> Tensor:
        """(batch, tokens, width): what the token layers make of the tokens."""
        return self._token_states(tokens.tokens)

    def _token_states(self, tokens: Tensor) -> Tensor:
        assert self.token_encoder is not None
        states: Tensor = self.token_encoder(self.embedding(tokens))
        return states

    def token_state_parameters(self) -> Iterator[nn.Parameter]:
        """Embeddings and token layers."""
        if self.token_encoder is not None:
            yield from self.embedding.parameters()
            yield from self.token_encoder.parameters()

    def _members(self, tokens: TokenBatch, segmentation: Segmentation) -> Tensor:
        if self.levels is None:
            return segmentation.mask
        return self.levels.members(tokens, segmentation)

    def _states(self, tokens: Tensor, segmentation: Segmentation, members: Tensor) -> Tensor:
        grid, token_mask = segmentation.slots(tokens, self.slots)
        inputs = self.embedding(torch.where(token_mask, grid, self.end_of_segment))
        if self.token_encoder is not None:
            token_states = segmentation.states
            token_states = self._token_states(tokens) if token_states is None else token_states
            token_states = segmentation.spread(confident(token_states, segmentation), self.slots)
            inputs = torch.where(token_mask[..., None], token_states, inputs)
        vectors = smoothed(self.join(inputs.flatten(2)), segmentation)
        if self.levels is not None:
            vectors = self.levels.read(vectors, members)
        states: Tensor = self.encoder(vectors)
        return states

    def _lifted(self, latents: Tensor, before: Tensor | None = None) -> Tensor:
        lifted = super()._lifted(latents, before)
        return lifted if self.levels is None else self.levels.mark(lifted, before)

    def losses(self, tokens: TokenBatch, segmentation: Segmentation, noise: Noise) -> Encoding:
        """Terms "realisation", the regularisers, "coarse", "masked"; see `Representation.losses`.

        "coarse", where there are two levels: a coarse latent's tokens in no order, from the
        decoder's state there, which has seen none of its fine latents.
        """
        config = self.config
        grid, token_mask = segmentation.slots(tokens.tokens, self.slots)
        members, mask = self._members(tokens, segmentation), segmentation.mask
        encoded = self._states(
            self._view(tokens.tokens, segmentation, noise), segmentation, members
        )
        posterior = self._posterior(encoded)
        sample = posterior.sample(noise.normal("posterior", posterior.mean.shape, posterior.mean))
        states = self.decoder(self._lifted(self._disturbed(sample, noise)))
        logits = self._told(states, torch.where(token_mask, grid, self.end_of_segment), noise)
        realisation = self._realisation(logits, grid, token_mask, segmentation.lengths > 0)
        terms = {"realisation": LossTerm(realisation, "tokens")}
        terms.update(self._regularisers(posterior, mask))
        if self.levels is not None:
            logits = wide(self.unembedding(self.levels.gist_states(states))[..., :-1])
            bag = self.levels.bag(logits, grid, token_mask & members[..., None])
            terms["coarse"] = LossTerm(bag, "tokens", config.coarse_weight)
        if config.mask_weight:
            masked = self._masked(tokens.tokens, segmentation, members, noise)
            terms["masked"] = LossTerm(masked, "tokens", config.mask_weight)
        if self.alignment is not None and config.alignment != "none":
            apart = self.alignment(encoded, tokens, segmentation)
            terms["alignment"] = LossTerm(apart, "latents", config.alignment.weight)
        return Encoding(terms, posterior, sample)

    def _view(self, tokens: Tensor, segmentation: Segmentation, noise: Noise) -> Tensor:
        """The tokens as the encoder learns to read them: some of them hidden."""
        share = self.config.token_dropout
        if not share:
            return tokens
        slots = (*segmentation.lengths.shape, self.slots)
        hidden = noise.uniform("token dropout", slots, self.lift.weight) < share
        return self._without(tokens, segmentation, hidden)

    def _without(self, tokens: Tensor, segmentation: Segmentation, hidden: Tensor) -> Tensor:
        """The tokens, with a mask in place of those in slots that are hidden."""
        place = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        places, held = segmentation.slots(place, self.slots)
        hidden = hidden & held
        row = hidden.nonzero()[:, 0]
        return tokens.index_put((row, places[hidden]), tokens.new_tensor(self.vocabulary.mask))

    def _masked(
        self, tokens: Tensor, segmentation: Segmentation, members: Tensor, noise: Noise
    ) -> Tensor:
        """Cross-entropy of hidden tokens from a masked view of some rows (BERT-style)."""
        config, like = self.config, self.lift.weight
        drawn = (*segmentation.lengths.shape, self.slots)
        rows = noise.uniform("masked rows", drawn[:1], like) < config.mask_rows
        chosen = noise.uniform("masked tokens", drawn, like) < config.mask_ratio
        tokens, segmentation = tokens[rows], replace(segmentation.rows(rows), states=None)
        grid, token_mask = segmentation.slots(tokens, self.slots)
        hidden = chosen[rows] & token_mask
        view = self._without(tokens, segmentation, hidden)
        states = self._states(view, segmentation, members[rows])
        content = torch.where(token_mask, grid, self.end_of_segment)
        logits = self.told(self._posterior(states).mean, content)[hidden]
        total = functional.cross_entropy(wide(logits), grid[hidden], reduction="sum")
        return total / (config.mask_ratio * config.mask_rows)

    def flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one forward pass of `losses`."""
        per_segment = 2 * (self.join.weight.numel() + self.posterior.weight.numel())
        if self.levels is not None:
            per_segment += self.levels.flops(self.unembedding.weight.numel())
        once = batch * segments * per_segment
        once += self.encoder.flops(batch, segments) + self.decoding_flops(batch, segments)
        total = int(once * self._views)
        if self.alignment is not None:
            total += self.alignment.flops(batch, segments) + self.frozen_flops(batch, segments)
        return total

    def frozen_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of the frozen encoder that is aligned to, if any."""
        if self.alignment is None:
            return 0
        return self.alignment.frozen_flops(batch, segments * self.slots)

    def teacher_flops(self, batch: int, segments: int) -> int:
        """That encoder's: nothing is aligned where the representation rests."""
        return self.frozen_flops(batch, segments)

    def token_flops(self, batch: int, tokens: int) -> int:
        """Model FLOPs of the token layers."""
        if self.token_encoder is None:
            return 0
        return int(self.token_encoder.flops(batch, tokens) * self._views)

    @property
    def _views(self) -> float:
        """How often `losses` reads a row: a masked one a second time."""
        return 1 + (self.config.mask_rows if self.config.mask_weight else 0)
