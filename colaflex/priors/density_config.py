"""Configs of the priors that state the next latent's or block's distribution. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from colaflex.interfaces.capabilities import PriorCapabilities
from colaflex.interfaces.configs import PriorConfig, TransformerSizes
from colaflex.priors.flow_config import Law

__all__ = [
    "AutoregressiveFlowConfig",
    "AutoregressiveLatentConfig",
    "CausalStateConfig",
    "DiffusionConfig",
    "EnergyConfig",
    "GaussianConfig",
    "MixtureConfig",
    "NormalizingFlowConfig",
    "TransformerConfig",
]


class GaussianConfig(PriorConfig):
    """Linear-Gaussian conditional of each block, in closed form: the floor for all priors."""

    context: int = Field(
        8, ge=0, le=1024, description="Latents before the block that its mean is linear in."
    )
    covariance: Literal["full", "diagonal"] = Field(
        "full", description="Covariance of a block given its context, over all its channels."
    )
    ridge: float = Field(
        1.0,
        gt=0,
        le=1e9,
        description="Standard-normal pseudo-observations at the start (blocks); their number goes "
        "on being learned, by how well each batch is predicted from those before it.",
    )
    memory: Annotated[int, Field(ge=1, le=10**9)] | Literal["all"] = Field(
        1000,
        description="Steps in which the weight of a batch falls to 1/e, for latents that move "
        "while the encoder learns; all: it never falls.",
    )

    def capabilities(self) -> PriorCapabilities:
        """An exact likelihood, no guidance, one evaluation whatever the steps."""
        return PriorCapabilities(
            likelihood="exact", fewest_steps=1, guidance=False, maximum_likelihood=True
        )


class CausalStateConfig(TransformerSizes, PriorConfig):
    """Shared base of priors that read the latents before through one causal transformer."""

    width: int = Field(256, ge=8, le=16384, description="Channels of the causal state.")
    layers: int = Field(
        6, ge=1, le=256, description="Transformer layers over the latents that came before."
    )
    noise: float = Field(
        0.0,
        ge=0,
        le=10,
        description="Standard deviation of noise on the latents that are learned, in latent units; "
        "samples are denoised by one step along the score. The density is then that of the noisy "
        "latents. 0 is off.",
    )


class NormalizingFlowConfig(CausalStateConfig):
    """A normalizing flow over the channels of one latent, given all latents before it."""

    transform: Literal["spline", "affine"] = Field(
        "spline",
        description="How a channel is bent: a rational-quadratic spline on [-5, 5], or an affine "
        "map.",
    )
    transforms: int = Field(
        4, ge=1, le=64, description="Such transforms, behind a first affine one."
    )
    channels: Literal["coupling", "autoregressive"] = Field(
        "coupling",
        description="What a channel is conditioned on besides the state: the other half of the "
        "channels, or all before it, which samples one channel at a time.",
    )
    hidden_width: int = Field(
        256, ge=4, le=16384, description="Hidden units of the networks that set the transforms."
    )
    bins: int = Field(8, ge=2, le=256, description="Bins of a spline.")

    def capabilities(self) -> PriorCapabilities:
        """Exact likelihood, one latent after the other, no guidance."""
        return PriorCapabilities(
            likelihood="exact", guidance=False, order="latent", maximum_likelihood=True
        )


class AutoregressiveFlowConfig(CausalStateConfig):
    """Affine flows across the latents of a block, by turns from its front and from its end."""

    flows: int = Field(
        4, ge=1, le=64, description="Affine flows, each a causal transformer over the block."
    )
    flow_layers: int = Field(2, ge=1, le=256, description="Transformer layers of each flow.")
    pinned_blocks: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of blocks of which a random prefix is given clean in training, as the "
        "tail of a prompt is when sampling.",
    )

    def capabilities(self) -> PriorCapabilities:
        """Exact likelihood, blocks in order, no guidance."""
        return PriorCapabilities(
            likelihood="exact", guidance=False, order="block", maximum_likelihood=True
        )


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
    schedule: Law = Field(
        {"type": "logit_normal", "loc": 0.0},
        validate_default=True,
        description="Law of the training times; unset, logit_normal of loc 0.",
    )


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
        {},  # made with the rest: only then is it known what its schedule's name stands for
        description="Options of the head diffusion.",
    )  # type: ignore[assignment]
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
