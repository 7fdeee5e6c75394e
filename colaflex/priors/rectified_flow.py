"""Rectified flow: flow matching, then reflow along the couplings of a frozen teacher.

References:
    Flow Straight and Fast (Liu et al., 2023), https://arxiv.org/abs/2209.03003.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from colaflex.interfaces.component import Builder
from colaflex.interfaces.conformance import Conformance
from colaflex.interfaces.losses import Losses
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.schedule import Schedule
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.distillation import DistilledPrior
from colaflex.priors.flow_config import RectifiedFlowConfig
from colaflex.priors.flow_matching import FlowMatching
from colaflex.priors.path import Path, draw_times
from colaflex.priors.readout_calls import ContentTargets, SaidRecorder

__all__ = ["RectifiedFlow"]


class RectifiedFlow(DistilledPrior, FlowMatching):
    """Learns the straight line between each noise and where its teacher's ODE takes it."""

    config: RectifiedFlowConfig
    conformance: ClassVar[Conformance] = Conformance(options={"teacher_steps": 8})

    def __init__(self, config: RectifiedFlowConfig, *, latent_dim: int, build: Builder) -> None:
        super().__init__(config, latent_dim=latent_dim, build=build)
        self.reflow_schedule: Schedule = build(config.reflow_schedule, latent_dim=latent_dim)

    @property
    def sampled_law(self) -> Schedule:
        """That of reflow."""
        return self.reflow_schedule

    def losses(self, latents: LatentBatch, noise: Noise | None = None) -> Losses:
        """Term "reflow": flow matching between each noise and the teacher's sample from it.

        Of a readout also "content": what the teacher's readout said last, most likely, of each.
        """
        noise = noise or Noise(0)
        single = self.draw_path(latents, noise, 1)
        history = self.history(latents)
        n = self.config.noisings
        ends, content = self._teach(history, single)
        path = Path(
            data=ends.repeat(n, 1, 1, 1),
            noise=single.noise.repeat(n, 1, 1, 1),
            times=draw_times(self.reflow_schedule, noise, n, ends),
            masks=single.masks.repeat(n),
        )
        past = self.denoiser.past(history)
        condition = self.draw_condition(past, path, noise, len(history))
        flow = self.objective(path, self.denoiser.predictor(past, path.masks, condition, content))
        return {
            "reflow": self.flow_term(flow, path.masks, latents, noise),
            **self.content_terms(content, path, latents, noise),
        }

    @torch.no_grad()
    def _teach(self, history: Tensor, path: Path) -> tuple[Tensor, ContentTargets | None]:
        """Where the teacher's ODE takes each noise, pinned positions left as they are.

        And what its readout says there, repeated for each noising of the student.
        """
        recorder = SaidRecorder() if self.denoiser.readout is not None else None
        guidance = self.config.teacher_guidance
        velocity = self.teacher_field(history, path.masks, guidance, recorder)
        ends = self.follow(velocity, path.pin(path.noise), self.config.teacher_steps)
        return ends, self._said(recorder)

    def _said(self, recorder: SaidRecorder | None) -> ContentTargets | None:
        readout = None if self.teacher is None else self.teacher.readout
        if recorder is None or readout is None:
            return None
        content = readout.likeliest(recorder.said)
        return None if content is None else ContentTargets.repeated(content, self.config.noisings)

    def training_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one step of reflow: the student's, and the teacher's forward passes."""
        clean, noisy = self.forward_flops(batch, segments, 1)
        evaluations = self.config.solver.evaluations(self.config.teacher_steps) or 0
        student = self.matching_flops(batch, segments)
        branches = 1 if self.config.teacher_guidance == 1.0 else 2
        if self.denoiser.readout is not None:
            clean += self.denoiser.readout.likeliest_flops(batch, segments)
        return student + clean + branches * evaluations * noisy
