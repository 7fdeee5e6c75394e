"""Config base of priors on the causal state of all latents before. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from colaflex.interfaces.configs import PriorConfig, TransformerSizes

__all__ = ["CausalStateConfig"]


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
