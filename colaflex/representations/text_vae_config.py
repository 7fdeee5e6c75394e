"""Config of the text VAE. Imports no torch."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from colaflex.interfaces.capabilities import RepresentationCapabilities
from colaflex.interfaces.configs import GaussianRepresentationConfig
from colaflex.representations.readout_config import OFFERED_READOUTS, UNDRAWN_READOUTS
from colaflex.representations.segment_autoencoder_config import SegmentAutoencoderConfig

__all__ = ["TextVAEConfig"]


class TextVAEConfig(SegmentAutoencoderConfig, GaussianRepresentationConfig):
    """Gaussian text VAE, causal over segments; no vector looks at later segments."""

    rate_weight: float = Field(
        1e-3, ge=0, le=100, description="beta: weight of KL(q || N(0, I)), nats per latent."
    )
    free_bits: float = Field(
        0.0,
        ge=0,
        le=100,
        description="KL that stage 1 leaves every channel of every latent free of charge, nats.",
    )

    @model_validator(mode="after")
    def _normalisable(self) -> Self:
        if self.log_snr != "learned" and self.latent_dim < 2:
            raise ValueError("a fixed log_snr needs latent_dim >= 2: one channel normalises to 0")
        return self

    @model_validator(mode="after")
    def _free_bits_mean_something(self) -> Self:
        if self.log_snr != "learned" and self.free_bits:
            raise ValueError("free_bits needs a learned log_snr: a fixed one fixes the KL as well")
        return self

    def capabilities(self) -> RepresentationCapabilities:
        """A Gaussian posterior over tokens of any segment lengths, causal over segments."""
        return RepresentationCapabilities(
            continuous_density=True,
            token_states=self.token_layers > 0,
            levels=2,
            stage_one_options=("free_bits",) if self.free_bits else (),
            readouts=OFFERED_READOUTS,
            undrawn=UNDRAWN_READOUTS,
            history=True,
        )
