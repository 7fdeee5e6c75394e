"""What tells a segment's tokens one after the other."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.interfaces.representation import Choice
from colaflex.networks.causal import CausalTransformer
from colaflex.networks.transformer import fitting_heads

__all__ = ["SlotsInTurn"]


class SlotsInTurn(nn.Module):
    """A causal transformer over the slots of a segment, of all segments at once.

    A slot reads what the decoder says of it, plus the embedding of the token before it; the first
    one hears that there is none. Tokens can be withheld, so that what the latent tells is still
    listened to.

    Args:
        symbols: tokens, and the segment's end.
        width: channels of a slot.
        layers: of the transformer.
        heads: its attention heads at most; fewer where they don't divide the width evenly.
    """

    def __init__(self, symbols: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.nothing, self.withheld = symbols, symbols + 1
        self.embedding = nn.Embedding(symbols + 2, width)
        self.transformer = CausalTransformer(width, layers, fitting_heads(width, heads))

    def before(self, content: Tensor) -> Tensor:
        """(..., slots) the token before each slot of a segment that holds `content`."""
        return functional.pad(content[..., :-1], (1, 0), value=self.nothing)

    def forward(self, slots: Tensor, before: Tensor) -> Tensor:
        """States of all slots, given the text.

        Args:
            slots: (batch, segments, slots, width).
            before: (batch, segments, slots) tokens that each slot hears.
        """
        heard = slots + self.embedding(before)
        states: Tensor = self.transformer(heard.flatten(0, 1))
        return states.view(slots.shape)

    def told(
        self,
        slots: Tensor,
        logits_of: Callable[[Tensor], Tensor],
        choose: Choice,
    ) -> Tensor:
        """(batch, segments, slots) tokens, each chosen given those chosen before it.

        Args:
            slots: (batch, segments, slots, width).
            logits_of: (batch, segments, width) states -> (batch, segments, symbols).
            choose: such logits and their slot -> (batch, segments) tokens.
        """
        rows = slots.shape[0] * slots.shape[1]
        cache = self.transformer.begin(rows, slots)
        token = torch.full(slots.shape[:2], self.nothing, device=slots.device)
        tokens = []
        for slot in range(slots.shape[2]):
            heard = (slots[:, :, slot] + self.embedding(token)).flatten(0, 1)
            states, cache = self.transformer.extend(heard[:, None], cache)
            token = choose(logits_of(states.view(*slots.shape[:2], -1)), slot)
            tokens.append(token)
        return torch.stack(tokens, 2)

    def flops(self, segments: int, slots: int) -> int:
        """Model FLOPs of one forward pass."""
        return self.transformer.flops(segments, slots)
