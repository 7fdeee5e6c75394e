"""Categorical readout whose draws know the slots before by a recurrent network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.representations.categorical_readout import ALL, Choice
from colaflex.representations.configs import ReadoutConfig
from colaflex.representations.expected_embeddings import logits_of
from colaflex.representations.sequential_readout import SequentialReadout
from colaflex.representations.token_content import TokenSlots

__all__ = ["RecurrentReadout"]


class RecurrentReadout(SequentialReadout):
    """A gated recurrent unit reads what was drawn, and what the states say of the slot to draw.

    The context of slot k is V r_k, with r_k = GRU(r_(k-1), [e_(k-1); h_k]) and r_1 = 0. Its weights
    are those of every slot, so that their number doesn't grow with the segment, as that of a
    chain does with its square.

    Example:
        >>> from colaflex.interfaces.values import Vocabulary
        >>> sizes = {"vocabulary": Vocabulary(300, 256, 257), "max_segment_tokens": 4}
        >>> text = colaflex.build("representation", "text_vae", latent_dim=8, **sizes)
        >>> readout = text.readout("block_recurrent", width=32)
        >>> isinstance(readout, RecurrentReadout), readout(torch.zeros(2, 6, 32)).shape
        (True, torch.Size([2, 6, 8]))
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
        """See `SequentialReadout.contexts`."""
        heard = torch.cat([embedded[..., :-1, :], before[..., 1:, :]], -1)
        states: Tensor = self.recurrence(heard.flatten(0, -3))[0]
        contexts: Tensor = self.context(states).view(*heard.shape[:-1], -1)
        return functional.pad(contexts, (0, 0, 1, 0))

    def context_flops(self) -> int:
        """In all slots but the first."""
        return (self.sizes.slots - 1) * self.slot_flops()

    def slot_flops(self) -> int:
        """Model FLOPs of the recurrent unit and of V, in one slot."""
        matrices = [*self.recurrence.parameters(), self.context.weight]
        return 2 * sum(matrix.numel() for matrix in matrices if matrix.ndim == 2)

    def next_context(self, heard: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """The context of one slot, (..., inner), and the unit's state behind it.

        Args:
            heard: (..., 2 · inner), [e; h]: what was drawn before, and what is said of the slot.
            state: before it; None at first.
        """
        _, state = self.recurrence(heard.flatten(0, -2)[:, None], state)
        assert state is not None
        context: Tensor = self.context(state[0]).view(*heard.shape[:-1], -1)
        return context, state

    def _tokens(self, said: Tensor, choose: Choice) -> Tensor:
        unembedding, bias, table = self._weights()
        apart, before = self._apart_and_before(said)
        tokens = [choose(logits_of(apart[..., 0, :], unembedding, bias), 0, ALL)]
        state: Tensor | None = None
        for slot in range(1, self.sizes.slots):
            drawn = functional.embedding(tokens[-1], table).to(said.dtype)
            heard = torch.cat([drawn, before[..., slot, :]], -1)
            context, state = self.next_context(heard, state)
            inner = self._added(apart[..., slot, :], before[..., slot, :], context)
            tokens.append(choose(logits_of(inner, unembedding, bias), slot, ALL))
        return torch.stack(tokens, -1)
