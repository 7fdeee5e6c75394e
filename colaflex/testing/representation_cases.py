"""Small representations, and token rows cut into segments of several lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from colaflex.interfaces.noise import Noise
from colaflex.interfaces.representation import Representation
from colaflex.interfaces.values import Segmentation, TokenBatch, Vocabulary
from colaflex.testing.probes import drawn, shake
from colaflex.testing.subject import Subject

__all__ = ["SIZE", "VOCABULARY", "Case"]

SIZE = 13
WORDS = "light water day night earth sea tree king son city road"
TEXTS = ("<|end|>", "<|mask|>", *(f" {word}" for word in WORDS.split()))
VOCABULARY = Vocabulary(SIZE, end_of_text=0, mask=1, texts=TEXTS)
VARIED = ((3, 3, 1, 2), (2, 3, 0, 0), (3, 3, 3, 3), (1, 0, 0, 0))
EVEN = ((3, 3, 3, 3), (3, 3, 0, 0), (3, 3, 3, 3), (3, 0, 0, 0))


@dataclass(frozen=True)
class Case:
    """A representation under test, and what it reads.

    Attributes:
        subject: the component.
    """

    subject: Subject

    @property
    def slots(self) -> int:
        """Tokens of the longest segment: one where latents are tokens."""
        return 1 if self.subject.capabilities.token_aligned else 3

    @property
    def lengths(self) -> tuple[tuple[int, ...], ...]:
        """Tokens of each segment, in four rows; 0 behind a row's last one."""
        varied = VARIED if self.subject.capabilities.variable_length else EVEN
        return tuple(tuple(min(n, self.slots) for n in row) for row in varied)

    def fresh(self, double: bool = True) -> Representation:
        """A new one with its first weights."""
        model: Representation = self.subject.build(
            vocabulary=VOCABULARY, max_segment_tokens=self.slots
        )
        return model.double() if double else model.float()

    def shaken(self, double: bool = True) -> Representation:
        """One whose weights are all random."""
        model = self.fresh(False)
        shake(model)
        return model.double() if double else model

    def batch(
        self, lengths: Sequence[Sequence[int]] | None = None, seed: int = 0
    ) -> tuple[TokenBatch, Segmentation]:
        """Random tokens in segments of these lengths."""
        cut = torch.tensor(lengths or self.lengths)
        draws = torch.Generator().manual_seed(seed)
        width = cut.shape[1] * self.slots
        tokens = torch.randint(2, SIZE, (len(cut), width), generator=draws)
        total = cut.sum(1)
        tokens[torch.arange(width) >= total[:, None]] = VOCABULARY.end_of_text
        complete = torch.ones(len(cut), dtype=torch.bool)
        return TokenBatch(tokens, total, complete), Segmentation(cut)

    def noise(self, step: int = 0, first: int = 0) -> Noise:
        """The draws of a step."""
        return Noise(7, step, "check", first, len(self.lengths))

    def latents(self, rows: int, segments: int, dim: int) -> Tensor:
        """(rows, segments, dim) standard-normal, in float64."""
        return drawn(rows, segments, dim, seed=3)
