"""Sampling by estimates of the clean latents: how much of the noise is kept, and when one looks.

A step from t to s takes the estimate x for the data, so that z_t tells of the noise
e = (z_t - (1 - t) x) / t, and goes on to z_s = (1 - s) x + s (sqrt(1 - r^2) e + r n) with fresh
noise n. With r = 0 and the expected x that is Euler's step along the flow; with r = 1 all noise is
fresh.

References:
    Denoising Diffusion Implicit Models (Song et al., 2021), for the step at r = 0,
    https://arxiv.org/abs/2010.02502.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

__all__ = ["Estimate", "grid_times", "renoised"]

Estimate = Callable[[int, Tensor, Tensor], Tensor]
"""(step, scalar time, points) -> clean latents of the points' shape."""


def grid_times(grid: str, steps: int) -> list[float]:
    """The times of a sampler of so many steps, from 1 to 0.

    Args:
        grid: uniform, or power(p): 1 - u^p at even u; p < 1 looks more often near the data.
        steps: intervals.
    """
    found = re.fullmatch(r"power\(([0-9.]+)\)", grid)
    power = float(found.group(1)) if found else 1.0
    return [1.0 - (step / steps) ** power for step in range(steps + 1)]


def renoised(
    estimate: Estimate,
    draw: Callable[[int], Tensor],
    held: Callable[[Tensor], Tensor],
    times: Sequence[float],
    renoise: float,
) -> Tensor:
    """From noise to the last estimate.

    Args:
        estimate: of the clean latents.
        draw: (k) -> fresh noise; draw(0) is where it begins.
        held: puts given positions back.
        times: from 1 to 0.
        renoise: r, in [0, 1].
    """
    points = clean = draw(0)
    for step, (time, then) in enumerate(pairwise(times)):
        clean = estimate(step, torch.tensor(time, device=points.device), points)
        noise = (points - (1.0 - time) * clean) / time
        if renoise and then:
            noise = math.sqrt(1.0 - renoise**2) * noise + renoise * draw(step + 1)
        points = held(torch.lerp(clean, noise, then))
    return clean
