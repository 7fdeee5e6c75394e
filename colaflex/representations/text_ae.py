"""Text autoencoder: one point a segment, decoded through noise, so that its space stays decodable.

References:
    PLANNER (2023), noise on the hidden state, https://arxiv.org/abs/2306.02531; CALM (2025),
    latent dropout, https://arxiv.org/abs/2510.27688; RAE (2025), a decoder trained with noise on
    normalised latents, https://arxiv.org/abs/2510.11690.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from colaflex.interfaces.values import Posterior
from colaflex.representations.segment_autoencoder import SegmentAutoencoder
from colaflex.representations.segment_decoder import wide

__all__ = ["TextAE"]


class TextAE(SegmentAutoencoder):
    """q(z | x) is a point of mean 0 and mean square 1; noise and dropout are the decoder's alone.

    A LayerNorm without affine fixes the scale, without which the encoder would outgrow the noise.
    Priors learn the clean latents.
    """

    def _posterior(self, states: Tensor) -> Posterior:
        return Posterior(functional.layer_norm(wide(self.posterior(states)), (self.latent_dim,)))
