"""Own-trajectory consistency: what is predicted now is to be predicted a step of the sampler later.

References:
    AURORA-LM (2026), for the loss between a prediction and that of the averaged weights at the
    sampler's next point, https://arxiv.org/abs/2608.02602.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from colaflex.priors.denoiser import Denoiser
from colaflex.priors.path import Path, over_channels

__all__ = ["later", "later_prediction", "take_into_average"]


def later(times: Tensor, steps: int) -> Tensor:
    """The next time of a sampler of so many even steps: the largest of its times below these."""
    return ((times * steps).ceil() - 1).clamp(min=0) / steps


@torch.no_grad()
def later_prediction(
    average: Denoiser, past: Any, path: Path, clean: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """The clean latents that the averaged weights predict at the sampler's next point.

    That is Euler's, z_s = (s / t) z_t + (1 - s / t) x, where x was predicted at t. With
    self-conditioning the next call reads x as its estimate, as in sampling.

    Args:
        average: with averaged weights.
        past: its own reading of the history.
        path: z_t is its point.
        clean: x, of the points' shape.
        steps: of the sampler.

    Returns:
        The latents, of the points' shape, and the times s, of the path's times' shape.
    """
    then = later(path.times, steps)
    if path.weights is not None:  # positions before their way wait
        then = torch.where(path.times < 1, then, path.times)
    ratio = over_channels(torch.where(path.times > 0, then / path.times, 1.0), clean)
    points = path.pin(torch.lerp(clean, path.point(), ratio))
    condition = None if average.recall is None else average.recall(clean)
    prediction = average.predictor(past, path.masks, condition)(points, then[..., None])
    return average.clean(prediction, points, then), then


@torch.no_grad()
def take_into_average(average: nn.Module, module: nn.Module, decay: float, update: int) -> None:
    """Average weights over the steps: the decay of update n (from 0) is min(decay, (1+n)/(10+n)).

    Args:
        average: of the weights of `module`, a copy of it.
        module: with the weights of now.
        decay: of late updates.
        update: number of this one, from 0.
    """
    share = 1.0 - min(decay, (1 + update) / (10 + update))
    for mean, weight in zip(average.parameters(), module.parameters(), strict=True):
        mean.lerp_(weight, share)
