"""Options of the corpus, the segmenter and the representation. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from colaflex.interfaces.capabilities import RepresentationCapabilities, SegmenterCapabilities
from colaflex.interfaces.configs import (
    CorpusConfig,
    GaussianRepresentationConfig,
    SegmenterConfig,
)
from colaflex_digits.tokens import LEVELS, SIDE, TOKENIZER

__all__ = ["DigitRowsConfig", "DigitsConfig", "DigitsCorpusConfig"]

READINGS = "Grey levels of a pixel: the last so many ids of the vocabulary, from dark to bright."


class DigitsCorpusConfig(CorpusConfig):
    """Which documents, and how many of the images are held out; the others train."""

    captions: bool = Field(True, description="Whether a word that says the digit comes first.")
    validation: float = Field(0.1, ge=0, le=0.3, description="Share of images to validate on.")
    test: float = Field(0.2, ge=0, le=0.3, description="Share of images to test on.")
    judge: float = Field(0.0, ge=0, le=0.3, description="Share of images to train judges on.")


class DigitRowsConfig(SegmenterConfig):
    """Rows of pixels, and words."""

    rows: int = Field(1, ge=1, le=SIDE, description="Rows of 8 pixels in one segment.")
    levels: int = Field(LEVELS, ge=2, le=256, description=READINGS)

    def capabilities(self) -> SegmenterCapabilities:
        """A word has a segment of its own, so that lengths vary."""
        return SegmenterCapabilities(
            max_segment_tokens=SIDE * self.rows, variable=True, needs_vocabulary=True
        )


class DigitsConfig(GaussianRepresentationConfig):
    """Sensor and actuator: a Gaussian VAE of intensities and words."""

    latent_dim: int = Field(8, ge=1, le=4096, description="Channels of one latent.")
    levels: int = Field(LEVELS, ge=2, le=256, description=READINGS)
    width: int = Field(128, ge=8, le=16384, description="Channels of sensor and actuator.")
    encoder_layers: int = Field(0, ge=0, le=64, description="Transformer layers of the sensor.")
    decoder_layers: int = Field(1, ge=0, le=64, description="Transformer layers of the actuator.")
    heads: int = Field(4, ge=1, le=256, description="Attention heads; must divide the width.")
    rate_weight: float = Field(
        1e-2, ge=0, le=100, description="beta: weight of KL(q || N(0, I)), nats per latent."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width {self.width} does not split into {self.heads} heads of even width"
            )
        if self.log_snr != "learned" and self.latent_dim < 2:
            raise ValueError("a fixed log_snr needs latent_dim >= 2: one channel normalises to 0")
        return self

    def capabilities(self) -> RepresentationCapabilities:
        """A Gaussian posterior, causal over segments; tokens are the sensor's own readings."""
        return RepresentationCapabilities(continuous_density=True, reads="own_tokenizer")

    def tokenizer_file(self) -> Path:
        """The words and the grey levels."""
        return TOKENIZER
