"""Categorical readout whose draws take a segment's slots one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.representations.categorical_readout import CategoricalReadout, Choice
from colaflex.representations.configs import ReadoutConfig
from colaflex.representations.expected_embeddings import expected_and_nats, logits_of
from colaflex.representations.token_content import TokenSlots

__all__ = ["ChainedReadout"]


class ChainedReadout(CategoricalReadout):
    """Its estimate is the categorical readout's; its draws know the slots before.

    Where slots are drawn apart, each may be right and the segment wrong. The logits of a draw's
    slot k are W silu(h_k + C_k [e_1; ...; e_(k-1)]) + b, by the embeddings of what was drawn
    already; those of an estimate are W silu(h_k) + b. The loss is the mean of both cross-entropies.
    """

    unbiased: ClassVar[bool] = False
    later: Tensor

    def __init__(
        self,
        config: ReadoutConfig,
        sizes: TokenSlots,
        width: int,
        table: Callable[[], Tensor] | None = None,
    ) -> None:
        super().__init__(config, sizes, width, table)
        whole = sizes.slots * sizes.inner
        self.chain = nn.Linear(whole, whole, bias=False)
        later = torch.ones(sizes.slots, sizes.slots).tril(-1)
        later = later.repeat_interleave(sizes.inner, 0).repeat_interleave(sizes.inner, 1)
        self.register_buffer("later", later, persistent=False)
        self.channels += whole

    def _of_states(self, states: Tensor) -> list[Tensor]:
        before = self.slots(states)
        return [functional.silu(before), before]

    def _chained(self, said: Tensor, embedded: Tensor) -> Tensor:
        """(..., block, slots, inner), in which the logits of draws are linear.

        Args:
            said: (..., block, channels).
            embedded: (..., block, slots, inner) of the text.
        """
        whole = self.sizes.slots * self.sizes.inner
        apart, before = said[..., :whole], said[..., whole : 2 * whole]
        kind = before.dtype
        chain = (self.chain.weight * self.later).to(kind)
        context = functional.linear(embedded.flatten(-2).to(kind), chain)
        inner: Tensor = self._added(apart, before, context).unflatten(-1, embedded.shape[-2:])
        return inner

    @staticmethod
    def _added(apart: Tensor, before: Tensor, context: Tensor) -> Tensor:
        """What the chain adds: nothing in the first slot, whose logits are the estimate's."""
        return apart + (functional.silu(before + context) - functional.silu(before))

    def taught(self, states: Tensor, content: Tensor) -> tuple[Tensor, Tensor]:
        """The expected latents, and -log p of their tokens: the mean of apart and in a chain."""
        said = self.said(states)
        mean, apart = self._mean_and_nats(said, content)
        unembedding, bias, table = self._weights()
        inner = self._chained(said, functional.embedding(content, table))
        nothing = table.new_zeros(len(table), 0)
        rows = inner.flatten(0, -2)
        _, nats = expected_and_nats(rows, content.flatten(), unembedding, bias, nothing)
        return mean, (apart + self._of_segments(nats, content)) / 2

    def _tokens(self, said: Tensor, choose: Choice) -> Tensor:
        unembedding, bias, table = self._weights()
        whole, tokens = self.sizes.slots * self.sizes.inner, list[Tensor]()
        drawn = said[..., :0]
        for slot in range(self.sizes.slots):
            at = slice(slot * self.sizes.inner, (slot + 1) * self.sizes.inner)
            apart, before = said[..., :whole][..., at], said[..., whole:][..., at]
            context = functional.linear(drawn, self.chain.weight[at, : at.start].to(drawn.dtype))
            inner = self._added(apart, before, context)
            tokens.append(choose(logits_of(inner, unembedding, bias), slot))
            drawn = torch.cat([drawn, functional.embedding(tokens[-1], table).to(said.dtype)], -1)
        return torch.stack(tokens, -1)

    def likeliest_flops(self, batch: int, segments: int) -> int:
        """The logits', and what each slot hears of those before."""
        pairs = self.sizes.slots * (self.sizes.slots - 1) // 2
        chain = 2 * batch * segments * pairs * self.sizes.inner**2
        return super().likeliest_flops(batch, segments) + chain

    def taught_flops(self, batch: int, segments: int) -> int:
        """As the base's, and the logits of the chain."""
        table = self.sizes.symbols * self.sizes.inner * self.sizes.slots
        chain = 2 * batch * segments * (table + self.chain.weight.numel())
        return super().taught_flops(batch, segments) + 3 * chain
