"""Config of the autoregressive prior and of its heads. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from colaflex.interfaces.capabilities import PriorCapabilities
from colaflex.interfaces.configs import PriorConfig, TransformerSizes
from colaflex.priors.flow_config import Schedule

__all__ = [
    "AutoregressiveLatentConfig",
    "DiffusionConfig",
    "EnergyConfig",
    "MixtureConfig",
    "TransformerConfig",
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TransformerConfig(TransformerSizes):
    """Causal transformer over the latents: rotary positions, QK norm, SwiGLU."""


class MixtureConfig(_Part):
    """Mixture of Gaussians of diagonal covariance, trained by maximum likelihood."""

    components: int = Field(16, ge=1, le=4096, description="Gaussians of the mixture.")
    smallest_deviation: float = Field(
        1e-3, gt=0, le=10, description="Floor of the deviations, in those of the latents (1)."
    )
    temperature: float = Field(
        1.0,
        gt=0,
        le=10,
        description="Sampling: variances times it, log weights over it; 1 samples the density.",
    )


class DiffusionConfig(_Part):
    """A small AdaLN MLP that carries noise to one latent, trained by flow matching."""

    width: int = Field(256, ge=8, le=16384, description="Channels of the MLP.")
    layers: int = Field(3, ge=1, le=64, description="Residual layers of the MLP.")
    noisings: int = Field(
        4, ge=1, le=64, description="Noisings of each latent per step; they share its state."
    )
    schedule: Schedule = Field(Schedule(loc=0.0), description="Law of the training times.")


class EnergyConfig(_Part):
    """An MLP fed with noise, trained by the energy score; one evaluation samples a latent."""

    width: int = Field(256, ge=8, le=16384, description="Channels of the MLP.")
    layers: int = Field(3, ge=1, le=64, description="Residual layers of the MLP.")
    noise_dim: int = Field(64, ge=1, le=16384, description="Channels of the noise.")
    samples: int = Field(8, ge=2, le=256, description="Samples of each latent per step.")
    beta: float = Field(
        1.0,
        gt=0,
        lt=2,
        description="Power of the distances; at 2 the score would see nothing but the mean.",
    )


class AutoregressiveLatentConfig(PriorConfig):
    """One latent at a time, given all before it; blocks only group what is committed."""

    transformer: TransformerConfig = Field(
        TransformerConfig(), description="Backbone: a causal transformer over the latents."
    )
    head: Literal["gaussian_mixture", "diffusion", "energy"] = Field(
        "gaussian_mixture", description="Distribution of the next latent given the state."
    )
    gaussian_mixture: MixtureConfig = Field(
        MixtureConfig(), description="Options of the head gaussian_mixture."
    )
    diffusion: DiffusionConfig = Field(
        DiffusionConfig(), description="Options of the head diffusion."
    )
    energy: EnergyConfig = Field(EnergyConfig(), description="Options of the head energy.")

    def capabilities(self) -> PriorCapabilities:
        """A mixture has an exact likelihood; only diffusion takes more than one step."""
        return PriorCapabilities(
            likelihood="exact" if self.head == "gaussian_mixture" else "none",
            fewest_steps=4 if self.head == "diffusion" else 1,
            guidance=False,
            order="latent",
            maximum_likelihood=self.head == "gaussian_mixture",
        )
