"""Sampling a block by a denoiser: its guided field, estimates drawn on the way, steps and ends.

A step from t to s takes the estimate x for the data, so that z_t tells of the noise
e = (z_t - (1 - t) x) / t, and goes on to z_s = (1 - s) x + s (sqrt(1 - r^2) e + r n) with fresh
noise n. With r = 0 and the expected x that is Euler's step along the flow; with r = 1 all noise is
fresh, and z_t forgotten. Between them lies the step whose z_s has the law that it has given z_t and
x where noise grew from s to t: r^2 = 1 - (s (1 - t) / (t (1 - s)))^2 (ddpm).

References:
    Denoising Diffusion Implicit Models (Song et al., 2021), for the step at r = 0,
    https://arxiv.org/abs/2010.02502; Denoising Diffusion Probabilistic Models (Ho et al., 2020),
    for that of ddpm, https://arxiv.org/abs/2006.11239; ELF-REG (2026), for the early end of
    prefix(rho), https://arxiv.org/abs/2609.29102.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from colaflex.errors import UserError
from colaflex.interfaces.noise import SampleNoise
from colaflex.interfaces.one_line import one_line
from colaflex.interfaces.options import GuidanceCourse
from colaflex.interfaces.prior import Known
from colaflex.interfaces.readout import EndingReadout, Readout
from colaflex.interfaces.solver import VelocityField
from colaflex.priors.denoiser import Denoiser

__all__ = [
    "BlockSampler",
    "Draw",
    "Estimate",
    "LastCall",
    "PinnedNoise",
    "Prefix",
    "estimated",
    "fresh_share",
    "grid_time",
    "grid_times",
    "renoised",
]

_WITH_NUMBER = re.compile(r"(power|prefix)\(([0-9.]+)\)")

Draw = Callable[[int], Tensor]
"""(k) -> normal points for the k-th step of a sampler, pinned positions clean."""

Estimate = Callable[[int, Tensor, Tensor], Tensor]
"""(step, scalar time, points) -> clean latents of the points' shape."""


@dataclass(frozen=True)
class PinnedNoise:
    """Noise for a block's steps, and its known positions.

    Attributes:
        noise: of the rows.
        shape: (block, dim).
        like: tells device and dtype.
        known: clean at every step.
        temperature: standard deviation.
    """

    noise: SampleNoise
    shape: tuple[int, int]
    like: Tensor
    known: Known | None
    temperature: float = 1.0

    __repr__ = one_line

    def __call__(self, step: int) -> Tensor:
        """See `Draw`."""
        purpose = f"flow {step}" if step else "flow"
        drawn = self.noise.normal(purpose, self.shape, self.like)
        return self.pin(drawn if self.temperature == 1.0 else self.temperature * drawn)

    def pin(self, points: Tensor) -> Tensor:
        """The points, known positions put back."""
        if self.known is None:
            return points
        return torch.where(self.known.mask[..., None], self.known.values, points)


@dataclass(frozen=True, slots=True)
class Prefix:
    """What stands before the next block.

    Attributes:
        history: the network's.
        lengths: (rows,) latents committed.
    """

    history: Any
    lengths: Tensor

    __repr__ = one_line


