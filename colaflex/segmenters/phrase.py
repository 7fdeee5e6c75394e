"""Phrases by rule: segments begin behind punctuation and at function words."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from colaflex.interfaces.segmenter import Segmenter
from colaflex.interfaces.values import Segmentation, TokenBatch, Vocabulary
from colaflex.segmenters.configs import PhraseConfig
from colaflex.segmenters.cutting import cut_rows

__all__ = ["Phrase"]


class Phrase(Segmenter):
    """Segments of whole words, as far as words have no more than `max_tokens` tokens.

    A segment begins at a token that opens a word and stands behind punctuation, or is a function
    word with none before it; and behind end-of-text.
    """

    closes: Tensor
    opens: Tensor
    function: Tensor
    ends: Tensor

    def __init__(self, config: PhraseConfig, *, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.size = config.max_tokens
        texts, words = vocabulary.texts, frozenset(config.function_words.split())
        marks = tuple(config.punctuation)
        ids = range(vocabulary.size)
        tables = {
            "closes": [texts[i].endswith(marks) for i in ids],
            "opens": [not texts[i][:1].isalnum() for i in ids],
            "function": [texts[i].strip().lower() in words for i in ids],
            "ends": [i == vocabulary.end_of_text for i in ids],
        }
        for name, table in tables.items():
            self.register_buffer(name, torch.tensor(table), persistent=False)

    def segment(self, tokens: TokenBatch, states: Tensor | None = None) -> Segmentation:
        """Segment every row; `states` are not looked at."""
        del states
        row = tokens.tokens
        before = functional.pad(row[:, :-1], (1, 0)) if row.shape[1] else row
        function = self.function[row] & self.opens[row]
        phrase = self.closes[before] | (function & ~self.function[before])
        # A mark behind a mark, as in "?!", belongs to it.
        phrase &= self.opens[row] & ~(self.closes[row] & self.closes[before])
        return cut_rows(tokens, self.size, phrase | self.ends[before])
