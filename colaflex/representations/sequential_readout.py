"""Base of categorical readouts whose draws take a segment's slots one after the other."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from colaflex.representations.categorical_readout import CategoricalReadout

__all__ = ["SequentialReadout"]


class SequentialReadout(CategoricalReadout):
    """Its estimate is the categorical readout's; its draws know the slots before.

    Where slots are drawn apart, each may be right and the segment wrong. The logits of an estimate
    are W silu(h_k) + b; those of a draw are W silu(h_k + c_k) + b, with c_k made of what was drawn
    in the slots before k. The loss is the mean of both cross-entropies.

    Example:
        >>> from colaflex.interfaces.values import Vocabulary
        >>> sizes = {"vocabulary": Vocabulary(300, 256, 257), "max_segment_tokens": 4}
        >>> text = colaflex.build("representation", "text_vae", latent_dim=8, **sizes)
        >>> readout = text.readout("recurrent", width=32)
        >>> said, words = readout.said(torch.zeros(2, 6, 32)), torch.zeros(2, 6, 4).long()
        >>> isinstance(readout, SequentialReadout), readout.content_nats(said, words).shape
        (True, torch.Size([2, 6, 4]))
    """

    unbiased: ClassVar[bool] = False

    @abstractmethod
    def contexts(self, before: Tensor, embedded: Tensor) -> Tensor:
        """c of all slots, given the text.

        Args:
            before: (..., block, slots, inner), h of all slots.
            embedded: (..., block, slots, inner) embeddings of the text.

        Returns:
            (..., block, slots, inner); c_k depends on the text of slots before k alone.
        """

    @abstractmethod
    def context_flops(self) -> int:
        """Model FLOPs of the contexts of one segment."""

    def _of_states(self, states: Tensor) -> list[Tensor]:
        before = self.slots(states)
        return [functional.silu(before), before]

    def _apart_and_before(self, said: Tensor) -> tuple[Tensor, Tensor]:
        """(..., slots, inner) each: silu(h) and h, as guidance has moved them apart."""
        slots, inner = self.sizes.slots, self.sizes.inner
        both = said[..., : 2 * slots * inner].unflatten(-1, (2, slots, inner))
        return both[..., 0, :, :], both[..., 1, :, :]

    @staticmethod
    def _added(apart: Tensor, before: Tensor, context: Tensor) -> Tensor:
        """What a context adds to silu(h)."""
        return apart + (functional.silu(before + context) - functional.silu(before))

    def taught(self, states: Tensor, content: Tensor) -> tuple[Tensor, Tensor]:
        """The expected latents, and -log p of their tokens: the mean of apart and in turn."""
        said = self.said(states)
        mean, apart = self._mean_and_nats(said, content)
        in_turn = self._of_segments(self.content_nats(said, content), content)
        return mean, (apart + in_turn) / 2

    def content_nats(self, said: Tensor, content: Tensor) -> Tensor:
        """(..., block, slots) nats of each slot's symbol, given those before."""
        apart, before = self._apart_and_before(said)
        embedded = functional.embedding(content, self._weights()[2]).to(before.dtype)
        return self._nats(self._added(apart, before, self.contexts(before, embedded)), content)

    def likeliest_flops(self, batch: int, segments: int) -> int:
        """The logits', and what each slot hears of those before."""
        return super().likeliest_flops(batch, segments) + batch * segments * self.context_flops()

    def taught_flops(self, batch: int, segments: int) -> int:
        """As the base's, the contexts, and the logits of draws."""
        logits = 2 * self.sizes.symbols * self.sizes.inner * self.sizes.slots
        more = batch * segments * (self.context_flops() + logits)
        return super().taught_flops(batch, segments) + 3 * more
