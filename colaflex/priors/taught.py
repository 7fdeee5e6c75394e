"""Priors that learn from a teacher: a flow prior of the same network, frozen."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from colaflex.interfaces.component import Builder
from colaflex.interfaces.losses import Losses
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.prior import Prior, PriorPhase
from colaflex.interfaces.readout import Readout
from colaflex.interfaces.solver import VelocityField
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.flow import FlowPrior
from colaflex.priors.flow_config import PathPriorConfig
from colaflex.priors.path_prior import PathPrior
from colaflex.priors.paths import Path
from colaflex.priors.reading import Listening

__all__ = ["TaughtPrior"]


class TeacherPhase(PriorPhase):
    """The teacher learns."""

    prior: TaughtPrior

    def losses(self, latents: LatentBatch, noise: Noise) -> Losses:
        """The teacher's."""
        return self.prior.teacher_losses(latents, noise)

    def flops(self, batch: int, segments: int) -> int:
        """The teacher's."""
        return self.prior.teacher_flops(batch, segments)


class StudentPhase(PriorPhase):
    """The prior learns from the teacher that has just been trained."""

    prior: TaughtPrior

    def start(self) -> None:
        """Freeze the teacher as it is now."""
        self.prior.freeze_teacher()


class TaughtPrior(PathPrior):
    """First its own teacher, by the base's losses, unless one was adopted; then `losses`.

    Attributes:
        teacher: frozen network, lift and head; empty where the config needs no teacher.
        taught: whether a trained teacher was adopted.
    """

    def __init__(self, config: PathPriorConfig, *, latent_dim: int, build: Builder) -> None:
        super().__init__(config, latent_dim=latent_dim, build=build)
        self.teacher = nn.ModuleDict()
        self._copy_parts()
        self.taught = False

    def _copy_parts(self) -> None:
        parts = dict(self.trained) if self.config.capabilities().needs_teacher else {}
        self.teacher = nn.ModuleDict(copy.deepcopy(parts)).requires_grad_(False)

    def take(self, readout: Readout | None, history: nn.Module | None) -> None:
        """As the base does; a teacher is to have the same."""
        super().take(readout, history)
        self._copy_parts()

    def phases(self, teacher_fraction: float = 0.5) -> Sequence[PriorPhase]:
        """The teacher's training, unless one was adopted or none is needed, then the prior's."""
        student = PriorPhase(self, representation_rests=bool(self.teacher))
        if self.taught or not self.teacher:
            return [student]
        return [
            TeacherPhase(self, "teacher", teacher_fraction),
            StudentPhase(self, share=1.0 - teacher_fraction, representation_rests=True),
        ]

    def teacher_losses(self, latents: LatentBatch, noise: Noise) -> Losses:
        """The base's, by which the teacher learns."""
        return super().losses(latents, noise)

    def teacher_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one training step of the teacher."""
        return super().training_flops(batch, segments)

    def adopt_teacher(self, teacher: Prior) -> None:
        """Take a trained flow prior of the same network as the teacher, and start from it."""
        name = type(self).__name__
        if not self.teacher:
            raise ValueError(f"{name} learns from no teacher with these options")
        if not isinstance(teacher, FlowPrior):
            raise ValueError(f"{name} needs a flow-type prior as its teacher")
        for key in ("prediction", "block_size", "network"):
            own, other = getattr(self.config, key, "velocity"), getattr(teacher.config, key)
            if own != other:
                raise ValueError(f"the teacher's {key} is {other}, not {own}")
        for part, own_part in self.teacher.items():
            other_part = teacher.trained.get(part)
            if type(own_part) is not type(other_part):
                raise ValueError(f"the teacher's {part} is another: its readout or history differs")
        if len(self.teacher) != len(teacher.trained):
            raise ValueError("the teacher reads its history otherwise")
        if self.latent_dim != teacher.latent_dim:
            raise ValueError(f"the teacher's latents have {teacher.latent_dim} channels")
        for part in self.teacher:
            getattr(self, part).load_state_dict(teacher.trained[part].state_dict())
        self.freeze_teacher()
        self.taught = True

    def freeze_teacher(self) -> None:
        """The teacher becomes what has been learned so far."""
        for name, copied in self.teacher.items():
            copied.load_state_dict(getattr(self, name).state_dict())

    def teacher_field(
        self, history: Tensor, path: Path, guidance: float, heard: Listening | None = None
    ) -> VelocityField:
        """The teacher's guided velocity, 0 at pinned positions.

        It is asked at a scalar time or at (rows, blocks) times, and at (rows, blocks, block, dim)
        points; call it without gradients. `heard` keeps what its readout says, guided.
        """
        predict = self.predictor(history, path, self.teacher, reading=heard)
        held = path.pinned[..., None]
        # Guidance is off where the history is empty.
        unguided = path.blind[:, None].repeat(1, path.data.shape[1])
        unguided[:, 0] = True

        def velocity(time: Tensor, points: Tensor) -> Tensor:
            times = torch.atleast_2d(time.to(points.dtype)).expand(len(points), -1)
            predicted = predict(points, times[..., None])
            if guidance != 1.0:
                alone = None if heard is None else Listening()
                free = self._unconditional(points, time, path.pinned, alone)

                def mixed(free: Tensor, conditional: Tensor) -> Tensor:
                    moved = torch.lerp(free, conditional, guidance)
                    return torch.where(unguided[..., None, None], conditional, moved)

                predicted = mixed(free, predicted)
                if heard is not None and alone is not None:
                    heard.said = mixed(alone.said.view_as(heard.said), heard.said)
            moved = self.as_velocity(predicted, points, times[..., None, None])
            return torch.where(held, 0.0, moved)

        return velocity

    def _unconditional(
        self, points: Tensor, time: Tensor, pinned: Tensor, heard: Listening | None = None
    ) -> Tensor:
        """The teacher's prediction of every block alone, (rows, blocks, block, dim)."""
        alone = points.flatten(0, 1)
        times = time.to(points.dtype).expand(points.shape[:2]).reshape(-1, 1, 1)
        if bool(pinned.any()):
            times = torch.where(pinned.flatten(0, 1)[..., None], 0.0, times)
        elif time.ndim == 0:
            times = times[:1]
        network, lift, head = (self.teacher[name] for name in ("network", "lift", "head"))
        states = network(lift(alone), times, None)
        found = heard.read(head, states) if isinstance(head, Readout) and heard else head(states)
        return self.predicted(found, alone, times).view_as(points)
