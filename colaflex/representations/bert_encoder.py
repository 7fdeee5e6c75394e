"""The encoder of the BERT family, as transformers has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from colaflex.errors import UserError
from colaflex.representations.pretrained_encoder import PretrainedEncoder

__all__ = ["BertEncoder"]

OFFSET = ("roberta", "xlm-roberta", "camembert")
"""Families whose positions begin behind the id of padding."""


class BertEncoder(PretrainedEncoder):
    """An encoder with learned positions: BERT, RoBERTa and their kin."""

    def _check(self, config: Any) -> None:
        if config.is_encoder_decoder or config.model_type.endswith("t5"):
            raise UserError(
                f"representation.encoder: {self.folder} holds a {config.model_type}, an "
                "encoder-decoder; frozen_t5 reads those of the T5 family"
            )

    def _load(self, library: Any, folder: Path) -> nn.Module:
        model: Any = library.AutoModel.from_pretrained(folder, use_safetensors=True)
        if hasattr(model, "pooler"):
            model.pooler = None  # it reads [CLS], of which nobody asks
        return model  # type: ignore[no-any-return]

    def _limit(self, config: Any) -> int | None:
        limit = getattr(config, "max_position_embeddings", None)
        if limit is None:
            return None
        return int(limit) - (config.pad_token_id + 1 if config.model_type in OFFSET else 0)
