"""Categorical readout whose draws know all that was drawn before in their block."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.representations.categorical_readout import Choice
from colaflex.representations.configs import ReadoutConfig
from colaflex.representations.expected_embeddings import logits_of
from colaflex.representations.sequential_readout import SequentialReadout
from colaflex.representations.token_content import TokenSlots

__all__ = ["BlockRecurrentReadout"]


class BlockRecurrentReadout(SequentialReadout):
    """As the recurrent one, but its unit runs through all segments of a block.

    Latents of one block are drawn at once by the flow; where each is drawn for itself, they need
    not agree. The context of a slot is V r_k, with r_k = GRU(r_(k-1), [e_(k-1); h_k]), k counting
    the slots of the block, r_0 = 0 and e_0 = 0.
    """

    def __init__(
        self,
        config: ReadoutConfig,
        sizes: TokenSlots,
        width: int,
        table: Callable[[], Tensor] | None = None,
    ) -> None:
        super().__init__(config, sizes, width, table)
        self.recurrence = nn.GRU(2 * sizes.inner, sizes.inner, batch_first=True)
        self.context = nn.Linear(sizes.inner, sizes.inner, bias=False)
        self.channels += sizes.slots * sizes.inner

    def contexts(self, before: Tensor, embedded: Tensor) -> Tensor:
        """Of all slots of a block, (..., block, slots, inner); see `SequentialReadout.contexts`."""
        drawn = functional.pad(embedded.flatten(-3, -2)[..., :-1, :], (0, 0, 1, 0))
        heard = torch.cat([drawn, before.flatten(-3, -2)], -1)
        states: Tensor = self.recurrence(heard.flatten(0, -3))[0]
        contexts: Tensor = self.context(states).view(before.shape)
        return contexts

    def context_flops(self) -> int:
        """Of the recurrent unit and of V, in all slots."""
        matrices = [*self.recurrence.parameters(), self.context.weight]
        weights = sum(matrix.numel() for matrix in matrices if matrix.ndim == 2)
        return 2 * self.sizes.slots * weights

    def _tokens(self, said: Tensor, choose: Choice) -> Tensor:
        unembedding, bias, table = self._weights()
        apart, before = self._apart_and_before(said)
        drawn, end = torch.zeros_like(before[..., 0, 0, :]), self.sizes.symbols - 1
        state: Tensor | None = None
        latents: list[Tensor] = []
        for index in range(before.shape[-3]):
            tokens: list[Tensor] = []
            for slot in range(self.sizes.slots):
                heard = torch.cat([drawn, before[..., index, slot, :]], -1)
                _, state = self.recurrence(heard.flatten(0, -2)[:, None], state)
                assert state is not None
                context = self.context(state[0]).view_as(drawn)
                inner = self._added(
                    apart[..., index, slot, :], before[..., index, slot, :], context
                )
                logits = logits_of(inner, unembedding, bias)[..., None, :]
                token = choose(logits, slot, slice(index, index + 1))[..., 0]
                if tokens:  # behind a segment's end there is nothing, as in all texts
                    token = torch.where(tokens[-1] == end, end, token)
                drawn = functional.embedding(token, table).to(said.dtype)
                tokens.append(token)
            latents.append(torch.stack(tokens, -1))
        return torch.stack(latents, -2)
