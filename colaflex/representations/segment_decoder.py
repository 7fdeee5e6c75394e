"""The decoder of representations of token segments, and what it learns from."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.interfaces.noise import Noise
from colaflex.interfaces.values import Vocabulary
from colaflex.networks.cache import Cache
from colaflex.networks.causal import CausalTransformer
from colaflex.representations.configs import SegmentDecoderConfig
from colaflex.representations.sequence_loss import sequence_loss
from colaflex.representations.token_representation import TokenRepresentation

__all__ = ["SegmentDecoder", "wide"]


class SegmentDecoder(TokenRepresentation):
    """Realises latents as segments of tokens, causal over segments.

    A causal transformer runs over the latents; every slot's logits, end-of-segment among them, are
    read off its state; slots are independent given that state.

    Args:
        config: sizes, and how the decoder's input is disturbed in training.
        vocabulary: the tokens.
        max_segment_tokens: slots of a segment.

    Example:
        >>> from colaflex.interfaces.values import Vocabulary
        >>> sizes = {"vocabulary": Vocabulary(300, 256, 257), "max_segment_tokens": 3}
        >>> text = colaflex.build("representation", "text_ae", latent_dim=8, **sizes)
        >>> logits, state = text.decode_next(torch.zeros(1, 2, 8), text.begin_decoding(rows=1))
        >>> isinstance(text, SegmentDecoder), logits.shape
        (True, torch.Size([1, 2, 3, 301]))
    """

    config: SegmentDecoderConfig

    def __init__(
        self, config: SegmentDecoderConfig, vocabulary: Vocabulary, max_segment_tokens: int
    ) -> None:
        super().__init__()
        self.config, self.vocabulary = config, vocabulary
        self.latent_dim, self.slots = config.latent_dim, max_segment_tokens
        self.end_of_segment = vocabulary.size
        self.offers = config.readout

    @property
    def token_table(self) -> Tensor:
        """The decoder's last weights, of every token and the segment's end."""
        return self.unembedding.weight

    def _add_decoder(self) -> None:
        config = self.config
        width, inner = config.width, config.embedding_dim
        self.lift = nn.Linear(config.latent_dim, width)
        self.decoder = CausalTransformer(width, config.decoder_layers, config.heads)
        self.part = nn.Linear(width, self.slots * inner)
        self.unembedding = nn.Linear(inner, self.vocabulary.size + 1)

    def decoder_parameters(self) -> Iterator[nn.Parameter]:
        """See `Representation.decoder_parameters`."""
        for part in (self.lift, self.decoder, self.part, self.unembedding):
            yield from part.parameters()

    def decode(self, latents: Tensor) -> Tensor:
        """Logits of every slot; see `Representation.decode`."""
        return self._logits(self.decoder(self._lifted(latents)))

    def _lifted(self, latents: Tensor, before: Tensor | None = None) -> Tensor:
        """What the decoder reads, (batch, segments, width).

        Args:
            latents: (batch, segments, dim).
            before: (batch,) latents that stand before them; none by default.
        """
        del before
        lifted: Tensor = self.lift(latents)
        return lifted

    def _logits(self, states: Tensor) -> Tensor:
        slots = self.part(states).unflatten(-1, (self.slots, -1))
        logits: Tensor = self.unembedding(functional.silu(slots))
        return logits

    def decoding_flops(self, batch: int, segments: int) -> int:
        """See `TokenRepresentation.decoding_flops`."""
        tokens = self.slots * self.unembedding.weight.numel()
        linear = self.lift.weight.numel() + self.part.weight.numel() + tokens
        return 2 * batch * segments * linear + self.decoder.flops(batch, segments)

    def begin_decoding(self, rows: int) -> Cache:
        """An empty decoder cache."""
        return self.decoder.begin(rows, self.lift.weight)

    def decode_next(
        self, latents: Tensor, state: Cache, counts: Tensor | None = None
    ) -> tuple[Tensor, Cache]:
        """Logits of further latents; see `Representation.decode_next`."""
        states, state = self.decoder.extend(self._lifted(latents, state.lengths), state, counts)
        return self._logits(states), state

    def continue_decoding(
        self, latents: Tensor, state: Cache, counts: Tensor | None = None
    ) -> Cache:
        """See `Representation.continue_decoding`."""
        return self.decoder.commit(self._lifted(latents, state.lengths), state, counts)

    def select_decoding(self, state: Cache, rows: Tensor) -> Cache:
        """The decoder cache of some of the rows."""
        return state.select(rows)

    def _disturbed(self, sample: Tensor, noise: Noise) -> Tensor:
        """The latents as the decoder learns to read them: channels dropped, noise added."""
        std = self.config.decoder_noise
        disturbed = self._dropped(sample, noise) if self.config.latent_dropout else sample
        if std:
            # Each latent by its own size: no other row takes part, and none can outgrow the noise.
            size = sample.detach().square().mean(-1, keepdim=True).sqrt()
            drawn = noise.normal("decoder noise", sample.shape, sample)
            disturbed = disturbed + std * self._noise_share(sample, noise) * size * drawn
        return disturbed

    def _dropped(self, sample: Tensor, noise: Noise) -> Tensor:
        """Some channels dropped, the others scaled up, so that the mean stays."""
        dropout = self.config.latent_dropout
        mask = noise.uniform("latent dropout", sample.shape, sample) >= dropout
        return sample * mask / (1 - dropout)

    def _noise_share(self, sample: Tensor, noise: Noise) -> Tensor | float:
        """Part of the noise's std that each latent gets, (batch, segments, 1) or one for all."""
        del sample, noise
        return 1.0

    def _cross_entropy(
        self, logits: Tensor, grid: Tensor, token_mask: Tensor, mask: Tensor
    ) -> Tensor:
        """Sum over the tokens and, of a short segment, the end-of-segment that follows them."""
        target, counted = self._targets(grid, token_mask, mask)
        return functional.cross_entropy(wide(logits[counted]), target[counted], reduction="sum")

    def _realisation(
        self, logits: Tensor, grid: Tensor, token_mask: Tensor, mask: Tensor
    ) -> Tensor:
        """What the decoder learns from: the cross-entropy, or with `alpha` whole segments'."""
        if not self.config.alpha:
            return self._cross_entropy(logits, grid, token_mask, mask)
        target, counted = self._targets(grid, token_mask, mask)
        nats = functional.cross_entropy(wide(logits[counted]), target[counted], reduction="none")
        return sequence_loss(nats, counted, self.config.alpha)

    def _targets(self, grid: Tensor, token_mask: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        target = torch.where(token_mask, grid, self.end_of_segment)
        # The first empty slot of an existing segment has to say that the segment ends.
        before = functional.pad(token_mask[..., :-1], (1, 0), value=True)
        return target, token_mask | (before & ~token_mask & mask[..., None])


def wide(x: Tensor) -> Tensor:
    """At least fp32: softmax and densities are never computed in bf16."""
    return x if x.dtype == torch.float64 else x.float()
