"""Config shared by the autoencoders over token segments. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from colaflex.representations.alignment_config import AlignmentConfig
from colaflex.representations.pretrained_folder import content_digest
from colaflex.representations.segment_decoder_config import SegmentDecoderConfig

__all__ = ["SegmentAutoencoderConfig"]


class SegmentAutoencoderConfig(SegmentDecoderConfig):
    """Encoder and decoder over token segments, causal over segments."""

    token_layers: int = Field(
        0,
        ge=0,
        le=64,
        description="Causal transformer layers over the token embeddings, before they are joined "
        "by segment; with any, segmenters that need token states can be chosen.",
    )
    mask_weight: float = Field(
        0.1,
        ge=0,
        le=100,
        description="lambda_mask: weight of recovering hidden tokens, nats per token; 0 is off.",
    )
    mask_ratio: float = Field(0.2, gt=0, lt=1, description="Share of the tokens that are hidden.")
    mask_rows: float = Field(
        0.25, gt=0, le=1, description="Share of the rows that are read a second time, masked."
    )
    alignment: AlignmentConfig | Literal["none"] = Field(
        "none",
        description="A frozen pretrained encoder whose states the encoder's learn to resemble "
        "(extra hf), or none.",
    )

    coarse_weight: float = Field(
        0.1,
        ge=0,
        le=100,
        description="Where segments have two levels: weight of telling from a coarse latent which "
        "tokens it stands for, nats per token.",
    )

    @model_validator(mode="after")
    def _token_layers_have_heads(self) -> Self:
        if self.token_layers and self.embedding_dim % 2:
            raise ValueError(f"token_layers need an even embedding_dim, not {self.embedding_dim}")
        return self

    def contents(self) -> Mapping[str, str]:
        """The alignment with its encoder by its weights, wherever it lies."""
        if self.alignment == "none":
            return {}
        found, rest = (
            content_digest(self.alignment.encoder),
            self.alignment.model_dump_json(exclude={"encoder"}),
        )
        return {"alignment": f"{found} {rest}"} if found else {}
