"""Rectified flow: flow matching, then reflow along the couplings of a frozen teacher.

References:
    Flow Straight and Fast (Liu et al., 2023), https://arxiv.org/abs/2209.03003.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from colaflex.interfaces.conformance import Conformance
from colaflex.interfaces.losses import Losses
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.readout import Readout
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.flow_config import RectifiedFlowConfig
from colaflex.priors.flow_matching import FlowMatching
from colaflex.priors.paths import Path
from colaflex.priors.reading import Listening, Reading
from colaflex.priors.taught import TaughtPrior

__all__ = ["RectifiedFlow"]


class RectifiedFlow(TaughtPrior, FlowMatching):
    """Learns the straight line between each noise and where its teacher's ODE takes it."""

    config: RectifiedFlowConfig
    conformance: ClassVar[Conformance] = Conformance(options={"teacher_steps": 8})

    def losses(self, latents: LatentBatch, noise: Noise | None = None) -> Losses:
        """Term "reflow": flow matching between each noise and the teacher's sample from it.

        Of a readout also "content": what the teacher's readout said last, most likely, of each.
        """
        noise = noise or Noise(0)
        single = self.draw_path(latents, noise, 1)
        history = self.history(latents)
        n = self.config.noisings
        taught, reading = self._teach(history, single)
        path = Path(
            data=taught.repeat(n, 1, 1, 1),
            noise=single.noise.repeat(n, 1, 1, 1),
            times=self.draw_times(self.config.reflow_schedule, noise, n, taught),
            pinned=single.pinned.repeat(n, 1, 1),
            counted=single.counted.repeat(n, 1, 1),
            blind=single.blind.repeat(n),
        )
        more = self.recalled(history, path, noise)
        predict = self.predictor(history, path, self.trained, reading=reading, **more)
        flow = self.objective(path, predict)
        return {
            "reflow": self.flow_term(flow, path, latents, noise),
            **self.content_terms(reading, path, latents, noise),
        }

    @torch.no_grad()
    def _teach(self, history: Tensor, path: Path) -> tuple[Tensor, Reading | None]:
        """Where the teacher's ODE takes each noise, pinned positions left as they are.

        And what its readout says there, repeated for each noising of the student.
        """
        heard = Listening() if self.reads_out else None
        velocity = self.teacher_field(history, path, self.config.teacher_guidance, heard)
        ends = self.follow(velocity, path.held(path.noise), self.config.teacher_steps)
        return ends, self._heard(heard)

    def _heard(self, heard: Listening | None) -> Reading | None:
        if heard is None:
            return None
        teacher = self.teacher["head"]
        assert isinstance(teacher, Readout)
        content = teacher.likeliest(heard.said)
        if content is None:
            return None
        return Reading(content.repeat(self.config.noisings, *(1 for _ in content.shape[1:])))

    def training_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one step of reflow: the student's, and the teacher's forward passes."""
        clean, noisy = self.forward_flops(batch, segments, 1)
        evaluations = self.config.solver.evaluations(self.config.teacher_steps) or 0
        student = super().training_flops(batch, segments)
        branches = 1 if self.config.teacher_guidance == 1.0 else 2
        if isinstance(self.head, Readout):
            clean += self.head.likeliest_flops(batch, segments)
        return student + clean + branches * evaluations * noisy
