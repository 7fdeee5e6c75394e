"""Rows, the order of training, and batches.

One document a row (a long one is cut into windows), never several packed behind each other:

- no attention across documents has to be masked away, in any component, ours or a plugin's;
- every row begins with an empty history, which is what guidance and generation from an empty
  prompt need to have learned;
- segments and blocks begin at the row's first token, so prompts align at generation as in training.

Rows of like length come in one batch, so little is padding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from colaflex.corpora.token_index import SplitIndex, TokenIndex
from colaflex.errors import UserError
from colaflex.interfaces.corpus import Split
from colaflex.interfaces.values import TokenBatch
from colaflex.statistics.draws import keyed_rng

__all__ = ["Rows", "TrainingBatches", "TrainingOrder", "evaluation_batches"]

POOL_BATCHES = 64  # rows are sorted by length within random pools of so many batches


@dataclass(frozen=True)
class Rows:
    """Windows of documents, in document order.

    Attributes:
        starts: (rows,) int64, position of each row's first token in the split.
        lengths: (rows,) int64, tokens, the end-of-text of a complete row included.
        complete: (rows,) bool, whether the document ends within the row.
        documents: (rows,) int64, number of the document.
    """

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    complete: NDArray[np.bool_]
    documents: NDArray[np.int64]

    @classmethod
    def of(cls, split: SplitIndex, max_tokens: int) -> Rows:
        """Cut documents longer than `max_tokens`; the last two windows share what is left evenly.

        The first of these two is a multiple of a power of two near max_tokens / 8, so that
        segments of usual sizes stay whole.
        """
        first = np.asarray(split.offsets[:-1])
        lengths = np.diff(split.offsets)
        windows = np.maximum(1, -(-lengths // max_tokens))
        documents = np.repeat(np.arange(len(lengths)), windows)
        place = np.arange(len(documents)) - np.repeat(np.cumsum(windows) - windows, windows)
        last = windows[documents] - 1
        grain = 1 << max(0, (max_tokens // 8).bit_length() - 1)
        rest = lengths - np.maximum(0, windows - 2) * max_tokens
        half = np.minimum(max_tokens, -(-rest // (2 * grain)) * grain)
        begin = np.where(
            (place == last) & (last > 0),
            (last - 1) * max_tokens + half[documents],
            place * max_tokens,
        )
        end = np.where(place == last, lengths[documents], (place + 1) * max_tokens)
        end = np.where(place == last - 1, (last - 1) * max_tokens + half[documents], end)
        return cls(first[documents] + begin, end - begin, place == last, documents)

    def __len__(self) -> int:
        return len(self.starts)

    def batch(
        self, split: SplitIndex, chosen: NDArray[np.int64], width: int, end_of_text: int
    ) -> TokenBatch:
        """The chosen rows, filled with end-of-text up to a width."""
        lengths = self.lengths[chosen]
        columns = np.arange(width)
        counted = columns < lengths[:, None]
        index = np.where(counted, self.starts[chosen][:, None] + columns, 0)
        tokens = np.where(counted, split.tokens[index].astype(np.int64), end_of_text)
        return TokenBatch(
            torch.from_numpy(tokens),
            torch.from_numpy(lengths),
            torch.from_numpy(self.complete[chosen]),
        )


class TrainingOrder:
    """Which rows a step sees: a pure function of (seed, epoch, step).

    Every row occurs once an epoch, but for a remainder of less than a batch, which is another one
    in every epoch.
    """

    def __init__(self, lengths: NDArray[np.int64], batch_size: int, seed: int) -> None:
        if len(lengths) < batch_size:
            raise UserError(
                f"corpus: {len(lengths)} rows to train on are fewer than a batch of {batch_size}; "
                f"lower training.batch_size to at most {len(lengths)}, or give more documents"
            )
        self._lengths = lengths
        self._seed = seed
        self.batch_size = batch_size
        self.steps_per_epoch = len(lengths) // batch_size
        self._epoch: Callable[[int], NDArray[np.int64]] = lru_cache(maxsize=2)(self._arrange)

    def rows(self, step: int) -> NDArray[np.int64]:
        """(batch_size,) row ids of a step."""
        epoch, place = divmod(step, self.steps_per_epoch)
        chosen: NDArray[np.int64] = self._epoch(epoch)[place]
        return chosen

    def _arrange(self, epoch: int) -> NDArray[np.int64]:
        """(steps_per_epoch, batch_size) row ids of an epoch."""
        rng = keyed_rng("order", self._seed, epoch)
        order = rng.permutation(len(self._lengths))[: self.steps_per_epoch * self.batch_size]
        pool = np.arange(len(order)) // (POOL_BATCHES * self.batch_size)
        # The sort is stable and rows are shuffled, so equally long rows meet at random.
        order = order[np.lexsort((self._lengths[order], pool))]
        batches = order.reshape(-1, self.batch_size)[rng.permutation(self.steps_per_epoch)]
        # Rows are shuffled within a batch, so that processes get like shares of long ones.
        return np.asarray(rng.permuted(batches, axis=1))


class TrainingBatches:
    """Batches of the train split by step."""

    def __init__(self, index: TokenIndex, max_tokens: int, batch_size: int, seed: int) -> None:
        self._split = index.split("train")
        self._end_of_text = index.end_of_text
        self.table = Rows.of(self._split, max_tokens)
        self.order = TrainingOrder(self.table.lengths, batch_size, seed)

    def batch(self, step: int) -> TokenBatch:
        """The rows of a step, as wide as the widest."""
        chosen = self.order.rows(step)
        width = int(self.table.lengths[chosen].max())
        return self.table.batch(self._split, chosen, width, self._end_of_text)


def evaluation_batches(
    index: TokenIndex, split: Split, max_tokens: int, batch_size: int, limit: int | None = None
) -> Iterator[tuple[NDArray[np.int64], TokenBatch]]:
    """The rows of a split in document order, with the number of the document that each is of.

    The last batch may be smaller.

    Args:
        index: the corpus.
        split: which split.
        max_tokens: longest row.
        batch_size: rows of a batch.
        limit: documents to read at most, from the first.

    Raises:
        UserError: the split has no documents.
    """
    source = index.split(split)
    source = source if limit is None else source.head(limit)
    table = Rows.of(source, max_tokens)
    count = len(table)
    for start in range(0, count, batch_size):
        chosen = np.arange(start, min(start + batch_size, count))
        width = int(table.lengths[chosen].max())
        yield table.documents[chosen], table.batch(source, chosen, width, index.end_of_text)
