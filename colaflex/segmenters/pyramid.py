"""Two levels of segments in one sequence: a coarse one before every run of fine ones."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from colaflex.interfaces.component import Builder
from colaflex.interfaces.levels import fine_lengths, levelled, spread
from colaflex.interfaces.losses import Losses
from colaflex.interfaces.segmenter import Segmenter
from colaflex.interfaces.values import Segmentation, TokenBatch, Vocabulary
from colaflex.segmenters.configs import PyramidConfig

__all__ = ["Pyramid"]


class Pyramid(Segmenter):
    """Fine segments as another segmenter cuts them, `run` of them behind each coarse one.

    A coarse segment holds no tokens of its own: it stands for those of its run, up to the first
    boundary that is forced there, so that a prompt's latents know the prompt alone.
    """

    def __init__(
        self, config: PyramidConfig, *, build: Builder, vocabulary: Vocabulary | None = None
    ) -> None:
        super().__init__()
        needed = {"vocabulary": vocabulary} if config.fine.capabilities().needs_vocabulary else {}
        self.fine: Segmenter = build(config.fine, **needed)
        self.group = config.run + 1

    def segment(self, tokens: TokenBatch, states: Tensor | None = None) -> Segmentation:
        """Segment every row, both levels."""
        fine = self.fine.segment(self._fine_batch(tokens), states)
        both = levelled(spread(fine.lengths, self.group), self.group)
        return replace(fine, lengths=both.lengths, level=both.level)

    def losses(self, tokens: TokenBatch, segmentation: Segmentation) -> Losses:
        """Those of the fine segments' segmenter."""
        lengths = fine_lengths(segmentation.lengths, self.group)
        fine = Segmentation(lengths, segmentation.boundary_probability)
        return self.fine.losses(self._fine_batch(tokens), fine)

    def flops(self, batch: int, tokens: int) -> int:
        """Model FLOPs of cutting the fine segments."""
        return self.fine.flops(batch, tokens)

    def _fine_batch(self, tokens: TokenBatch) -> TokenBatch:
        if tokens.segments is None:
            return tokens
        return replace(tokens, segments=fine_lengths(tokens.segments, self.group))
