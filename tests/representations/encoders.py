"""Tiny pretrained encoders in folders, and representations over them with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import colaflex
from colaflex.interfaces.values import Vocabulary

VOCABULARY = Vocabulary(13, end_of_text=0, mask=1)
NAMES = ("frozen_bert", "frozen_t5")


def write(name: str, folder: Path) -> str:
    """A tiny encoder of a family; its folder."""
    from colaflex.representations import small_encoders

    make = small_encoders.small_bert if name == "frozen_bert" else small_encoders.small_t5
    return str(make(folder)["encoder"])


def build(name: str, encoder: str, **options: Any) -> Any:
    """The same weights at every call, in float64."""
    torch.manual_seed(0)
    shape = {"width": 16, "heads": 2, "embedding_dim": 8, "latent_dim": 4, "decoder_layers": 1}
    return colaflex.build(
        "representation",
        name,
        vocabulary=VOCABULARY,
        max_segment_tokens=3,
        **{"encoder": encoder, "block_size": 2, **shape, **options},
    ).double()
