"""Config of the representation over a frozen T5 encoder. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from colaflex.representations.frozen_encoder_config import FrozenEncoderConfig

__all__ = ["FrozenT5Config"]


class FrozenT5Config(FrozenEncoderConfig):
    """States of a frozen encoder of the T5 family, compressed to latents."""

    encoder: str = Field(
        "google-t5/t5-small",
        min_length=1,
        description="The pretrained encoder: a model on the hub, a folder in transformers' format, "
        "or package:NAME/folder within an installed package.",
    )
