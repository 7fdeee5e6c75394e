"""Readout: from a prior's network states to clean latents, by way of what these stand for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from colaflex.interfaces.noise import SampleNoise

__all__ = ["EndingReadout", "Readout"]


class Readout(nn.Module, ABC):
    """Made by a representation for a prior, which learns it and only calls it.

    A linear head has to hit the clean latent among all vectors. A readout says first what the
    latent may stand for (such as the tokens of a segment, with their probabilities), then which
    latent that is in the mean: E[z0 | z_t] lies among the latents of what there is.

    What it says comes in a form in which guidance is linear, such as what logits are linear in:
    one branch's, moved away from another's, says something again.

    Attributes:
        weight: of `taught`'s loss in the prior's objective; 0 for a readout without one.
        draw_weight: of `draw_error` there; 0 where it is not asked for.
        unbiased: whether the mean of what it draws is what it expects, whatever its weights.

    References:
        LangFlow (2026), cross-entropy as the Bregman loss whose minimiser is the posterior over
        tokens, and softmax(logits) E as the estimate, https://arxiv.org/abs/2604.11748.

    Example:
        >>> from colaflex.interfaces.values import Vocabulary
        >>> sizes = {"vocabulary": Vocabulary(300, 256, 257), "max_segment_tokens": 4}
        >>> text = colaflex.build("representation", "text_vae", latent_dim=8, **sizes)
        >>> readout = text.readout("categorical", width=32)
        >>> readout(torch.zeros(2, 6, 32)).shape
        torch.Size([2, 6, 8])
    """

    weight: float = 0.0
    draw_weight: float = 0.0
    unbiased: ClassVar[bool] = True

    @abstractmethod
    def said(self, states: Tensor) -> Tensor:
        """What network states say of their latents.

        Args:
            states: (..., block, width), the positions of whole blocks.

        Returns:
            (..., block, any).
        """

    @abstractmethod
    def mean(self, said: Tensor) -> Tensor:
        """(..., block, dim): the expected clean latents, normalised as the prior sees them."""

    def forward(self, states: Tensor) -> Tensor:
        """(..., block, width) network states -> (..., block, dim) expected clean latents."""
        return self.mean(self.said(states))

    def taught(self, states: Tensor, content: Tensor) -> tuple[Tensor, Tensor]:
        """The expected latents, and what the truth costs by what was said.

        Args:
            states: (..., block, width).
            content: (..., block, any), what the latents stand for, from the representation.

        Returns:
            (..., block, dim), and (..., block) nats.
        """
        del content
        mean = self(states)
        return mean, mean.new_zeros(mean.shape[:-1])

    def drawn(
        self, said: Tensor, noise: SampleNoise, purpose: str, temperature: float = 1.0
    ) -> Tensor:
        """(rows, block, dim): latents of contents drawn by what was said, where that is offered.

        Args:
            said: (rows, block, any).
            noise: of the rows.
            purpose: keys the draws.
            temperature: contents are drawn from what was said to the power 1 / temperature; at 0
                the most probable ones are taken. Passed where it isn't 1.

        Raises:
            NotImplementedError: this readout draws nothing.
        """
        raise NotImplementedError(f"{type(self).__name__} draws no estimates")

    def draw_error(self, content: Tensor, clean: Tensor) -> Tensor:
        """(..., block): how far the latents of a drawn content are from the clean ones.

        Args:
            content: (..., block, any), the truth.
            clean: (..., block, dim), its latents.

        Returns:
            The squared error, mean over channels.

        Raises:
            NotImplementedError: this readout draws nothing.
        """
        raise NotImplementedError(f"{type(self).__name__} draws no estimates")

    def content_nats(self, said: Tensor, content: Tensor) -> Tensor:
        """(..., block, any) nats: -log p of each part of a content, as `drawn` draws it.

        Args:
            said: (..., block, any).
            content: (..., block, any), what the latents stand for; a part is likely by what was
                said and by the parts before it.

        Raises:
            NotImplementedError: this readout draws nothing.
        """
        raise NotImplementedError(f"{type(self).__name__} draws no estimates")

    def likeliest(self, said: Tensor) -> Tensor | None:
        """(..., block, any): the likeliest content by what was said, as `taught` takes it.

        A student of this readout's prior learns its words by it. None, as here: it learns none.
        """
        del said
        return None

    @abstractmethod
    def flops(self, latents: int) -> int:
        """Model FLOPs of a forward pass over so many latents."""

    def gate(self, times: Tensor) -> Tensor:
        """The weight of `taught`'s loss at each noise level t, of the times' shape; here, 1."""
        return torch.ones_like(times)

    def taught_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of `taught` in training, backward pass included."""
        return 3 * self.flops(batch * segments)

    def likeliest_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of `likeliest`, by what was said; here, none."""
        del batch, segments
        return 0

    def behind(self, raw: Callable[[Tensor], Tensor]) -> None:
        """Called once before anything else: what lies behind the border to the representation.

        Args:
            raw: latents as the prior sees them -> latents as the representation's decoder does.
        """
        del raw

    def start(self) -> None:
        """Called once before the first step that trains it, behind stage 1."""


class EndingReadout(Readout):
    """A readout whose samples end in something else than the mean.

    Example:
        >>> from colaflex.interfaces.values import Vocabulary
        >>> sizes = {"vocabulary": Vocabulary(300, 256, 257), "max_segment_tokens": 4}
        >>> text = colaflex.build("representation", "text_vae", latent_dim=8, **sizes)
        >>> readout = text.readout("second_head", width=32)
        >>> readout.end(readout.said(torch.zeros(2, 6, 32))).shape
        torch.Size([2, 6, 8])
    """

    @abstractmethod
    def end(self, said: Tensor) -> Tensor:
        """(..., block, dim): what a sampler's last step gives, by what was said at that step."""
