"""Categorical readout whose draws know the slots before by one linear map."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.representations.categorical_readout import ALL, CategoricalReadout, Choice
from colaflex.representations.configs import ReadoutConfig
from colaflex.representations.expected_embeddings import logits_of
from colaflex.representations.sequential_readout import SequentialReadout
from colaflex.representations.token_content import TokenSlots

__all__ = ["ChainedReadout"]


class ChainedReadout(SequentialReadout):
    """The context of slot k is C_k [e_1; ...; e_(k-1)], by the embeddings of what was drawn."""

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

    def contexts(self, before: Tensor, embedded: Tensor) -> Tensor:
        """See `SequentialReadout.contexts`."""
        chain = (self.chain.weight * self.later).to(before.dtype)
        joined = functional.linear(embedded.flatten(-2), chain)
        contexts: Tensor = joined.unflatten(-1, embedded.shape[-2:])
        return contexts

    def context_flops(self) -> int:
        """The whole of the chain's matrix."""
        return 2 * self.chain.weight.numel()

    def _tokens(self, said: Tensor, choose: Choice) -> Tensor:
        unembedding, bias, table = self._weights()
        apart, before = self._apart_and_before(said)
        inner, tokens = self.sizes.inner, list[Tensor]()
        drawn = said[..., :0]
        for slot in range(self.sizes.slots):
            rows = self.chain.weight[slot * inner : (slot + 1) * inner, : slot * inner]
            context = functional.linear(drawn, rows.to(drawn.dtype))
            summed = self._added(apart[..., slot, :], before[..., slot, :], context)
            tokens.append(choose(logits_of(summed, unembedding, bias), slot, ALL))
            drawn = torch.cat([drawn, functional.embedding(tokens[-1], table).to(said.dtype)], -1)
        return torch.stack(tokens, -1)

    def likeliest_flops(self, batch: int, segments: int) -> int:
        """The logits', and what each slot hears of those before: half of the matrix."""
        pairs = self.sizes.slots * (self.sizes.slots - 1) // 2
        chain = 2 * batch * segments * pairs * self.sizes.inner**2
        return CategoricalReadout.likeliest_flops(self, batch, segments) + chain
