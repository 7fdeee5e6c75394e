"""Consistency models: from any point of a path straight to its end at the data.

References:
    Consistency Models (Song et al., 2023), https://arxiv.org/abs/2303.01469;
    Consistency Models Made Easy (Geng et al., 2024), https://arxiv.org/abs/2406.14548, for the
    schedule of the distances and the weight.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from colaflex.interfaces.losses import Losses
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.solver import VelocityField
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.block_sampling import Draw
from colaflex.priors.distillation import DistilledPrior
from colaflex.priors.few_step_config import ConsistencyConfig
from colaflex.priors.path import Path, Predict

__all__ = ["Consistency"]

HELD_BELOW = 0.05
"""Where t is smaller, a readout's end goes over into the point itself, which holds the map there.

Without it nothing but the readout's own words would say where paths end.
"""

TEXT_BELOW = 0.5
"""Where t is smaller, a point's end has nearly always the text of the data that it was made of."""


class Consistency(DistilledPrior):
    """f(z_t, t) = z_t - t F(z_t, t; history), which is the identity at t = 0.

    F is the mean velocity between t and 0. Where that of a straight path is learned (the teacher's
    flow matching) F is the velocity itself, so that the student may start from the teacher.
    """

    config: ConsistencyConfig
    learns_ends: ClassVar[bool] = False

    def losses(self, latents: LatentBatch, noise: Noise | None = None) -> Losses:
        """Term "consistency": how far f is from itself at an earlier point of the same path.

        Without a teacher, "content" too: what a readout says of the data there, where the end of
        the path is the data's. At more noise it is one end of many, and what the points tell of the
        data, which has all of them in it, is not what f is to say.
        """
        noise = noise or Noise(0)
        if self.teacher is not None:
            # A student learns the law that its teacher knows, whatever the encoder.
            latents = latents.with_values(latents.values.detach())
        path = self.draw_path(latents, noise, self.config.noisings)
        history = self.history(latents)
        past = self.denoiser.past(history)
        # A teacher's points lead to its own ends, of which the data's content tells nothing.
        content = None
        if self.teacher is None:
            content = self.content_targets(latents, self.config.noisings)
        predict = self.denoiser.predictor(past, path.masks, call=content)
        earlier = self.earlier(path.times, noise.progress)
        start = self._anchored(path.times, earlier)
        if self.config.mode == "training":
            before = path.point(start)
        else:
            before = self._teachers_points(history, path, start)
        target = self._target(self.denoiser.predictor(past, path.masks), before, start)
        per_position = self._difference(path, predict, target, earlier)
        return {
            "consistency": self.flow_term(per_position, path.masks, latents, noise),
            **self.content_terms(content, path, latents, noise, path.times < TEXT_BELOW),
        }

    def end(self, velocity: Tensor, points: Tensor, times: Tensor) -> Tensor:
        """f at points (..., block, dim), by the mean velocity from there on.

        A readout's is held at t = 0, where it would divide by nothing.
        """
        moved = times[..., None, None] * velocity
        if self.denoiser.readout is not None:
            moved = moved * (times / HELD_BELOW).clamp(max=1.0)[..., None, None]
        return points - moved

    def earlier(self, times: Tensor, progress: float) -> Tensor:
        """r of deviation c σ, c = max(0, 1 - (1 + k sigmoid(-σ)) / 2^(1 + s)), s doublings so far.

        σ = t / (1 - t) is the noise's deviation in units of the data.
        """
        doublings = min(int(progress * (1 + self.config.doublings)), self.config.doublings)
        widened = 1.0 + self.config.widening * torch.sigmoid(-times / (1.0 - times))
        scaled = times * (1.0 - widened / 2.0 ** (1 + doublings)).clamp(min=0.0)
        return scaled / (1.0 - times + scaled)

    def _anchored(self, times: Tensor, earlier: Tensor) -> Tensor:
        """Where the targets begin: a readout's, where the data's text is its end, at that end.

        What is linear in the point is held where t is small, by t; a readout could say the same of
        all points, so that the map would be consistent and tell nothing.
        """
        if self.denoiser.readout is None:
            return earlier
        return earlier.where(times >= TEXT_BELOW, 0.0)

    def _target(self, predict: Predict, before: Tensor, earlier: Tensor) -> Tensor:
        """f(z_r, r): the network's F in it is held constant, the point z_r is not."""
        with torch.no_grad():
            prediction = predict(before, earlier[..., None])
        return self.end(prediction, before, earlier)

    def _difference(self, path: Path, predict: Predict, target: Tensor, earlier: Tensor) -> Tensor:
        """Pseudo-Huber distance of f(z_t, t) to its target, over σ_t - σ_r; of each position."""
        point = path.point()
        end = self.end(predict(point, path.times[..., None]), point, path.times)
        width = self.config.huber_width
        squared = (end - target).square().mean(-1) + width**2
        # The square root has no slope to speak of at 0.
        distance = squared.clamp(min=1e-12).sqrt() - width
        # 1 / (σ_t - σ_r); over t - r, rare times near 1 would outweigh all others.
        weight = (1 - path.times) * (1 - earlier) / (path.times - earlier).clamp(min=1e-6)
        return distance * weight[..., None]

    @torch.no_grad()
    def _teachers_points(self, history: Tensor, path: Path, earlier: Tensor) -> Tensor:
        """Where the teacher's flow takes z_t until r: one step by the midpoint rule."""
        velocity = self.teacher_field(history, path.masks, self.config.teacher_guidance)
        half = 0.5 * (path.times - earlier)
        point = path.point()
        middle = point - half[..., None, None] * velocity(path.times, point)
        return point - 2 * half[..., None, None] * velocity(path.times - half, middle)

    def descend(self, field: VelocityField, draw: Draw, steps: int) -> Tensor:
        """To the data and, but for the last step, back to less noise than before, afresh."""
        points = draw(0)
        times = torch.linspace(1.0, 0.0, steps + 1, device=points.device)
        for step, time in enumerate(times[:-1]):
            if step:
                points = torch.lerp(points, draw(step), time.to(points.dtype))
            points = self.end(field(time, points), points, time.to(points.dtype))
        return points

    def training_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one step: training, the target, and the teacher's two velocities."""
        clean, noisy = self.forward_flops(batch, segments)
        flops = self.matching_flops(batch, segments) + self.config.noisings * noisy
        if self.teacher is not None:  # a student learns no text
            flops -= self.config.noisings * self.denoiser.content_flops(batch, segments)
        if self.config.mode == "distillation":
            branches = 1 if self.config.teacher_guidance == 1.0 else 2
            flops += clean + 2 * branches * self.config.noisings * noisy
        return flops
