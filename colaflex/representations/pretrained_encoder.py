"""Pretrained encoders of two families, as transformers has them, never changed (extra `hf`)."""

from __future__ import annotations

import contextlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from colaflex.errors import UserError

__all__ = ["BertEncoder", "PretrainedEncoder", "T5Encoder", "transformers_library"]


def transformers_library() -> Any:
    """The package transformers, imported late.

    Raises:
        UserError: it is not installed, or fails to import.
    """
    if importlib.util.find_spec("transformers") is None:
        raise UserError("the package transformers is not installed: pip install 'colaflex[hf]'")
    import transformers

    return transformers


class PretrainedEncoder(ABC):
    """The layers of an encoder up to the one whose states are wanted.

    No module, so that it is in no optimizer, average, or checkpoint, and in no training mode:
    whoever has one passes `apply` on. Copies share it.

    Args:
        folder: config and weights in transformers' format.
        layer: whose states; 0 is the embeddings, -1 the last.

    Raises:
        UserError: transformers is missing, or the folder holds something else.

    Example:
        >>> class Roberta(PretrainedEncoder):
        ...     def _check(self, config):
        ...         if config.model_type != "roberta":
        ...             raise ValueError(f"{config.model_type} is no RoBERTa")
        ...     def _load(self, library, folder):
        ...         return library.RobertaModel.from_pretrained(folder)
        ...     def _limit(self, config):
        ...         return config.max_position_embeddings - 2
    """

    def __init__(self, folder: Path, layer: int) -> None:
        self.folder, library = folder, transformers_library()
        config = _config(library, folder)
        self._check(config)
        count = int(config.num_hidden_layers)
        if not -count - 1 <= layer <= count:
            raise UserError(
                f"representation.layer: {layer}; the encoder in {folder} has {count} layers: "
                f"expected {-count - 1} to {count}"
            )
        self.layers = layer % (count + 1)
        # Where a model's shapes alone are wanted, weights that are there are loaded all the same.
        with _quiet(library), torch.device("cpu"):
            self.model: nn.Module = self._load(library, folder)
        self._cut(self.layers, count)
        self.model.eval().requires_grad_(False)
        self.width, self.size = int(config.hidden_size), int(config.vocab_size)
        self.limit: int | None = self._limit(config)

    @abstractmethod
    def _check(self, config: Any) -> None:
        """Refuse what is of another family."""

    @abstractmethod
    def _load(self, library: Any, folder: Path) -> nn.Module:
        """The encoder, with all its layers."""

    @abstractmethod
    def _limit(self, config: Any) -> int | None:
        """Longest window that the positions allow, special tokens included; None: any."""

    def _cut(self, layers: int, count: int) -> None:
        """Leave out the layers that are not needed."""
        for module in list(self.model.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.ModuleList) and len(child) == count:
                    setattr(module, name, child[:layers])
                    return  # lists within a layer may be as long

    @torch.no_grad()
    def states(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(windows, tokens) ids and which of them count -> (windows, tokens, width)."""
        out = self.model(input_ids=tokens, attention_mask=mask.long())
        states: Tensor = out.last_hidden_state
        return states

    def apply(self, change: Callable[[Tensor], Tensor]) -> None:
        """Move or convert all weights, as `nn.Module._apply` does."""
        self.model._apply(change)

    def flops(self, windows: int, length: int) -> int:
        """Model FLOPs of one pass over windows of this many tokens."""
        linear = sum(m.weight.numel() for m in self.model.modules() if isinstance(m, nn.Linear))
        return 2 * windows * length * (linear + 2 * self.layers * length * self.width)

    def __deepcopy__(self, memo: object) -> PretrainedEncoder:
        return self


def _config(library: Any, folder: Path) -> Any:
    try:
        return library.AutoConfig.from_pretrained(folder)
    except Exception as error:  # ValueError, OSError, KeyError: whatever a foreign file causes
        raise UserError(f"{folder / 'config.json'} is no model's config: {error}") from error


@contextlib.contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """No progress bar and no report of heads that are left out, while weights are read."""
    log = library.utils.logging
    verbosity, bar = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bar:
            log.enable_progress_bar()


PADDING_FIRST = ("roberta", "xlm-roberta", "camembert")
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
        return int(limit) - (config.pad_token_id + 1 if config.model_type in PADDING_FIRST else 0)


T5_CLASSES = {"t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel"}


class T5Encoder(PretrainedEncoder):
    """The encoder of a T5: relative positions of any length, no token types.

    The residual stream is normalised once, behind the last layer: states of an earlier layer are
    taken as they are, without that norm, and differ in size from layer to layer, which the fitted
    statistics make up for.
    """

    def _check(self, config: Any) -> None:
        if config.model_type not in T5_CLASSES:
            raise UserError(
                f"representation.encoder: {self.folder} holds a {config.model_type}; expected one "
                f"of {', '.join(T5_CLASSES)}; frozen_bert reads encoders of the BERT family"
            )

    def _load(self, library: Any, folder: Path) -> nn.Module:
        kind = T5_CLASSES[library.AutoConfig.from_pretrained(folder).model_type]
        model: nn.Module = getattr(library, kind).from_pretrained(folder, use_safetensors=True)
        return model

    def _cut(self, layers: int, count: int) -> None:
        super()._cut(layers, count)
        if layers < count:
            stack: Any = self.model.get_submodule("encoder")
            stack.final_layer_norm = nn.Identity()

    def _limit(self, config: Any) -> None:
        """None: its positions are relative."""
