"""Config base of priors on the causal state of all latents before. Imports no torch."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from colaflex.interfaces.configs import PriorConfig

__all__ = ["CausalStateConfig"]


class CausalStateConfig(PriorConfig):
    """Shared base of priors that read the latents before through one causal transformer."""

    width: int = Field(256, ge=8, le=16384, description="Channels of the causal state.")
    layers: int = Field(
        6, ge=1, le=256, description="Transformer layers over the latents that came before."
    )
    heads: int = Field(4, ge=1, le=256, description="Attention heads; must divide the width.")
    feed_forward_ratio: float = Field(
        4.0, gt=0, le=16, description="Feed-forward cost, as the width ratio of a plain MLP."
    )
    noise: float = Field(
        0.0,
        ge=0,
        le=10,
        description="Standard deviation of noise on the latents that are learned, in latent units; "
        "samples are denoised by one step along the score. The density is then that of the noisy "
        "latents. 0 is off.",
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width {self.width} does not split into {self.heads} heads of even width"
            )
        return self
