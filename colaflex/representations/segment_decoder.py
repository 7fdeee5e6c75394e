"""The decoder of representations of token segments, and what it learns from."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.interfaces.noise import Noise
from colaflex.interfaces.representation import Choice
from colaflex.interfaces.values import Vocabulary
from colaflex.networks.cache import Cache
from colaflex.networks.causal import CausalTransformer
from colaflex.representations.configs import SegmentDecoderConfig
from colaflex.representations.sequence_loss import sequence_loss
from colaflex.representations.slots_in_turn import SlotsInTurn
from colaflex.representations.token_representation import TokenRepresentation

__all__ = ["SegmentDecoder", "wide"]


class SegmentDecoder(TokenRepresentation):
    """Realises latents as segments of tokens, causal over segments.

    A causal transformer runs over the latents; every slot's logits, end-of-segment among them, are
    read off its state. Slots are independent given that state, or, where the decoder is
    autoregressive, told in turn by a second causal transformer over the slots of each segment.

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
        apart = config.decoder == "slots"
        self.part = nn.Linear(width, self.slots * inner if apart else inner)
        self.places = None if apart else nn.Parameter(torch.randn(self.slots, inner))
        self._add_voice()

    def _add_voice(self) -> None:
        """The last layers, from a slot's channels to its logits."""
        config, symbols = self.config, self.vocabulary.size + 1
        inner = config.embedding_dim
        self.inside: SlotsInTurn | None = None
        if config.decoder == "autoregressive":
            self.inside = SlotsInTurn(symbols, inner, config.segment_layers, config.heads)
        self.unembedding = nn.Linear(inner, symbols)

    @property
    def in_turn(self) -> bool:
        """Where the decoder is autoregressive; see `Representation.in_turn`."""
        return self.inside is not None

    def decoder_parameters(self) -> Iterator[nn.Parameter]:
        """See `Representation.decoder_parameters`."""
        for part in (self.lift, self.decoder, self.part, self.inside, self.unembedding):
            yield from () if part is None else part.parameters()
        if self.places is not None:
            yield self.places

    def decode(self, latents: Tensor) -> Tensor:
        """Logits of every slot; see `Representation.decode`."""
        return self._logits(self._decoded(latents))

    def told(self, latents: Tensor, content: Tensor) -> Tensor:
        """Logits of every slot, given the text; see `Representation.told`."""
        return self._told(self._decoded(latents), content)

    def _decoded(self, latents: Tensor) -> Tensor:
        """The decoder's states of a row's latents, of which `_slots` makes those of slots."""
        states: Tensor = self.decoder(self._lifted(latents))
        return states

    def _lifted(self, latents: Tensor, before: Tensor | None = None) -> Tensor:
        """What the decoder reads, (batch, segments, width).

        Args:
            latents: (batch, segments, dim).
            before: (batch,) latents that stand before them; none by default.
        """
        del before
        lifted: Tensor = self.lift(latents)
        return lifted

    def _slots(self, states: Tensor) -> Tensor:
        """(batch, segments, slots, inner) of the decoder's states."""
        part: Tensor = self.part(states)
        if self.places is None:
            apart: Tensor = part.unflatten(-1, (self.slots, -1))
            return apart
        return part[..., None, :] + self.places.to(part.dtype)

    def _logits(self, states: Tensor) -> Tensor:
        """Those of `decode`: slots in turn hear the likeliest tokens before them."""
        if self.inside is None:
            return self._apart(states)
        logits: list[Tensor] = []

        def choose(of_slot: Tensor, slot: int) -> Tensor:
            logits.append(of_slot)
            return self._likeliest(of_slot, slot)

        self.inside.told(self._slots(states), self.unembedding, choose)
        return torch.stack(logits, 2)

    def _apart(self, states: Tensor) -> Tensor:
        logits: Tensor = self.unembedding(functional.silu(self._slots(states)))
        return logits

    def _likeliest(self, logits: Tensor, slot: int) -> Tensor:
        """What a text can hold there: no mask, and a token in the first slot."""
        barred = logits.clone()
        barred[..., self.vocabulary.mask] = -torch.inf
        if slot == 0:
            barred[..., self.end_of_segment] = -torch.inf
        return barred.argmax(-1)

    def _told(self, states: Tensor, content: Tensor, noise: Noise | None = None) -> Tensor:
        """Logits of slots that hear the true tokens before them; in training, not all."""
        if self.inside is None:
            return self._apart(states)
        before, share = self.inside.before(content), self.config.context_dropout
        if noise is not None and share:
            drawn = noise.uniform("context dropout", before[..., 1:].shape, self.lift.weight)
            hidden = functional.pad(drawn < share, (1, 0))
            before = before.masked_fill(hidden, self.inside.withheld)
        logits: Tensor = self.unembedding(self.inside(self._slots(states), before))
        return logits

    def decoding_flops(self, batch: int, segments: int) -> int:
        """See `TokenRepresentation.decoding_flops`."""
        per_segment = self.lift.weight.numel() + self.part.weight.numel()
        passed = self.decoder.flops(batch, segments)
        return 2 * batch * segments * per_segment + passed + self._voice_flops(batch * segments)

    def _voice_flops(self, segments: int) -> int:
        inside = 0 if self.inside is None else self.inside.flops(segments, self.slots)
        return 2 * segments * self.slots * self.unembedding.weight.numel() + inside

    def begin_decoding(self, rows: int) -> Cache:
        """An empty decoder cache."""
        return self.decoder.begin(rows, self.lift.weight)

    def decode_next(
        self, latents: Tensor, state: Cache, counts: Tensor | None = None
    ) -> tuple[Tensor, Cache]:
        """Logits of further latents; see `Representation.decode_next`."""
        states, state = self._extended(latents, state, counts)
        return self._logits(states), state

    def tell_next(
        self, latents: Tensor, state: Cache, choose: Choice, counts: Tensor | None = None
    ) -> tuple[Tensor, Cache]:
        """Tokens of further latents; see `Representation.tell_next`."""
        if self.inside is None:
            return super().tell_next(latents, state, choose, counts)
        states, state = self._extended(latents, state, counts)
        return self.inside.told(self._slots(states), self.unembedding, choose), state

    def _extended(
        self, latents: Tensor, state: Cache, counts: Tensor | None
    ) -> tuple[Tensor, Cache]:
        return self.decoder.extend(self._lifted(latents, state.lengths), state, counts)

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
