"""Fixed patches of tokens, aligned with the prompt."""

from __future__ import annotations

import torch
from torch import Tensor

from colaflex.interfaces.segmenter import Segmenter
from colaflex.interfaces.values import Segmentation, TokenBatch
from colaflex.segmenters.fixed_patch_config import FixedPatchConfig

__all__ = ["FixedPatch"]


class FixedPatch(Segmenter):
    """A segment begins every `size` tokens, counted from the start or the last forced boundary.

    A segment before a forced boundary may be short, as the last one of a prompt is.
    """

    def __init__(self, config: FixedPatchConfig) -> None:
        super().__init__()
        self.size = config.size

    def segment(self, tokens: TokenBatch, states: Tensor | None = None) -> Segmentation:
        """Segment every row; `states` are not looked at."""
        del states
        length = tokens.tokens.shape[1]
        index = torch.arange(length, device=tokens.tokens.device)
        if tokens.forced is None:
            starts = (index % self.size == 0) & tokens.mask
        else:
            restart = torch.where(tokens.forced, index, 0).cummax(1).values
            starts = ((index - restart) % self.size == 0) & tokens.mask
        number = starts.cumsum(1) - 1
        segments = int(number.max()) + 1 if length else 0
        lengths = torch.zeros(tokens.tokens.shape[0], segments + 1, dtype=torch.int64)
        lengths = lengths.to(index.device)
        # Tokens that do not count fall on a spare segment that is cut off.
        slot = torch.where(tokens.mask, number, segments)
        return Segmentation(lengths.scatter_add_(1, slot, torch.ones_like(slot))[:, :segments])
