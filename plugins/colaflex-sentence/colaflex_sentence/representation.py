"""The vectors of a frozen sentence encoder as latents, and a trained decoder that reads them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.errors import UserError
from colaflex.interfaces.losses import LossTerm
from colaflex.interfaces.noise import Noise, generator_for
from colaflex.interfaces.representation import Encoding, Representation
from colaflex.interfaces.values import Posterior, Segmentation, TokenBatch, Vocabulary
from colaflex.networks.cache import Cache
from colaflex.networks.causal import CausalTransformer
from colaflex_sentence.config import ENCODER_WIDTH, SentenceEncodingConfig
from colaflex_sentence.encoder import sentence_encoder

__all__ = ["SentenceEncoding"]

ENCODER_WEIGHTS = 6 * 12 * ENCODER_WIDTH**2
"""Of its linear layers."""


class SentenceEncoding(Representation):
    """q(z | x) is a point: the vector of the segment's text, scaled to a mean square of 1.

    The text is that of the segment's tokens, read by the encoder's own tokenizer; segments are
    encoded alone. The decoder is a causal transformer over the latents, which reads every slot's
    token off its state. The encoder is no part of the module: neither trained nor saved.

    Args:
        config: sizes and the projection.
        vocabulary: the tokens, with their texts.
        max_segment_tokens: slots of a segment.
    """

    directions: Tensor | None

    def __init__(
        self, config: SentenceEncodingConfig, *, vocabulary: Vocabulary, max_segment_tokens: int
    ) -> None:
        super().__init__()
        if not vocabulary.texts:
            raise UserError(
                "the representation sentence_encoder reads text; expected a vocabulary with the "
                "texts of its tokens"
            )
        self.config, self.texts = config, vocabulary.texts
        self.latent_dim, self.slots = config.latent_dim, max_segment_tokens
        self.end_of_segment = vocabulary.size
        self.project: nn.Linear | None = None
        self.register_buffer("directions", None)
        if config.latent_dim < ENCODER_WIDTH:
            self._begin_projection()
        width, inner = config.width, config.embedding_dim
        self.lift = nn.Linear(config.latent_dim, width)
        self.decoder = CausalTransformer(width, config.decoder_layers, config.heads)
        self.part = nn.Linear(width, self.slots * inner)
        self.unembedding = nn.Linear(inner, vocabulary.size + 1)

    def _begin_projection(self) -> None:
        if self.config.projection == "trained":
            self.project = nn.Linear(ENCODER_WIDTH, self.latent_dim, bias=False)
            return
        draws = torch.randn(
            ENCODER_WIDTH, self.latent_dim, generator=generator_for("sentence_encoder")
        )
        self.directions = torch.linalg.qr(draws).Q

    def encode(self, tokens: TokenBatch, segmentation: Segmentation) -> Posterior:
        """The vector of every segment, a point; 0 where there is no segment."""
        vectors = self._vectors(tokens, segmentation)
        if self.project is not None:
            vectors = _wide(self.project(vectors))
        elif self.directions is not None:
            vectors = vectors @ self.directions.to(vectors.dtype)
        return Posterior(functional.rms_norm(vectors, (self.latent_dim,)))

    def _vectors(self, tokens: TokenBatch, segmentation: Segmentation) -> Tensor:
        """(batch, segments, 384), of a mean square of 1."""
        encoder = sentence_encoder(self.lift.weight.device)
        lengths = segmentation.lengths
        found = torch.zeros(*lengths.shape, ENCODER_WIDTH)
        for row, (ids, sizes) in enumerate(
            zip(tokens.tokens.tolist(), lengths.tolist(), strict=True)
        ):
            start = 0
            for segment, size in enumerate(sizes):
                if size:
                    text = "".join(self.texts[i] for i in ids[start : start + size])
                    found[row, segment] = encoder.vector(text)
                start += size
        scaled: Tensor = ENCODER_WIDTH**0.5 * found
        return scaled.to(self.lift.weight)

    def decode(self, latents: Tensor) -> Tensor:
        """Logits of every slot; see `Representation.decode`."""
        return self._logits(self.decoder(self.lift(latents)))

    def _logits(self, states: Tensor) -> Tensor:
        slots = self.part(states).unflatten(-1, (self.slots, -1))
        logits: Tensor = self.unembedding(functional.silu(slots))
        return logits

    def losses(self, tokens: TokenBatch, segmentation: Segmentation, noise: Noise) -> Encoding:
        """The term "realisation": -log p(x | z) of the tokens and of the segments' ends."""
        sample = self.encode(tokens, segmentation).mean
        fed = sample
        if self.config.decoder_noise:
            drawn = noise.normal("decoder noise", sample.shape, sample)
            fed = sample + self.config.decoder_noise * drawn
        grid, held = segmentation.slots(tokens.tokens, self.slots)
        target = torch.where(held, grid, self.end_of_segment)
        # The first empty slot of a segment has to say that the segment ends.
        ends = functional.pad(held[..., :-1], (1, 0), value=True) & ~held
        counted = held | (ends & segmentation.mask[..., None])
        logits = _wide(self.decode(fed)[counted])
        total = functional.cross_entropy(logits, target[counted], reduction="sum")
        return Encoding({"realisation": LossTerm(total, "tokens")}, Posterior(sample), sample)

    def begin_decoding(self, rows: int) -> Cache:
        """An empty decoder cache."""
        return self.decoder.begin(rows, self.lift.weight)

    def decode_next(
        self, latents: Tensor, state: Cache, counts: Tensor | None = None
    ) -> tuple[Tensor, Cache]:
        """Logits of further latents; see `Representation.decode_next`."""
        states, state = self.decoder.extend(self.lift(latents), state, counts)
        return self._logits(states), state

    def select_decoding(self, state: Cache, rows: Tensor) -> Cache:
        """The decoder cache of some of the rows."""
        return state.select(rows)

    def flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one forward pass of `losses`.

        Of the encoder, at a word piece a slot, a third: training counts all that stands here three
        times, for a backward pass, which a frozen encoder doesn't have.
        """
        linear = [self.lift, self.part, *([self.project] if self.project else [])]
        weights = sum(m.weight.numel() for m in linear)
        weights += self.slots * (self.unembedding.weight.numel() + ENCODER_WEIGHTS // 3)
        return 2 * batch * segments * weights + self.decoder.flops(batch, segments)


def _wide(x: Tensor) -> Tensor:
    """At least fp32: softmax and norms are never computed in bf16."""
    return x if x.dtype == torch.float64 else x.float()
