"""Distillation: priors that learn from a teacher, a flow prior of the same network, frozen."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from colaflex.interfaces.component import Builder
from colaflex.interfaces.prior import Prior, PriorPhase
from colaflex.interfaces.readout import Readout
from colaflex.interfaces.solver import VelocityField
from colaflex.priors.denoiser import Denoiser
from colaflex.priors.flow import FlowPrior
from colaflex.priors.flow_config import PathPriorConfig
from colaflex.priors.path import Masks
from colaflex.priors.path_prior import MatchingPhase, PathPrior
from colaflex.priors.readout_calls import SaidRecorder

__all__ = ["DistilledPrior"]


class StudentPhase(PriorPhase):
    """The prior learns from the teacher that has just been trained."""

    prior: DistilledPrior

    def start(self) -> None:
        """Freeze the teacher as it is now."""
        self.prior.freeze_teacher()


class DistilledPrior(PathPrior):
    """First its own teacher, by flow matching, unless one was adopted; then `losses`.

    Attributes:
        teacher: a frozen copy of the denoiser; None where the config needs no teacher.
        adopted: whether a trained teacher was adopted.

    Example:
        >>> prior = colaflex.build("prior", "rectified_flow", latent_dim=8)
        >>> isinstance(prior, DistilledPrior), [phase.name for phase in prior.phases()]
        (True, ['teacher', 'prior'])
    """

    teacher: Denoiser | None

    def __init__(self, config: PathPriorConfig, *, latent_dim: int, build: Builder) -> None:
        super().__init__(config, latent_dim=latent_dim, build=build)
        self.adopted = False
        self.teacher = None
        self._copy_denoiser()

    def _copy_denoiser(self) -> None:
        if self.config.capabilities().needs_teacher:
            self.teacher = copy.deepcopy(self.denoiser).requires_grad_(False)

    def take(self, readout: Readout | None, history: nn.Module | None) -> None:
        """As the base does; a teacher is to have the same."""
        super().take(readout, history)
        self._copy_denoiser()

    def phases(self, teacher_fraction: float = 0.5) -> Sequence[PriorPhase]:
        """The teacher's training, unless one was adopted or none is needed, then the prior's."""
        if self.adopted or self.teacher is None:
            return [PriorPhase(self, representation_rests=self.teacher is not None)]
        return [
            MatchingPhase(self, "teacher", teacher_fraction),
            StudentPhase(self, share=1.0 - teacher_fraction, representation_rests=True),
        ]

    def adopt_teacher(self, teacher: Prior) -> None:
        """Take a trained flow prior of the same network as the teacher, and start from it."""
        name = type(self).__name__
        if self.teacher is None:
            raise ValueError(f"{name} learns from no teacher with these options")
        if not isinstance(teacher, FlowPrior):
            raise ValueError(f"{name} needs a flow-type prior as its teacher")
        for key in ("prediction", "block_size", "network"):
            own, other = getattr(self.config, key, "velocity"), getattr(teacher.config, key)
            if own != other:
                raise ValueError(f"the teacher's {key} is {other}, not {own}")
        own_parts, parts = (dict(d.named_children()) for d in (self.teacher, teacher.denoiser))
        for part, module in own_parts.items():
            if type(module) is not type(parts.get(part)):
                raise ValueError(f"the teacher's {part} is another: its readout or history differs")
        if len(own_parts) != len(parts):
            raise ValueError("the teacher reads its history otherwise")
        if self.latent_dim != teacher.latent_dim:
            raise ValueError(f"the teacher's latents have {teacher.latent_dim} channels")
        self.denoiser.load_state_dict(teacher.denoiser.state_dict())
        self.freeze_teacher()
        self.adopted = True

    def freeze_teacher(self) -> None:
        """Make the teacher what the prior is now."""
        assert self.teacher is not None
        self.teacher.load_state_dict(self.denoiser.state_dict())

    def teacher_field(
        self, history: Tensor, masks: Masks, guidance: float, recorder: SaidRecorder | None = None
    ) -> VelocityField:
        """The teacher's guided velocity, 0 at pinned positions.

        It is asked at a scalar time or at (rows, blocks) times, and at (rows, blocks, block, dim)
        points; call it without gradients. `recorder` keeps what its readout says, guided.
        """
        teacher = self.teacher
        assert teacher is not None
        predict = teacher.predictor(teacher.past(history), masks, call=recorder)
        pinned = masks.pinned[..., None]

        def velocity(time: Tensor, points: Tensor) -> Tensor:
            times = torch.atleast_2d(time.to(points.dtype))[..., None]
            predicted = predict(points, times.expand(len(points), -1, -1))
            if guidance != 1.0:
                alone = None if recorder is None else SaidRecorder()
                free = teacher.alone(points, times, masks.pinned, alone)
                predicted = masks.guided(predicted, free, guidance)
                if recorder is not None and alone is not None:
                    said = alone.said.view_as(recorder.said)
                    recorder.said = masks.guided(recorder.said, said, guidance)
            moved = teacher.velocity(predicted, points, times[..., None])
            return torch.where(pinned, 0.0, moved)

        return velocity
