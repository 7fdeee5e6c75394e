"""Text VAE: one Gaussian latent a segment, encoder and decoder causal over segments.

References:
    Cola DLM (2026), section 2.2.1: -E log p(x|z) + beta KL(q || N(0, I)) + lambda_mask L_mask,
    https://arxiv.org/abs/2605.06548.
    Kingma et al. (2016), free bits, https://arxiv.org/abs/1606.04934; for every latent, not for
    the mean of a batch, as in CALM (2025), https://arxiv.org/abs/2510.27688.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from colaflex.interfaces.losses import Losses, LossTerm
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.values import Posterior
from colaflex.representations.configs import TextVAEConfig
from colaflex.representations.segment_autoencoder import SegmentAutoencoder
from colaflex.representations.segment_decoder import wide

__all__ = ["TextVAE"]

LOG_VARIANCE_RANGE = (-30.0, 20.0)
"""The released Cola DLM code's clamp; keeps exp() finite."""


class TextVAE(SegmentAutoencoder):
    """q(z | x) = N(mu, sigma^2) per segment; p(x | z) independent over the slots of a segment."""

    config: TextVAEConfig

    @property
    def posterior_channels(self) -> int:
        """Means, and log-variances where these are learned."""
        return self.latent_dim * (2 if self.config.log_snr == "learned" else 1)

    def _posterior(self, states: Tensor) -> Posterior:
        out = wide(self.posterior(states))
        if self.config.log_snr != "learned":
            mean = functional.layer_norm(out, (self.latent_dim,))
            return Posterior(mean, mean.new_full((1,), -float(self.config.log_snr)))
        mean, log_variance = out.chunk(2, -1)
        return Posterior(mean, log_variance.clamp(*LOG_VARIANCE_RANGE))

    def _disturbed(self, sample: Tensor, noise: Noise) -> Tensor:
        """Noise of a size of its own besides: the encoder has to outgrow it, and so has a scale."""
        disturbed = super()._disturbed(sample, noise)
        std = self.config.decoder_noise_absolute
        if not std:
            return disturbed
        return disturbed + std * noise.normal("absolute decoder noise", sample.shape, sample)

    def _regularisers(self, posterior: Posterior, mask: Tensor) -> Losses:
        """The rate, KL(q || N(0, I)) in nats."""
        rate = self.rate(posterior)[mask].sum()
        return {"rate": LossTerm(rate, "latents", self.config.rate_weight)}

    def rate(self, posterior: Posterior) -> Tensor:
        """The KL with the gradient of sum max(KL of a channel, free bits); its value is the KL."""
        if not self.config.free_bits:
            return posterior.kl()
        assert posterior.log_variance is not None
        # A channel is a latent of one dimension.
        channels = Posterior(posterior.mean[..., None], posterior.log_variance[..., None]).kl()
        return torch.where(channels > self.config.free_bits, channels, channels.detach()).sum(-1)
