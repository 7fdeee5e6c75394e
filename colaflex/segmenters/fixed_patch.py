"""Fixed patches of tokens, aligned with the prompt."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from colaflex.interfaces.segmenter import Segmenter
from colaflex.interfaces.values import Segmentation, TokenBatch
from colaflex.segmenters.configs import FixedPatchConfig
from colaflex.segmenters.cutting import cut_rows

__all__ = ["FixedPatch"]


class FixedPatch(Segmenter):
    """A segment begins every `size` tokens, counted from the start or the last forced boundary.

    A segment before a forced boundary may be short, as the last one of a prompt is. Where prompts
    are not aligned, no boundary is forced.
    """

    def __init__(self, config: FixedPatchConfig) -> None:
        super().__init__()
        self.size, self.aligned = config.size, config.align_prompts

    def segment(self, tokens: TokenBatch, states: Tensor | None = None) -> Segmentation:
        """Segment every row; `states` are not looked at."""
        del states
        return cut_rows(tokens if self.aligned else replace(tokens, forced=None), self.size)
