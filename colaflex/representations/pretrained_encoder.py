"""A pretrained encoder, loaded through transformers and never changed (extra `hf`)."""

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

__all__ = ["PretrainedEncoder", "transformers_library"]


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
        found: Tensor = out.last_hidden_state
        return found

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
