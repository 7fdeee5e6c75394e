"""Config of the token embeddings. Imports no torch."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from colaflex.interfaces.capabilities import RepresentationCapabilities
from colaflex.interfaces.configs import RepresentationConfig
from colaflex.representations.readout_config import (
    OFFERED_READOUTS,
    UNDRAWN_READOUTS,
    ReadoutConfig,
)

__all__ = ["TokenEmbeddingConfig"]


class TokenEmbeddingConfig(RepresentationConfig):
    """One latent a token: its learned embedding, from which it is read back through noise."""

    for_priors: ClassVar[tuple[str, ...]] = ("readout",)

    # One channel would normalise to 0.
    latent_dim: int = Field(16, ge=2, le=4096, description="Channels of one latent.")
    decoder_noise: float = Field(
        0.5,
        ge=0.01,
        le=10,
        description="Std of the Gaussian noise from which tokens are read, in training as assumed "
        "by the decoder, in units of the embeddings' root mean square.",
    )
    readout: ReadoutConfig = Field(
        ReadoutConfig(), description="What priors are offered, which stage 1 has nothing of."
    )

    def capabilities(self) -> RepresentationCapabilities:
        """Points without a density, one a token."""
        return RepresentationCapabilities(
            continuous_density=False,
            variable_length=False,
            token_aligned=True,
            readouts=OFFERED_READOUTS,
            undrawn=UNDRAWN_READOUTS,
            history=True,
        )
