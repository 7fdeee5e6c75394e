"""Config of masked diffusion. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from colaflex.interfaces.capabilities import BaselineCapabilities, Place
from colaflex.interfaces.configs import BaselineConfig, TransformerSizes

__all__ = ["MaskedDiffusionConfig"]

PLACE = Place(
    state_space="sequences with masks",
    path="recovery of a discrete observation",
    factorisation="p(s_T) ∏ p(s_{t-1} | s_t)",
    continuity="nowhere",
)


class MaskedDiffusionConfig(TransformerSizes, BaselineConfig):
    """Masked diffusion over tokens (LLaDA): a bidirectional transformer that fills in masks."""

    rope_theta: float = Field(
        10_000.0, gt=1, description="Base of the rotary wavelengths (positions)."
    )
    mask_floor: float = Field(
        1e-3,
        gt=0,
        lt=1,
        description="Least probability of being masked in training: eps in (1 - eps) t + eps.",
    )
    block_size: int = Field(
        32, ge=1, le=4096, description="Masks that generation fills before it goes on (tokens)."
    )
    remasking: Literal["low_confidence", "random"] = Field(
        "low_confidence",
        description="Which of a step's tokens stay: those of the highest probability, or any.",
    )
    likelihood_samples: int = Field(
        128, ge=1, le=1_000_000, description="Maskings of a row that the bound is averaged over."
    )

    def capabilities(self) -> BaselineCapabilities:
        """A bound on the likelihood; rows of one length."""
        return BaselineCapabilities(likelihood="bound", place=PLACE, needs_max_tokens=True)
