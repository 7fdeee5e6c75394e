"""The likelihood of held-out documents, exact or a bound, where a model has one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from colaflex.corpora.token_index import TokenIndex
from colaflex.evaluation.plan import EvaluationPlan
from colaflex.evaluation.spelling import LOSSY
from colaflex.generation.text import Tell
from colaflex.interfaces.language_model import LanguageModel
from colaflex.interfaces.metric import Items
from colaflex.interfaces.values import TokenBatch
from colaflex.metrics.measurements import Measurements, single
from colaflex.statistics.intervals import mean, ratio
from colaflex.training.batches import evaluation_batches

__all__ = ["Likelihood", "document_likelihoods", "likelihood_metrics"]

TOKENS_AT_ONCE = 4096
"""Tokens of a batch, padding included: logits of all of them are held at once."""

ERROR_ROWS = 8
"""Rows whose density is integrated twice more, to tell the integration's error."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Likelihood:
    """What a model gives held-out documents, each summed over its rows.

    Attributes:
        log_p: (documents,) nats.
        tokens: (documents,) tokens, end-of-text included.
        bytes: (documents,) UTF-8 bytes of the text; None where the tokens say less than they do.
        importance: (documents,) nats, the importance-weighted bound; None where there is none.
        error: mean absolute change of nats a token on a finer integration; None without one.
    """

    log_p: Floats
    tokens: Floats
    bytes: Floats | None
    importance: Floats | None = None
    error: float | None = None


@torch.no_grad()
def document_likelihoods(
    model: LanguageModel,
    index: TokenIndex,
    plan: EvaluationPlan,
    tell: Tell = lambda done, total: None,
) -> Likelihood | None:
    """The likelihoods of a plan's held-out documents; None where the model has none.

    A document longer than a row is read in the windows that training reads it in, none of which
    sees another.
    """
    device = next(model.parameters()).device
    source = index.split(plan.split)
    count = min(plan.documents, len(source))
    longest = int(np.diff(source.offsets[: count + 1]).max(initial=1))
    at_once = max(1, TOKENS_AT_ONCE // min(longest, plan.max_tokens))
    by_readout = plan.likelihood_by_readout
    log_p, importance, tokens = np.zeros(count), np.zeros(count), np.zeros(count)
    error: float | None = None
    for numbers, batch in evaluation_batches(index, plan.split, plan.max_tokens, at_once, count):
        rows = batch.to(device)
        weights = (model.content_log_weights if by_readout else model.log_weights)(rows)
        if weights is None:
            return None
        weights = weights.double().cpu()
        if not (tokens.any() or by_readout):
            error = _integration_error(model, batch, device)
        np.add.at(log_p, numbers, weights.mean(0).numpy())
        weighed = weights.logsumexp(0) - math.log(len(weights))
        np.add.at(importance, numbers, weighed.numpy())
        np.add.at(tokens, numbers, batch.lengths.numpy())
        tell(int(numbers[-1]) + 1, count)
    known = np.asarray(source.bytes[:count], dtype=np.float64)
    weighed_too = importance if by_readout or model.weighs_draws else None
    return Likelihood(log_p, tokens, known, weighed_too, error)


def _integration_error(
    model: LanguageModel, batch: TokenBatch, device: torch.device
) -> float | None:
    """Nats a token by which the first rows' log p changes; None where nothing is integrated."""
    few = batch.rows(slice(ERROR_ROWS))
    change = model.likelihood_change(few.to(device))
    return None if change is None else float(change.abs().sum()) / float(few.lengths.sum())


def likelihood_metrics(
    documents: Likelihood, truth: Sequence[float] | None = None, resamples: int = 1000
) -> Measurements:
    """The `likelihood.*` metrics, with intervals over documents and what each document adds.

    Args:
        documents: held-out ones.
        truth: log p* of each in nats, where the corpus knows it.
        resamples: bootstrap resamples.

    Returns:
        `nats_per_token` (end-of-text included), `bits_per_byte`, and with p* known
        `excess_nats`: log p* - log p per document, whose mean is an estimate of KL(p* || p).
        `importance_*` and `integration_error` where there are such.
    """
    sums = {"": -documents.log_p}
    if documents.importance is not None:
        sums["importance_"] = -documents.importance
    measured = Measurements()
    metrics, items = measured.metrics, measured.items
    for kind, nats in sums.items():
        parts = {f"{kind}nats_per_token": (nats, documents.tokens)}
        if documents.bytes is None:
            measured.leave_out(f"{kind}bits_per_byte", LOSSY)
        else:
            parts[f"{kind}bits_per_byte"] = (nats / math.log(2), documents.bytes)
        for name, (values, weights) in parts.items():
            metrics[name] = ratio(values, weights, "likelihood", resamples=resamples)
            items[name] = Items.of(values, weights)
    if documents.error is not None:
        metrics["integration_error"] = single(documents.error)
    if truth is not None and documents.bytes is None:
        measured.leave_out("excess_nats", LOSSY)
    elif truth is not None:
        excess = np.asarray(truth, dtype=np.float64) - documents.log_p
        metrics["excess_nats"] = mean(excess, "likelihood", resamples=resamples)
        items["excess_nats"] = Items.of(excess)
    return measured.under("likelihood.")
