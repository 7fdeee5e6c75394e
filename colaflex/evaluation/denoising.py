"""Where a prior loses: its errors by noise level, on held-out text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from colaflex.corpora.token_index import TokenIndex
from colaflex.evaluation.plan import EvaluationPlan
from colaflex.interfaces.metric import Measurement
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.schedule import Schedule
from colaflex.interfaces.values import LatentBatch
from colaflex.latent.model import LatentModel
from colaflex.latent.whole_blocks import completed
from colaflex.metrics.measurements import Measurements
from colaflex.statistics.intervals import ratio
from colaflex.training.batches import evaluation_batches

__all__ = ["LOGIT_TIMES", "denoising"]

LOGIT_TIMES: tuple[float, ...] = (-4, -3, -2, -1, 0, 1, 2, 3, 4)
"""Noise levels, as logit t: from t = 0.018 to 0.982."""

ROWS_AT_ONCE, MOST_ROWS = 16, 64
LAW_POINTS = 4095
MOSTLY_NOISE = 0.9
"""The t above which a prior hardly sees the data."""


@torch.no_grad()
def denoising(model: LatentModel, index: TokenIndex, plan: EvaluationPlan) -> Measurements:
    """`denoising.at_logit_time.L.*` of held-out rows; empty where a prior tells no such losses.

    `x0_error`, mean over channels, of clean latents of variance 1, and of a readout `content`, in
    nats per latent; without guidance, behind the row's own text. Intervals are over rows. Of a
    schedule that followed the training also `times`, the share that it draws there, and
    `denoising.mostly_noise`.
    """
    sums: dict[tuple[float, str], list[float]] = {}
    counts: list[int] = []
    count = min(plan.documents, MOST_ROWS, len(index.split(plan.split)))
    batches = evaluation_batches(index, plan.split, plan.max_tokens, ROWS_AT_ONCE, count)
    for _, batch in batches:
        rows = completed(model, batch, model.prior.block_size, 0.0, Noise(plan.seed))
        whole = rows.to(model.device)
        latents, posterior = model.encode(whole)
        # What a prior learns are drawn latents: only these have variance 1.
        noise = Noise(plan.seed, len(counts)).normal(
            "posterior", posterior.mean.shape, posterior.mean
        )
        latents = latents.with_values(model.normalised(posterior.sample(noise)))
        losses = model.prior.loss_by_noise(latents, LOGIT_TIMES, Noise(plan.seed, len(counts)))
        if not losses:
            return Measurements()
        counts += latents.mask.sum(1).tolist()
        for level in losses:
            _add(sums, level.logit_time, "x0_error", level.error, latents)
            if level.content is not None:
                _add(sums, level.logit_time, "content", level.content, latents)
    return Measurements(
        {
            f"denoising.at_logit_time.{logit:g}.{name}": ratio(
                np.asarray(values), np.asarray(counts), "denoising", resamples=plan.bootstrap
            )
            for (logit, name), values in sums.items()
        }
        | _law_of_times(model)
    )


def _law_of_times(model: LatentModel) -> dict[str, Measurement]:
    """Where the training times of a law that followed the training lie at its end."""
    laws = (p for p in model.prior.modules() if isinstance(p, Schedule) and p.watches)
    law = next(laws, None)
    if law is None:
        return {}
    shares = torch.linspace(0, 1, LAW_POINTS + 2, dtype=torch.float64, device=model.device)[1:-1]
    times = law.quantile(shares)
    logits = times.logit()
    near = {
        f"denoising.at_logit_time.{at:g}.times": float(((logits - at).abs() < 0.5).double().mean())
        for at in LOGIT_TIMES
    }
    near["denoising.mostly_noise"] = float((times > MOSTLY_NOISE).double().mean())
    # Of all the law, not of a sample: there is nothing to be unsure of.
    return {name: Measurement(share, share, share, LAW_POINTS) for name, share in near.items()}


def _add(
    sums: dict[tuple[float, str], list[float]],
    logit: float,
    name: str,
    per_latent: torch.Tensor,
    latents: LatentBatch,
) -> None:
    rows: Sequence[float] = torch.where(latents.mask, per_latent, 0.0).double().sum(1).tolist()
    sums.setdefault((logit, name), []).extend(rows)
