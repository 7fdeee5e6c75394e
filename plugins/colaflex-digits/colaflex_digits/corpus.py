"""The corpus: documents that are images, pixel by pixel, each behind its caption if wanted.

The 1,797 digits of scikit-learn are the test set of Alpaydin and Kaynak's "Optical recognition of
handwritten digits" (1998), https://archive.ics.uci.edu/dataset/80.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from colaflex.interfaces.corpus import Corpus, Document, Split, Truth
from colaflex.statistics.draws import stable_digest
from colaflex_digits.config import DigitsCorpusConfig
from colaflex_digits.tokens import SIDE, WORDS

__all__ = ["Digits"]

REVISION = 1

Pixels = NDArray[np.int64]


class Digits(Corpus):
    """Images in scikit-learn's order; an image's content decides which split it belongs to."""

    def __init__(self, config: DigitsCorpusConfig) -> None:
        self.config = config

    @cached_property
    def images(self) -> tuple[Pixels, Pixels]:
        """(images, 64) grey levels from 0 to 16, row by row, and (images,) digits."""
        from sklearn.datasets import load_digits  # heavy to import

        pixels, digits = load_digits(return_X_y=True)
        return pixels.astype(np.int64).reshape(-1, SIDE * SIDE), digits.astype(np.int64)

    def fingerprint(self) -> str:
        """A digest of images and options."""
        content = [hashlib.sha256(part.tobytes()).hexdigest() for part in self.images]
        options = sorted(self.config.model_dump(exclude={"type"}).items())
        return stable_digest("digits", REVISION, content, options)

    def documents(self) -> Iterator[Document]:
        """All documents, e.g. "seven 0 0 5 13 …"."""
        for pixels, digit in zip(*self.images, strict=True):
            caption = [WORDS[digit]] if self.config.captions else []
            text = " ".join([*caption, *map(str, pixels.tolist())])
            yield Document(text, self._split(pixels))

    def _split(self, pixels: Pixels) -> Split:
        """By the image alone, so that it is the same with a caption and without."""
        place = int(hashlib.sha256(pixels.tobytes()).hexdigest()[:15], 16) / 16**15
        shares: tuple[tuple[Split, float], ...] = (
            ("validation", self.config.validation),
            ("test", self.config.test),
            ("judge", self.config.judge),
        )
        for split, share in shares:
            if place < share:
                return split
            place -= share
        return "train"

    def truth(self) -> Truth:
        """A reader of digits who learned from the training split."""
        from colaflex_digits.reader import DigitReader

        trains = np.array([self._split(pixels) == "train" for pixels in self.images[0]])
        pixels, digits = (part[trains] for part in self.images)
        return DigitReader(pixels, digits, self.config.captions)
