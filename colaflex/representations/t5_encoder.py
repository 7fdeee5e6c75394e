"""The encoder of the T5 family, as transformers has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from colaflex.errors import UserError
from colaflex.representations.pretrained_encoder import PretrainedEncoder

__all__ = ["T5Encoder"]

CLASSES = {"t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel"}


class T5Encoder(PretrainedEncoder):
    """The encoder of a T5: relative positions of any length, no token types.

    The residual stream is normalised once, behind the last layer: states of an earlier layer are
    taken as they are, without that norm, and differ in size from layer to layer, which the fitted
    statistics make up for.
    """

    def _check(self, config: Any) -> None:
        if config.model_type not in CLASSES:
            raise UserError(
                f"representation.encoder: {self.folder} holds a {config.model_type}; expected one "
                f"of {', '.join(CLASSES)}; frozen_bert reads encoders of the BERT family"
            )

    def _load(self, library: Any, folder: Path) -> nn.Module:
        kind = CLASSES[library.AutoConfig.from_pretrained(folder).model_type]
        model: nn.Module = getattr(library, kind).from_pretrained(folder, use_safetensors=True)
        return model

    def _cut(self, layers: int, count: int) -> None:
        super()._cut(layers, count)
        if layers < count:
            stack: Any = self.model.get_submodule("encoder")
            stack.final_layer_norm = nn.Identity()

    def _limit(self, config: Any) -> None:
        """None: its positions are relative."""
