"""Rectified flow: flow matching, then reflow along the couplings of a frozen teacher.

References:
    Flow Straight and Fast (Liu et al., 2023), https://arxiv.org/abs/2209.03003.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from colaflex.interfaces.component import Builder
from colaflex.interfaces.losses import Losses
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.prior import Prior, PriorPhase
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.flow import FlowPrior, Path
from colaflex.priors.flow_matching import FlowMatching
from colaflex.priors.rectified_flow_config import RectifiedFlowConfig

__all__ = ["RectifiedFlow"]


class RectifiedFlow(FlowMatching):
    """Learns the straight line between each noise and where its teacher's ODE takes it."""

    config: RectifiedFlowConfig

    def __init__(self, config: RectifiedFlowConfig, *, latent_dim: int, build: Builder) -> None:
        super().__init__(config, latent_dim=latent_dim, build=build)
        parts = {"network": self.network, "lift": self.lift, "head": self.head}
        self.teacher = nn.ModuleDict(copy.deepcopy(parts)).requires_grad_(False)

        self.taught = False

    def phases(self, teacher_fraction: float = 0.5) -> Sequence[PriorPhase]:
        """The teacher's flow matching, unless one was adopted, then reflow."""
        learned = [p for p in self.parameters() if p.requires_grad]
        if self.taught:
            return [PriorPhase("prior", 1.0, self.losses, learned, self.training_flops)]
        teacher = PriorPhase(
            "teacher", teacher_fraction, super().losses, learned, super().training_flops
        )
        reflow = PriorPhase(
            "prior",
            1.0 - teacher_fraction,
            self.losses,
            learned,
            self.training_flops,
            self._freeze_teacher,
        )
        return [teacher, reflow]

    def adopt_teacher(self, teacher: Prior) -> None:
        """Take a trained flow prior of the same network as the teacher, and start from it."""
        if not isinstance(teacher, FlowPrior):
            raise ValueError("a rectified flow needs a flow-type prior as its teacher")
        for key in ("prediction", "block_size", "network"):
            own, other = getattr(self.config, key), getattr(teacher.config, key)
            if own != other:
                raise ValueError(f"the teacher's {key} is {other}, not {own}")
        if self.latent_dim != teacher.latent_dim:
            raise ValueError(f"the teacher's latents have {teacher.latent_dim} channels")
        for name in self.teacher:
            getattr(self, name).load_state_dict(getattr(teacher, name).state_dict())
        self._freeze_teacher()
        self.taught = True

    def _freeze_teacher(self) -> None:
        for name, copied in self.teacher.items():
            copied.load_state_dict(getattr(self, name).state_dict())

    def losses(self, latents: LatentBatch, noise: Noise | None = None) -> Losses:
        """Term "reflow": flow matching between each noise and the teacher's sample from it."""
        noise = noise or Noise(0)
        single = self.draw_path(latents, noise, 1)
        history = self.blocks(latents.values.detach())
        taught = self._teach(history, single)
        n = self.config.noisings
        path = Path(
            data=taught.repeat(n, 1, 1, 1),
            noise=single.noise.repeat(n, 1, 1, 1),
            times=self.draw_times(self.config.reflow_schedule, noise, n, taught),
            pinned=single.pinned.repeat(n, 1, 1),
            counted=single.counted.repeat(n, 1, 1),
            blind=single.blind.repeat(n),
        )
        return {"reflow": self.flow_term(history, path, noise)}

    @torch.no_grad()
    def _teach(self, history: Tensor, path: Path) -> Tensor:
        """Where the teacher's ODE takes each noise, pinned positions left as they are."""
        predict = self.predictor(history, path, self.teacher)
        guidance = self.config.teacher_guidance
        held = path.pinned[..., None]
        # Guidance is off where the history is empty.
        unguided = path.blind[:, None].repeat(1, path.data.shape[1])
        unguided[:, 0] = True

        def velocity(time: Tensor, points: Tensor) -> Tensor:
            times = time.to(points.dtype).expand(len(points), 1, 1)
            predicted = predict(points, times)
            if guidance != 1.0:
                free = self._unconditional(points, time, path.pinned)
                mixed = torch.lerp(free, predicted, guidance)
                predicted = torch.where(unguided[..., None, None], predicted, mixed)
            moved = self.as_velocity(predicted, points, times[..., None])
            return torch.where(held, 0.0, moved)

        start = torch.where(held, path.data, path.noise)
        return self.follow(velocity, start, self.config.teacher_steps)

    def _unconditional(self, points: Tensor, time: Tensor, pinned: Tensor) -> Tensor:
        """The teacher's prediction of every block alone, (rows, blocks, block, dim)."""
        alone = points.flatten(0, 1)
        times = torch.where(pinned.flatten(0, 1), 0.0, time.to(points.dtype))[..., None]
        if not bool(pinned.any()):
            times = times[:1, :1]
        network, lift, head = (self.teacher[name] for name in ("network", "lift", "head"))
        predicted: Tensor = head(network(lift(alone), times, None))
        return predicted.to(points.dtype).view_as(points)

    def training_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one step of reflow: the student's, and the teacher's forward passes."""
        blocks, block = segments // self.block_size, self.block_size
        once = self.network.flops(batch, blocks, block, 1, 1)
        clean = once - (self.network.flops(batch, blocks, block, 2, 1) - once)
        evaluations = self.config.solver.evaluations(self.config.teacher_steps) or 0
        student = super().training_flops(batch, segments)
        branches = 1 if self.config.teacher_guidance == 1.0 else 2
        return student + clean + branches * evaluations * (once - clean)
