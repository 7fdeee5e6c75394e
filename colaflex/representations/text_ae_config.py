"""Config of the text autoencoder. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from colaflex.interfaces.capabilities import RepresentationCapabilities
from colaflex.representations.readout_config import OFFERED_READOUTS, UNDRAWN_READOUTS
from colaflex.representations.segment_autoencoder_config import SegmentAutoencoderConfig

__all__ = ["TextAEConfig"]


class TextAEConfig(SegmentAutoencoderConfig):
    """Deterministic text autoencoder; its decoder learns from disturbed latents."""

    # One channel would normalise to 0.
    latent_dim: int = Field(16, ge=2, le=4096, description="Channels of one latent.")
    decoder_noise: float = Field(
        0.5,
        ge=0,
        le=10,
        description="Std of the Gaussian noise on the latents that the decoder learns from, in "
        "units of each latent's root mean square; 0 is off.",
    )
    latent_dropout: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of the latents' channels that the decoder learns to do without.",
    )

    def capabilities(self) -> RepresentationCapabilities:
        """Points without a density, of tokens in segments of any length, causal over segments."""
        return RepresentationCapabilities(
            continuous_density=False,
            token_states=self.token_layers > 0,
            levels=2,
            readouts=OFFERED_READOUTS,
            undrawn=UNDRAWN_READOUTS,
            history=True,
        )
