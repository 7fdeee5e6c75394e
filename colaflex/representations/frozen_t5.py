"""Latents from a frozen encoder of the T5 family.

Reference: Raffel et al. (2019), https://arxiv.org/abs/1910.10683.
"""

from __future__ import annotations

from colaflex.interfaces.conformance import Conformance
from colaflex.representations.frozen_configs import FrozenT5Config
from colaflex.representations.frozen_encoder import FrozenEncoder
from colaflex.representations.pretrained_encoder import T5Encoder
from colaflex.representations.small_encoders import small_t5

__all__ = ["FrozenT5"]


class FrozenT5(FrozenEncoder):
    """Blocks that end with </s>, read by the frozen encoder of a T5."""

    config: FrozenT5Config
    load = T5Encoder
    conformance = Conformance(files=small_t5)
