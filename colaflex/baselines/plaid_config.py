"""Options of the baseline `plaid`. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from colaflex.interfaces.capabilities import BaselineCapabilities, Place
from colaflex.interfaces.component import ComponentConfig, Slot
from colaflex.interfaces.configs import BaselineConfig

__all__ = ["PlaidConfig"]

PLACE = Place(
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
        return BaselineCapabilities(likelihood="bound", place=PLACE)
