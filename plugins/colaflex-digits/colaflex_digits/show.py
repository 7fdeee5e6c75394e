"""`python -m colaflex_digits.show RUN OUT.png`: a picture of a run's samples."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import colaflex
from colaflex_digits.reader import pixels_of
from colaflex_digits.tokens import LEVELS, SIDE, WORDS

__all__ = ["draw", "main"]

COLUMNS = 12


def draw(run: str | Path, out: str | Path, seed: int = 0) -> None:
    """A row of samples for each caption, or ten rows where a run knows none; needs matplotlib.

    Args:
        run: folder of a run on the corpus `digits`.
        out: file of the picture; its ending says the format.
        seed: of the samples.
    """
    import matplotlib.pyplot as plt

    model = colaflex.load(run)
    corpus: Any = model.spec.corpus
    captions = [word if corpus.captions else "" for word in WORDS]
    prompts = [caption for caption in captions for _ in range(COLUMNS)]
    made = model.generate(prompts, seed=seed)
    figure, axes = plt.subplots(len(captions), COLUMNS, figsize=(COLUMNS / 2, len(captions) / 2))
    for axis, sample in zip(axes.flat, made, strict=True):
        _, image = pixels_of(sample.text, captions=False)
        blank = np.zeros(SIDE * SIDE, dtype=np.int64)  # what is no image is left blank
        shown = (blank if image is None else image).reshape(SIDE, SIDE)
        axis.imshow(shown, cmap="gray_r", vmin=0, vmax=LEVELS - 1)
        axis.set(xticks=[], yticks=[])
    for axis, caption in zip(axes[:, 0], captions, strict=True):
        axis.set_ylabel(caption, rotation=0, ha="right", va="center")
    figure.tight_layout(pad=0.3)
    figure.savefig(out, dpi=100)
    plt.close(figure)


def main(arguments: list[str]) -> int:
    """Draw what the command line names."""
    if len(arguments) != 2:
        print("usage: python -m colaflex_digits.show RUN OUT.png", file=sys.stderr)
        return 2
    draw(arguments[0], arguments[1])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
