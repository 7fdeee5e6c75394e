"""How well held-out documents are realised from their own latents."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from colaflex.evaluation.intervals import proportion, ratio
from colaflex.interfaces.metric import Measurement

__all__ = ["Reconstruction", "reconstruction_metrics"]


@dataclass(frozen=True)
class Reconstruction:
    """What decoding the encoder's latents gave, one entry a document.

    Attributes:
        correct: (documents,) tokens whose most probable reconstruction is right.
        tokens: (documents,) tokens, end-of-text included where the document has one.
        nll: (documents,) -log p(x | z) summed over tokens, nats.
        bytes: (documents,) UTF-8 bytes of the text.
    """

    correct: ArrayLike
    tokens: ArrayLike
    nll: ArrayLike
    bytes: ArrayLike


def reconstruction_metrics(
    documents: Reconstruction, resamples: int = 1000
) -> dict[str, Measurement]:
    """The `reconstruction.*` metrics, with intervals over documents.

    Returns:
        `token_accuracy` and `exact_documents` (fractions), `nll` (nats per token), `bits_per_byte`
        (of the realisation alone: the rate is not in it).
    """
    nll = np.asarray(documents.nll, dtype=np.float64)
    right = np.asarray(documents.correct) == np.asarray(documents.tokens)
    metrics = {
        "token_accuracy": proportion(documents.correct, documents.tokens),
        "exact_documents": proportion(right),
        "nll": ratio(nll, documents.tokens, "reconstruction", resamples=resamples),
        "bits_per_byte": ratio(
            nll / math.log(2), documents.bytes, "reconstruction", resamples=resamples
        ),
    }
    return {f"reconstruction.{name}": value for name, value in metrics.items()}
