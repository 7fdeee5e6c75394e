"""Categorical readout whose draws know all that was drawn before in their block."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from colaflex.representations.categorical_readout import Choice
from colaflex.representations.expected_embeddings import logits_of
from colaflex.representations.recurrent_readout import RecurrentReadout

__all__ = ["BlockRecurrentReadout"]


class BlockRecurrentReadout(RecurrentReadout):
    """As the recurrent one, but its unit runs through all segments of a block.

    Latents of one block are drawn at once by the flow; where each is drawn for itself, they need
    not agree. The context of a slot is V r_k, with r_k = GRU(r_(k-1), [e_(k-1); h_k]), k counting
    the slots of the block, r_0 = 0 and e_0 = 0.
    """

    def contexts(self, before: Tensor, embedded: Tensor) -> Tensor:
        """Of all slots of a block, (..., block, slots, inner); see `SequentialReadout.contexts`."""
        drawn = functional.pad(embedded.flatten(-3, -2)[..., :-1, :], (0, 0, 1, 0))
        heard = torch.cat([drawn, before.flatten(-3, -2)], -1)
        states: Tensor = self.recurrence(heard.flatten(0, -3))[0]
        contexts: Tensor = self.context(states).view(before.shape)
        return contexts

    def context_flops(self) -> int:
        """As the base's, in the first slot too."""
        return super().context_flops() + self.slot_flops()

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
                context, state = self.next_context(heard, state)
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
