"""What a head of the autoregressive prior is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from colaflex.interfaces.noise import Noise, SampleNoise

__all__ = ["Head"]


class Head(nn.Module, ABC):
    """The distribution of the next latent given the state of all before it.

    Attributes:
        term: name of its loss.

    Example:
        >>> from colaflex.interfaces.noise import SampleNoise
        >>> prior = colaflex.build("prior", "autoregressive_latent", latent_dim=8)
        >>> prefix, noise = prior.begin(rows=2), SampleNoise(("a", "b"))
        >>> prior.head.sample(prefix.state, noise, position=0, steps=4).shape
        torch.Size([2, 8])
    """

    term: ClassVar[str]

    @abstractmethod
    def losses(self, states: Tensor, targets: Tensor, noise: Noise) -> Tensor:
        """(batch, positions): the loss of every latent.

        Args:
            states: (batch, positions, width).
            targets: (batch, positions, dim).
            noise: the step's draws.
        """

    @abstractmethod
    def sample(self, state: Tensor, noise: SampleNoise, position: int, steps: int) -> Tensor:
        """(rows, dim): a sample of each row's next latent.

        Args:
            state: (rows, width).
            noise: of the block.
            position: of the latent in its block, which the draws are keyed by.
            steps: solver intervals, where the head has a solver.
        """

    def log_prob(self, states: Tensor, targets: Tensor) -> Tensor:
        """(batch, positions) log density in nats, where the head has one."""
        raise NotImplementedError(f"the head {type(self).__name__} declares no likelihood")

    def evaluations(self, steps: int) -> int:
        """Evaluations of the head for one latent; 1 unless it has a solver."""
        del steps
        return 1

    @abstractmethod
    def flops(self, latents: int) -> int:
        """Model FLOPs of a forward training pass over so many latents."""
