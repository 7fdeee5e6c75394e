"""What this package offers to colaflex."""

from __future__ import annotations

import colaflex

__all__ = ["colaflex_components"]


@colaflex.hookimpl
def colaflex_components() -> list[colaflex.Component]:
    """A corpus of images, a segmenter of their rows, and a representation that sees and draws."""
    return [
        colaflex.Component(
            kind="corpus",
            name="digits",
            target="colaflex_digits.corpus:Digits",
            config="colaflex_digits.config:DigitsCorpusConfig",
            summary="Handwritten digits of scikit-learn, 8 by 8 pixels, captioned or not.",
        ),
        colaflex.Component(
            kind="segmenter",
            name="digit_rows",
            target="colaflex_digits.rows:DigitRows",
            config="colaflex_digits.config:DigitRowsConfig",
            summary="Rows of pixels; a word is a segment of its own.",
        ),
        colaflex.Component(
            kind="representation",
            name="digits",
            target="colaflex_digits.representation:DigitsRepresentation",
            config="colaflex_digits.config:DigitsConfig",
            summary="A sensor of intensities and words, and an actuator that draws and says them.",
        ),
    ]
