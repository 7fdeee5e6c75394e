"""A stage of training: all that the trainer knows of a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from colaflex.interfaces.losses import Counts, Losses
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.one_line import one_line
from colaflex.interfaces.values import TokenBatch

__all__ = ["ParameterGroup", "Stage", "StageStep"]


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate.

    Attributes:
        name: part of the model they belong to, e.g. "prior" or "representation".
        parameters: in a fixed order.
        lr_ratio: factor on the stage's learning rate.

    Example:
        >>> part = torch.nn.Linear(8, 4)
        >>> ParameterGroup("representation", list(part.parameters()), lr_ratio=0.1)
        ParameterGroup(name 'representation', parameters [2], lr_ratio 0.1)
    """

    name: str
    parameters: Sequence[nn.Parameter]
    lr_ratio: float = 1.0

    __repr__ = one_line


@dataclass(frozen=True, slots=True)
class StageStep:
    """Where in a stage a step stands: what a stage's losses may depend on besides the batch.

    Attributes:
        index: step, from 0.
        total: steps of the stage.
        noise: the step's keyed draws.

    Example:
        >>> from colaflex.interfaces.noise import Noise
        >>> step = StageStep(index=50, total=200, noise=Noise(seed=0, step=50, scope="prior"))
        >>> step.index / step.total
        0.25
    """

    index: int
    total: int
    noise: Noise


class Stage(ABC):
    """One stage of training, in the order in which the trainer calls its methods.

    Attributes:
        name: e.g. "representation", "teacher", "prior".
        settings: name under `training.stages` whose settings hold ("prior" for its teacher too).
        share: of the training budget, where the spec gives the stage no steps of its own.
        groups: what learns.
        refits: when `fit` is called again, as fractions of the stage's steps.
        closing: whether the model is whole before it, so that a study looks at it earlier.

    Example:
        >>> model = colaflex.load("runs/first").model
        >>> stage = model.stages()[-1]
        >>> stage.name, [group.name for group in stage.groups]
        ('prior', ['prior', 'representation'])
    """

    name: str
    settings: str
    share: float = 1.0
    groups: Sequence[ParameterGroup]
    refits: Sequence[float] = ()
    closing: bool = False

    def start(self) -> None:  # noqa: B027
        """Called once before the first step, not when the stage is resumed within it."""

    def fit(self, batches: Iterator[TokenBatch]) -> None:
        """Fit constants that the stage learns with to training data; after `start`, once."""
        del batches

    def prepare(self, batch: TokenBatch, step: StageStep) -> TokenBatch:
        """The batch as this stage wants it (completed to whole blocks, say)."""
        del step
        return batch

    @abstractmethod
    def counts(self, batch: TokenBatch) -> Counts:
        """The divisors of the loss terms of a prepared batch."""

    @abstractmethod
    def flops(self, batch: TokenBatch) -> int:
        """Model FLOPs of one training step on a prepared batch."""

    @abstractmethod
    def losses(self, batch: TokenBatch, step: StageStep) -> Losses:
        """Loss terms of a prepared batch."""

    def stepped(self, index: int) -> None:
        """Called behind each step, counted from 0, once the weights have moved."""
        del index

    def finish(self, batches: Iterator[TokenBatch]) -> None:
        """Called once after the last step; gets training data (for the latents' statistics)."""
        del batches
