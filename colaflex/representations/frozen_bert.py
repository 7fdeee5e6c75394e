"""Latents from a frozen encoder of the BERT family.

Reference: Devlin et al. (2018), https://arxiv.org/abs/1810.04805.
"""

from __future__ import annotations

from colaflex.interfaces.conformance import Conformance
from colaflex.representations.frozen_configs import FrozenBertConfig
from colaflex.representations.frozen_encoder import FrozenEncoder
from colaflex.representations.pretrained_encoder import BertEncoder
from colaflex.representations.small_encoders import small_bert

__all__ = ["FrozenBert"]


class FrozenBert(FrozenEncoder):
    """Blocks between [CLS] and [SEP], read by a frozen BERT."""

    config: FrozenBertConfig
    load = BertEncoder
    conformance = Conformance(files=small_bert)
