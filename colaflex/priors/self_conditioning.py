"""Self-conditioning: the network reads an estimate of the clean latents along with noisy ones.

References:
    Analog Bits (Chen et al., 2022), https://arxiv.org/abs/2208.04202, for an estimate at the same
    point in a share of the steps; FastDiSS (2026), https://arxiv.org/abs/2604.05551, for one at
    more noise, as samplers of few steps have it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from colaflex.interfaces.noise import Noise
from colaflex.priors.denoiser import Denoiser
from colaflex.priors.flow_config import SelfConditioning
from colaflex.priors.path import Path, over_channels

__all__ = ["draw_condition", "noisier"]

FEWEST_STEPS, MOST_STEPS = 4, 32
"""Steps of the samplers whose step before an estimate may come from."""


def draw_condition(
    denoiser: Denoiser, settings: SelfConditioning, past: Any, path: Path, noise: Noise, batch: int
) -> Tensor | None:
    """An estimate of the clean latents, lifted, in a share of the noisings; 0 in the others.

    Args:
        denoiser: makes the estimate, without gradient, and lifts it; None if it lifts none.
        settings: that share, and at which noise estimates are made.
        past: the network's history.
        path: whose points the network is asked about.
        noise: of the step.
        batch: rows of the batch, of which the path has some noisings.
    """
    if denoiser.recall is None:
        return None
    draws = noise.uniform("self-conditioning", (batch, len(path.data) // batch, 2), path.data)
    draws = draws.transpose(0, 1).flatten(0, 1)
    times = path.times
    if settings.perturbed:
        times = noisier(times, draws[:, 1:].view(-1, *(1 for _ in times.shape[1:])))
    with torch.no_grad():
        points = path.point(times)
        prediction = denoiser.predictor(past, path.masks)(points, times[..., None])
        estimate = denoiser.clean(prediction, points, times)
        if path.weights is not None:  # positions behind their way are their own estimates
            estimate = torch.where(over_channels(times, points) > 0, estimate, points)
    chosen = (draws[:, 0] < settings.share)[:, None, None] & ~path.masks.pinned
    lifted: Tensor = denoiser.recall(torch.where(chosen[..., None], estimate, 0.0))
    return lifted


def noisier(times: Tensor, draws: Tensor) -> Tensor:
    """The time one step before, by a sampler of a random number of even steps.

    Args:
        times: (rows, blocks), or (rows, blocks, block) of positions; those at the data stay there.
        draws: (rows, 1) or (rows, 1, 1), uniform in [0, 1).
    """
    span = MOST_STEPS / FEWEST_STEPS
    steps = torch.floor(FEWEST_STEPS * span**draws)
    return torch.where(times > 0, (times + 1.0 / steps).clamp(max=1.0), times)
