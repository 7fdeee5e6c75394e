"""A plain training loop for priors: phase after phase, each with a cosine schedule."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from colaflex.interfaces.noise import Noise
from colaflex.interfaces.prior import Prior
from colaflex.interfaces.values import LatentBatch
from colaflex.testing.probes import objective

__all__ = ["fit_batches"]


def fit_batches(prior: Prior, batch: Callable[[int], LatentBatch], steps: int, rate: float) -> None:
    """Train the phases of a prior in place.

    Args:
        prior: what learns.
        batch: of a step of each phase.
        steps: of all phases.
        rate: AdamW's, at the start of each phase, times the phase's own factor.

    Raises:
        Fault: a loss is no scalar or not finite.
    """
    for phase in prior.phases(teacher_fraction=0.5):
        phase.start()
        count = max(1, round(steps * phase.share))
        learned = list(phase.parameters)
        optimizer = torch.optim.AdamW(learned, rate, (0.9, 0.99)) if learned else None
        for step in range(count):
            latents = batch(step)
            loss = objective(phase.losses(latents, Noise(0, step, phase.name, steps=count)))
            if optimizer is None or not loss.requires_grad:
                continue  # it learns by what its losses have seen
            for group in optimizer.param_groups:
                cosine = 0.5 * (1 + math.cos(math.pi * step / count))
                group["lr"] = rate * phase.lr_ratio * cosine
            (loss / len(latents.values)).backward()
            optimizer.step()
            optimizer.zero_grad()
