"""What generated images are worth: whether they are images, which digits, and how new."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colaflex.interfaces.corpus import Truth
from colaflex.interfaces.metric import Measurement
from colaflex.statistics.intervals import mean, proportion
from colaflex_digits.tokens import LEVELS, SIDE, WORDS

__all__ = ["DigitReader", "pixels_of"]

Pixels = NDArray[np.int64]


def pixels_of(text: str, captions: bool) -> tuple[str, Pixels | None]:
    """The caption of a document ("" for none) and its (64,) grey levels, None for no image."""
    words = text.split()
    caption = words.pop(0) if captions and words else ""
    levels = {str(level) for level in range(LEVELS)}
    if len(words) != SIDE * SIDE or not levels.issuperset(words):
        return caption, None
    return caption, np.array([int(word) for word in words])


class DigitReader(Truth):
    """Reads digits by logistic regression on real images of the training split.

    Args:
        pixels: (images, 64) grey levels to learn from.
        digits: (images,) what they show.
        captions: whether documents begin with a caption.
    """

    def __init__(self, pixels: Pixels, digits: Pixels, captions: bool) -> None:
        self.pixels, self.digits, self.captions = pixels, digits, captions

    @cached_property
    def _classifier(self) -> Any:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(max_iter=2000).fit(self.pixels / 16, self.digits)

    def read(self, images: Sequence[Pixels]) -> list[int]:
        """The most probable digit of each image."""
        if not images:
            return []
        found: list[int] = self._classifier.predict(np.stack(images) / 16).tolist()
        return found

    def measure(self, texts: Sequence[str], resamples: int = 1000) -> dict[str, Measurement]:
        """What the reader makes of the texts.

        Returns:
            `valid_images` (share of texts that are 64 levels, behind a caption where there are
            captions), `caption_accuracy` (share of all texts whose image is read as its caption
            says; with captions only), `share.<word>` (of the images read as that digit), and
            `nearest_training` (distance of an image to the nearest one of the training split: root
            mean square over pixels, intensities from 0 to 1; 0 is a copy).
        """
        found = [pixels_of(text, self.captions) for text in texts]
        valid = [
            (caption, image)
            for caption, image in found
            if image is not None and (caption in WORDS or not self.captions)
        ]
        images = [image for _, image in valid]
        read = self.read(images)
        missing = len(found) - len(valid)
        metrics = {"valid_images": proportion([1] * len(valid) + [0] * missing)}
        if self.captions:
            hits = [WORDS[d] == caption for d, (caption, _) in zip(read, valid, strict=True)]
            metrics["caption_accuracy"] = proportion([*hits, *[False] * missing])
        for digit, word in enumerate(WORDS):
            metrics[f"share.{word}"] = proportion([found == digit for found in read])
        distances = [self._nearest(image) for image in images]
        metrics["nearest_training"] = mean(distances, "nearest_training", resamples=resamples)
        return metrics

    def _nearest(self, image: Pixels) -> float:
        squares = np.square((self.pixels - image) / 16).mean(1)
        return float(np.sqrt(squares.min()))
