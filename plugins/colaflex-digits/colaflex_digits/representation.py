"""Sensor and actuator: intensities and words, lifted into one latent space and realised back.

A slot of a segment holds a pixel or a word, and the actuator says which of the two and then its
value: p(token) = p(kind) p(value | kind). A pixel's value is a Gaussian on the grid of grey levels
whose width is learned, as the noise of a calibrated decoder is (Rybkin et al., 2021,
https://arxiv.org/abs/2006.13202).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.interfaces.conformance import Conformance
from colaflex.interfaces.losses import LossTerm
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.representation import Encoding, Representation
from colaflex.interfaces.values import Posterior, Segmentation, TokenBatch, Vocabulary
from colaflex.networks.cache import Cache
from colaflex.networks.causal import CausalTransformer
from colaflex_digits.config import DigitsConfig
from colaflex_digits.rows import first_reading

__all__ = ["DigitsRepresentation"]

FINEST = 0.01
"""Least width of the actuator's Gaussian, in intensities from 0 to 1."""


class DigitsRepresentation(Representation):
    """q(z | x) = N(mu, sigma^2) of every segment; the latent doesn't say what it was lifted from.

    Args:
        config: sizes, and the weight of the rate.
        vocabulary: words first, then the grey levels.
        max_segment_tokens: slots of a segment.
    """

    config: DigitsConfig
    conformance = Conformance(options={"levels": 5})
    grid: Tensor

    def __init__(
        self, config: DigitsConfig, *, vocabulary: Vocabulary, max_segment_tokens: int
    ) -> None:
        super().__init__()
        self.config, self.words = config, first_reading(vocabulary, config.levels)
        self.latent_dim, self.slots = config.latent_dim, max_segment_tokens
        self.end_of_segment = vocabulary.size
        width, fixed = config.width, config.log_snr != "learned"
        self.sensor = nn.Linear(self.slots, width)
        # In each slot a word, a pixel of whatever intensity, or nothing.
        self.kinds = nn.Embedding(self.slots * (self.words + 2), width)
        self.encoder = CausalTransformer(width, config.encoder_layers, config.heads)
        self.posterior = nn.Linear(width, self.latent_dim * (1 if fixed else 2))
        self.lift = nn.Linear(self.latent_dim, width)
        self.decoder = CausalTransformer(width, config.decoder_layers, config.heads)
        self.kind = nn.Linear(width, self.slots * (self.words + 2))
        self.intensity = nn.Linear(width, self.slots)
        self.log_width = nn.Parameter(torch.full((self.slots, 1), math.log(0.2)))
        self.register_buffer("grid", torch.linspace(0, 1, config.levels), persistent=False)
        nn.init.normal_(self.kinds.weight, std=self.slots**-0.5)

    def encode(self, tokens: TokenBatch, segmentation: Segmentation) -> Posterior:
        """The posterior of every segment's latent; see `Representation.encode`."""
        return self._posterior(*segmentation.slots(tokens.tokens, self.slots))

    def _posterior(self, grid: Tensor, held: Tensor) -> Posterior:
        pixel = held & (grid >= self.words)
        kind = torch.where(held, grid.clamp(max=self.words), self.words + 1)
        kind = kind + torch.arange(self.slots, device=grid.device) * (self.words + 2)
        intensity = self.grid[(grid - self.words).clamp(min=0)] * pixel
        sensed = self.sensor(intensity) + self.kinds(kind).sum(-2)
        out = _wide(self.posterior(self.encoder(functional.silu(sensed))))
        if self.config.log_snr != "learned":
            mean = functional.layer_norm(out, (self.latent_dim,))
            return Posterior(mean, mean.new_full((1,), -float(self.config.log_snr)))
        mean, log_variance = out.chunk(2, -1)
        return Posterior(mean, log_variance.clamp(-30.0, 20.0))

    def decode(self, latents: Tensor) -> Tensor:
        """Log-probabilities of every slot; see `Representation.decode`."""
        return self._logits(self.decoder(self.lift(latents)))

    def _logits(self, states: Tensor) -> Tensor:
        kind = _wide(self.kind(states)).unflatten(-1, (self.slots, -1)).log_softmax(-1)
        word, pixel, end = kind.split([self.words, 1, 1], -1)
        distance = self.grid - _wide(self.intensity(states))[..., None]
        value = -0.5 * (distance / (FINEST + self.log_width.exp())).square()
        return torch.cat([word, pixel + value.log_softmax(-1), end], -1)

    def losses(self, tokens: TokenBatch, segmentation: Segmentation, noise: Noise) -> Encoding:
        """Terms "realisation" (words, pixels and where segments end) and "rate"."""
        grid, held = segmentation.slots(tokens.tokens, self.slots)
        posterior, mask = self._posterior(grid, held), segmentation.mask
        sample = posterior.sample(noise.normal("posterior", posterior.mean.shape, posterior.mean))
        target = torch.where(held, grid, self.end_of_segment)
        # The first empty slot of an existing segment has to say that the segment ends.
        ends = functional.pad(held[..., :-1], (1, 0), value=True) & ~held & mask[..., None]
        counted = held | ends
        log_p = self.decode(sample)[counted].gather(-1, target[counted][:, None])
        return Encoding(
            {
                "realisation": LossTerm(-log_p.sum(), "tokens"),
                "rate": LossTerm(posterior.kl()[mask].sum(), "latents", self.config.rate_weight),
            },
            posterior,
            sample,
        )

    def begin_decoding(self, rows: int) -> Cache:
        """An empty decoder cache."""
        return self.decoder.begin(rows, self.lift.weight)

    def decode_next(
        self, latents: Tensor, state: Cache, counts: Tensor | None = None
    ) -> tuple[Tensor, Cache]:
        """Log-probabilities of further latents; see `Representation.decode_next`."""
        states, state = self.decoder.extend(self.lift(latents), state, counts)
        return self._logits(states), state

    def select_decoding(self, state: Cache, rows: Tensor) -> Cache:
        """The decoder cache of some of the rows."""
        return state.select(rows)

    def flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one forward pass of `losses`."""
        linear = (self.sensor, self.posterior, self.lift, self.kind, self.intensity)
        once = 2 * batch * segments * sum(layer.weight.numel() for layer in linear)
        return once + self.encoder.flops(batch, segments) + self.decoder.flops(batch, segments)


def _wide(x: Tensor) -> Tensor:
    """At least fp32: densities are never computed in bf16."""
    return x if x.dtype == torch.float64 else x.float()