@dataclass(frozen=True)
class BlockSampler:
    """The next block, as samplers ask a denoiser about it.

    Attributes:
        denoiser: asked at a scalar time, at (n_times,) where it conditions on several, or at
            (rows or 1, block, 1) times of positions.
        prefix: what stands before the block; guidance is off in rows where that is nothing.
        guidance: g in g · conditional + (1 - g) · unconditional, at all times or over time.
        pinned: (rows, block) bool, positions at rest; None where there are none.
        condition: (rows, block, width), added to the lifted points.
    """

    denoiser: Denoiser
    prefix: Prefix
    guidance: float | GuidanceCourse = 1.0
    pinned: Tensor | None = None
    condition: Tensor | None = None

    __repr__ = one_line

    def field(self) -> VelocityField:
        """The velocity; with self-conditioning, each call reads the last one's estimate."""
        recall = self.denoiser.recall
        if recall is None:
            return self._field(self.condition)
        estimate: Tensor | None = None

        def velocity(time: Tensor, points: Tensor) -> Tensor:
            nonlocal estimate
            moved = self._field(self._with(estimate))(time, points)
            if recall.guidance != 1.0 and estimate is not None:
                plain = self._field(self.condition)(time, points)
                moved = torch.lerp(plain, moved, recall.guidance)
            estimate = points - time.to(points.dtype) * moved
            return moved

        return velocity

    def _field(self, condition: Tensor | None) -> VelocityField:
        denoiser = self.denoiser
        output = self.guided(denoiser.head, condition)

        def velocity(time: Tensor, points: Tensor) -> Tensor:
            times = self._times(time, points)
            prediction = denoiser.predicted(output(points, times), points, times)
            moved = denoiser.velocity(prediction, points, denoiser.noise_time(times))
            return moved if self.pinned is None else torch.where(self.pinned[..., None], 0.0, moved)

        return velocity

    def guided(
        self, of_states: Callable[[Tensor], Tensor], condition: Tensor | None
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """(points, scaled times) -> what is made of the network's states there, guided.

        Args:
            of_states: what is made of states, in a form in which guidance is linear.
            condition: added to the lifted points.
        """
        denoiser, opens = self.denoiser, self.prefix.lengths == 0
        on = self._course.scale != 1.0 and not bool(opens.all())

        def output(points: Tensor, times: Tensor) -> Tensor:
            guidance = self._guidance(times) if on else 1.0
            lifted = denoiser.lifted(points, opens, condition)
            conditional = of_states(denoiser.network(lifted, times, self.prefix.history))
            if isinstance(guidance, float) and guidance == 1.0:
                return conditional
            lifted = denoiser.lifted(points, None, condition)
            nothing = denoiser.network.forget(self.prefix.history)
            free = of_states(denoiser.network(lifted, times, nothing))
            mixed = torch.lerp(free, conditional, guidance)
            return torch.where(opens[:, None, None], conditional, mixed)

        return output

    def estimates(
        self,
        noise: SampleNoise,
        temperature: float = 1.0,
        ending: Callable[[int], Tensor] | None = None,
    ) -> Estimate:
        """Clean latents, drawn from what the readout says.

        Args:
            noise: keys the draws.
            temperature: of what is drawn; see `Readout.drawn`.
            ending: step -> (rows or 1, block, 1) bool, positions that end with it, in their means.

        Raises:
            UserError: the denoiser has no readout.
        """
        head = self.denoiser.readout
        if head is None:
            raise UserError(
                "estimate: a linear readout says nothing of the text from which estimates could be "
                "drawn; ask for mean"
            )
        last: Tensor | None = None
        options = {} if temperature == 1.0 else {"temperature": temperature}

        def estimate(step: int, time: Tensor, points: Tensor) -> Tensor:
            nonlocal last
            said = self._said(head, self._with(last), time, points)
            try:
                last = head.drawn(said, noise, f"flow content {step}", **options).to(points.dtype)
            except NotImplementedError as error:
                raise UserError(f"estimate: {error}; ask for mean") from None
            if ending is not None:
                last = torch.where(ending(step), head.mean(said).to(points.dtype), last)
            return last

        return estimate

    def end(self, time: Tensor, points: Tensor) -> Tensor:
        """The end that a readout gives, without the estimate of self-conditioning."""
        head = self.denoiser.head
        assert isinstance(head, EndingReadout)
        return head.end(self._said(head, self.condition, time, points)).to(points.dtype)

    def _said(
        self, head: Readout, condition: Tensor | None, time: Tensor, points: Tensor
    ) -> Tensor:
        return self.guided(head.said, condition)(points, self._times(time, points))

    @property
    def _course(self) -> GuidanceCourse:
        guidance = self.guidance
        return guidance if isinstance(guidance, GuidanceCourse) else GuidanceCourse(guidance)

    def _guidance(self, times: Tensor) -> float | Tensor:
        """At scaled times; only where it makes a difference are they looked at.

        Where positions that have noise are at several times, (rows or 1, block or 1, 1) each's own.
        """
        course = self._course
        if course.constant:
            return course.scale
        of_noise = self.denoiser.noise_time(times)
        each = of_noise.flatten().tolist()
        if len({time for time in each if time > 0}) <= 1:
            return course.at(max(each))
        scales = [course.at(time) if time > 0 else 1.0 for time in each]
        if set(scales) == {1.0}:
            return 1.0
        return of_noise.new_tensor(scales).view_as(of_noise)

    def _with(self, estimate: Tensor | None) -> Tensor | None:
        """The condition, and an estimate lifted, where the denoiser reads one."""
        if estimate is None or self.denoiser.recall is None:
            return self.condition
        lifted: Tensor = self.denoiser.recall(estimate)
        return lifted if self.condition is None else self.condition + lifted

    def _times(self, time: Tensor, points: Tensor) -> Tensor:
        """(1 or rows, 1 or block, n_times) scaled: a time for all, 0 at pinned positions."""
        times = (self.denoiser.time_scale * time).to(points.dtype)
        times = times if times.ndim == 3 else times.reshape(1, 1, -1)
        return times if self.pinned is None else torch.where(self.pinned[..., None], 0.0, times)


class LastCall:
    """A field that remembers where it was asked last.

    Attributes:
        time: scalar, or (n_times,).
        points: (rows, block, dim); empty before the first call.
    """

    def __init__(self, field: VelocityField) -> None:
        self._field = field
        self.time = torch.empty(())
        self.points = torch.empty(0)

    def __call__(self, time: Tensor, points: Tensor) -> Tensor:
        """The field's velocity there."""
        self.time, self.points = time, points
        return self._field(time, points)


def estimated(field: VelocityField, drawn: Estimate | None, draws: int) -> Estimate:
    """The estimates that a field means; in the first steps, so many, those drawn in their place."""

    def estimate(step: int, time: Tensor, points: Tensor) -> Tensor:
        if drawn is not None and step < draws:
            return drawn(step, time, points)
        return points - time.to(points.dtype) * field(time, points)

    return estimate


def grid_times(
    grid: str, steps: int, quantile: Callable[[Tensor], Tensor] | None = None
) -> list[float]:
    """The times of a sampler of so many steps, from 1 to 0.

    Args:
        grid: uniform; power(p): 1 - u^p at even u, which for p < 1 looks more often near the data;
            law: even quantiles of the law of the training times; or prefix(rho): the first `steps`
            even times of steps / rho, and then at once the end.
        steps: intervals.
        quantile: of the law of the training times, of float64 shares.

    Raises:
        UserError: there is no such law.
    """
    return [grid_time(grid, step / steps, quantile) for step in range(steps + 1)]


def grid_time(grid: str, share: float, quantile: Callable[[Tensor], Tensor] | None = None) -> float:
    """The time of a grid at a share of the way from noise to data; see `grid_times`."""
    if share in (0.0, 1.0):
        return 1.0 - share
    if grid == "law":
        if quantile is None:
            raise UserError("grid: this prior has no law of training times; ask for uniform")
        return float(quantile(torch.tensor(1.0 - share, dtype=torch.float64)))
    numbered = _WITH_NUMBER.fullmatch(grid)
    bend = float(numbered.group(2)) if numbered else 1.0
    if numbered and numbered.group(1) == "prefix":
        return 1.0 - bend * share
    return 1.0 - float(share**bend)


def fresh_share(renoise: float | str, time: float, then: float) -> float:
    """r of a step from a time in (0, 1] to one in (0, 1).

    Args:
        renoise: r itself, or ddpm.
        time: t.
        then: s.
    """
    if renoise == "ddpm":
        kept = then * (1.0 - time) / (time * (1.0 - then))
        return math.sqrt(max(0.0, 1.0 - kept**2))
    return float(renoise)


def renoised(
    estimate: Estimate, draw: PinnedNoise, times: Sequence[float], renoise: float | str
) -> Tensor:
    """From noise to the last estimate.

    Args:
        estimate: of the clean latents.
        draw: fresh noise; draw(0) is where it begins.
        times: from 1 to 0.
        renoise: see `fresh_share`.
    """
    points = clean = draw(0)
    kind = torch.promote_types(points.dtype, torch.float32)
    for step, (time, then) in enumerate(pairwise(times)):
        clean = estimate(step, torch.tensor(time, dtype=kind, device=points.device), points)
        noise = (points - (1.0 - time) * clean) / time
        share = fresh_share(renoise, time, then) if then else 0.0
        if share:
            noise = math.sqrt(1.0 - share**2) * noise + share * draw(step + 1)
        points = draw.pin(torch.lerp(clean, noise, then))
    return clean
