"""Sentences as segments, by their punctuation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from colaflex.interfaces.segmenter import Segmenter
from colaflex.interfaces.values import Segmentation, TokenBatch, Vocabulary
from colaflex_sentence.config import SentenceConfig

__all__ = ["Sentence"]


class Sentence(Segmenter):
    """A segment begins at a token that opens a word behind the end of a sentence.

    Closing quotes and brackets, and further marks, belong to the sentence that they follow; so do
    letters and digits that follow a mark at once, as in "3.16". Longer sentences are cut.
    """

    ends: Tensor
    follows: Tensor
    opens: Tensor
    end_of_text: Tensor

    def __init__(self, config: SentenceConfig, *, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.size = config.max_tokens
        marks, closing = tuple(config.marks), config.closing
        texts = vocabulary.texts
        tables = {
            "ends": [text.rstrip(closing).endswith(marks) for text in texts],
            "follows": [bool(text) and not text.strip(closing) for text in texts],
            "opens": [not text[:1].isalnum() and not text.startswith(marks) for text in texts],
            "end_of_text": [i == vocabulary.end_of_text for i in range(vocabulary.size)],
        }
        for name, table in tables.items():
            self.register_buffer(name, torch.tensor(table), persistent=False)

    def segment(self, tokens: TokenBatch, states: Tensor | None = None) -> Segmentation:
        """Segment every row; `states` are not looked at."""
        del states
        row = tokens.tokens
        index = torch.arange(row.shape[1], device=row.device).expand_as(row)
        begins = self._sentences(row, index) if row.shape[1] else torch.zeros_like(tokens.mask)
        if tokens.forced is not None:
            begins = begins | tokens.forced
        # Counted from its sentence's first token, every `size`-th begins a segment as well.
        first = torch.where(begins, index, 0)
        place = index - (first.cummax(1).values if row.shape[1] else first)
        starts = (place % self.size == 0) & tokens.mask
        number = starts.cumsum(1) - 1
        segments = int(number.max()) + 1 if row.shape[1] else 0
        # Tokens that don't count fall on a spare segment that is cut off.
        slot = torch.where(tokens.mask, number, segments)
        lengths = slot.new_zeros(len(row), segments + 1).scatter_add_(
            1, slot, torch.ones_like(slot)
        )
        return Segmentation(lengths[:, :segments])

    def _sentences(self, row: Tensor, index: Tensor) -> Tensor:
        """(batch, tokens) bool: tokens behind the end of a sentence or of a text."""
        follows = self.follows[row]
        # The last token up to each that is more than closing quotes and brackets.
        said = torch.where(follows, 0, index).cummax(1).values
        ended = functional.pad(self.ends[row].gather(1, said)[:, :-1], (1, 0))
        behind_text = functional.pad(self.end_of_text[row][:, :-1], (1, 0))
        return (ended & self.opens[row] & ~follows) | behind_text
