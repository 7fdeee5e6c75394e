"""Options of the baselines. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from colaflex.interfaces.capabilities import BaselineCapabilities, Place
from colaflex.interfaces.component import ComponentConfig, Slot
from colaflex.interfaces.configs import BaselineConfig, TransformerSizes

__all__ = ["AutoregressiveConfig", "MaskedDiffusionConfig", "PlaidConfig"]


class AutoregressiveConfig(TransformerSizes, BaselineConfig):
    """Decoder-only transformer over tokens: rotary positions, QK norm, SwiGLU."""

    tie_embeddings: bool = Field(
        True, description="Whether the output layer's weights are the token embeddings."
    )

    def capabilities(self) -> BaselineCapabilities:
        """An exact likelihood; neither solver steps nor guidance."""
        return BaselineCapabilities(
            likelihood="exact",
            place=Place(
                state_space="prefixes of tokens",
                path="direct generation",
                factorisation="∏ p(x_i | x_<i)",
                continuity="nowhere",
            ),
            steps=False,
            guidance=False,
        )


MASKED_DIFFUSION_PLACE = Place(
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
        return BaselineCapabilities(
            likelihood="bound", place=MASKED_DIFFUSION_PLACE, needs_max_tokens=True
        )


PLAID_PLACE = Place(
    state_space="sequences of token embeddings",
    path="recovery of a continuous observation",
    factorisation="p(h_T) ∏ p(h_{t-1} | h_t)",
    continuity="token embeddings, one a token",
    explicit_latent=False,
)


class PlaidConfig(BaselineConfig):
    """Gaussian diffusion on learned token embeddings, trained by its variational bound."""

    network: Annotated[ComponentConfig, Slot("network")] = Field(
        "block_causal", description="Backbone that reads the noisy embeddings."
    )  # type: ignore[assignment]
    block_size: int = Field(
        128,
        ge=1,
        le=65536,
        description="Tokens that are denoised together; a document that is no longer is one block, "
        "completed by end-of-text, and a longer one goes on block by block.",
    )
    embedding_dim: int = Field(16, ge=1, le=1024, description="Channels of a token's embedding.")
    first_gamma: float = Field(
        -3.0, ge=-20, le=20, description="gamma(0) = -log SNR of the least noise, before training."
    )
    last_gamma: float = Field(
        6.0, ge=-20, le=20, description="gamma(1) = -log SNR of the most noise, before training."
    )
    self_conditioning: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Share of rows that are told the network's own first guess; 0 switches it off, "
        "in sampling as well.",
    )
    reconstruction_share: float = Field(
        0.125,
        gt=0,
        lt=1,
        description="Share of blocks that learn to read tokens at t = 0; the others are denoised.",
    )
    prompt_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of blocks of which a random prefix is given clean in training, as a "
        "prompt is when sampling.",
    )
    prompt_dropout: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of rows that don't see what is given to them, prefixes and earlier "
        "blocks: the unconditional branch that guidance needs.",
    )
    score_temperature: float = Field(
        0.9, gt=0, le=10, description="Divides the predicted noise when sampling; 1 is off."
    )
    likelihood_samples: int = Field(
        16, ge=1, le=100_000, description="Noise levels a block at which the bound is estimated."
    )

    @model_validator(mode="after")
    def _noise_grows(self) -> Self:
        if self.first_gamma >= self.last_gamma:
            raise ValueError(
                f"first_gamma {self.first_gamma} must be below last_gamma {self.last_gamma}"
            )
        return self

    def capabilities(self) -> BaselineCapabilities:
        """A bound on the likelihood."""
        return BaselineCapabilities(likelihood="bound", place=PLAID_PLACE)
