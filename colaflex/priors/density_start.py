"""Where log densities begin if the clean latent is predicted: the network has to know the time.

The velocity (z_t - x) / t of a prediction x divides its error by t. At t it is worth something as
long as x is no worse a guess of the latent than z_t / (1 - t), which takes z_t for free of noise;
the best prediction never is. Training seldom looks at small times, so that the least t of which
this holds is a property of the model, and is found by asking it about samples of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from colaflex.interfaces.noise import generator_for
from colaflex.priors.paths import Path, Predict

__all__ = ["TIMES", "density_start", "probe"]

TIMES: tuple[float, ...] = tuple(0.256 * 0.5**halvings for halvings in range(10))
"""Where predictions are looked at, downwards. Densities begin one higher: samples of a model that
does not know small times are too close to what it predicts there."""

PROBES, STEPS = 128, 32
"""Sampled blocks, and the Euler steps of each."""

TOLERATED = 1.02
"""Ratio of mean squared errors up to which a prediction is no worse, by so many samples."""


def probe(shape: Sequence[int], like: Tensor) -> Path:
    """First blocks of documents, of (block, dim), as noise that is always the same."""
    size = (PROBES, 1, *shape)
    data, noise = (
        torch.randn(size, generator=generator_for("density start", purpose)).to(like)
        for purpose in ("samples", "noise")
    )
    nowhere = torch.zeros(size[:3], dtype=torch.bool, device=like.device)
    return Path(data, noise, data[..., 0, 0], nowhere, ~nowhere, nowhere[:, 0, 0])


def density_start(path: Path, predict: Predict) -> float:
    """The least of `TIMES` at which, and a halving below, latents are predicted well.

    Args:
        path: from `probe`.
        predict: the network's prediction of the clean latents at this path's points.
    """
    points, start = path.data, TIMES[0]
    for step in range(STEPS, 0, -1):
        clean = predict(points, points.new_full((1, 1, 1), step / STEPS))
        points = torch.lerp(points, clean, 1 / step)
    for above, time in zip((TIMES[0], *TIMES), TIMES, strict=False):
        noisy = torch.lerp(points, path.noise, time)
        clean = predict(noisy, points.new_full((1, 1, 1), time))
        guess = (time / (1 - time)) ** 2 * path.noise.square().mean()
        if not bool((clean - points).square().mean() <= TOLERATED * guess):
            break
        start = above
    return start
