"""How well held-out documents are realised from their own latents."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from colaflex.corpora.token_index import TokenIndex
from colaflex.evaluation.plan import EvaluationPlan
from colaflex.evaluation.spelling import LOSSY
from colaflex.generation.text import Tell
from colaflex.interfaces.language_model import LanguageModel, Reconstructed
from colaflex.interfaces.metric import Items
from colaflex.metrics.measurements import Measurements
from colaflex.statistics.intervals import proportion, ratio
from colaflex.training.batches import evaluation_batches

__all__ = ["Reconstruction", "reconstruct", "reconstruction_metrics", "reconstructions"]

ROWS_AT_ONCE = 8
"""Held-out rows read together: their logits, over the whole vocabulary, are held at once."""


@dataclass(frozen=True)
class Reconstruction:
    """What decoding the encoder's latents gave, one entry a document.

    Attributes:
        correct: (documents,) tokens whose most probable reconstruction is right.
        tokens: (documents,) tokens, end-of-text included where the document has one.
        nll: (documents,) -log p(x | z) summed over tokens, nats.
        bytes: (documents,) UTF-8 bytes of the text; None where the tokens say less than they do.
        exact: (documents,) whether the text comes back from its own tokens; None where all do.
    """

    correct: ArrayLike
    tokens: ArrayLike
    nll: ArrayLike
    bytes: ArrayLike | None
    exact: ArrayLike | None = None


def reconstructions(
    model: LanguageModel, index: TokenIndex, plan: EvaluationPlan, documents: int
) -> Iterator[tuple[NDArray[np.int64], Reconstructed]]:
    """Rows of the first held-out documents from their own latents; none where there are no latents.

    Each batch comes with the number of the document that each of its rows is of.
    """
    device = next(model.parameters()).device
    for numbers, batch in evaluation_batches(
        index, plan.split, plan.max_tokens, ROWS_AT_ONCE, documents
    ):
        back = model.reconstruct(batch.to(device))
        if back is None:
            return
        yield numbers, back


def reconstruct(
    model: LanguageModel,
    index: TokenIndex,
    plan: EvaluationPlan,
    tell: Tell = lambda done, total: None,
) -> Reconstruction | None:
    """The held-out documents of a plan, each summed over its rows; None without latents."""
    rows, count = [], min(plan.documents, len(index.split(plan.split)))
    for row in reconstructions(model, index, plan, plan.documents):
        rows.append(row)
        tell(int(row[0][-1]) + 1, count)
    if not rows:
        return None
    numbers = np.concatenate([of_row for of_row, _ in rows])

    def by_document(name: str) -> NDArray[np.float64]:
        values = np.concatenate([getattr(back, name).cpu().numpy() for _, back in rows])
        return np.asarray(np.bincount(numbers, weights=values), dtype=np.float64)

    sizes = index.split(plan.split).bytes[: plan.documents]
    return Reconstruction(by_document("correct"), by_document("counted"), by_document("nll"), sizes)


def reconstruction_metrics(documents: Reconstruction, resamples: int = 1000) -> Measurements:
    """The `reconstruction.*` metrics, with intervals over documents.

    Returns:
        `token_accuracy` and `exact_documents` (fractions; a document whose tokens say less than its
        text is not exact), `nll` (nats per token), `bits_per_byte` (of the realisation alone: the
        rate is not in it), each with what every document adds.
    """
    correct, tokens = np.asarray(documents.correct), np.asarray(documents.tokens)
    nll = np.asarray(documents.nll, dtype=np.float64)
    whole = correct == tokens
    if documents.exact is not None:
        whole &= np.asarray(documents.exact)
    items = {
        "token_accuracy": Items.of(correct, tokens),
        "exact_documents": Items.of(whole),
        "nll": Items.of(nll, tokens),
    }
    metrics = {
        "token_accuracy": proportion(correct, tokens),
        "exact_documents": proportion(whole),
        "nll": ratio(nll, tokens, "reconstruction", resamples=resamples),
    }
    left_out = {}
    if documents.bytes is None:
        left_out["bits_per_byte"] = LOSSY
    else:
        bits, sizes = nll / math.log(2), np.asarray(documents.bytes)
        items["bits_per_byte"] = Items.of(bits, sizes)
        metrics["bits_per_byte"] = ratio(bits, sizes, "reconstruction", resamples=resamples)
    return Measurements(metrics, items, left_out).under("reconstruction.")
