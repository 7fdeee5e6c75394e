"""Segments of an image: its rows, and words before it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from colaflex.errors import UserError
from colaflex.interfaces.segmenter import Segmenter
from colaflex.interfaces.values import Segmentation, TokenBatch, Vocabulary
from colaflex_digits.config import DigitRowsConfig

__all__ = ["DigitRows", "first_reading"]


def first_reading(vocabulary: Vocabulary, levels: int) -> int:
    """The id of the darkest level; those below it are words. Raises UserError for none."""
    if vocabulary.size <= levels:
        raise UserError(
            f"levels: {levels} of {vocabulary.size} tokens can't be grey levels; expected fewer "
            "than there are tokens, for end-of-text is one as well"
        )
    return vocabulary.size - levels


class DigitRows(Segmenter):
    """A segment is a word, or so many rows of an image.

    Rows are counted from the last word: behind a boundary that is forced within a row, the rest of
    the row is a segment, and the next row is whole again.
    """

    def __init__(self, config: DigitRowsConfig, *, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.size = config.capabilities().max_segment_tokens
        self.first_reading = first_reading(vocabulary, config.levels)

    def segment(self, tokens: TokenBatch, states: Tensor | None = None) -> Segmentation:
        """Segment every row; `states` are not looked at."""
        del states
        row = tokens.tokens
        index = torch.arange(row.shape[1], device=row.device).expand_as(row)
        word = row < self.first_reading
        pixel = index - _last(functional.pad(word, (1, 0))[:, :-1], index)
        begins = word | (pixel % self.size == 0)
        if tokens.forced is not None:
            begins = begins | tokens.forced
        number = (begins & tokens.mask).cumsum(1) - 1
        segments = int(number.max()) + 1 if row.numel() else 0
        # Tokens that do not count fall on a spare segment that is cut off.
        place = torch.where(tokens.mask, number, segments)
        lengths = place.new_zeros(len(row), segments + 1)
        return Segmentation(lengths.scatter_add_(1, place, torch.ones_like(place))[:, :segments])


def _last(marked: Tensor, index: Tensor) -> Tensor:
    """The last marked place up to each one, 0 before the first."""
    places = torch.where(marked, index, 0)
    return places.cummax(1).values if places.shape[1] else places
