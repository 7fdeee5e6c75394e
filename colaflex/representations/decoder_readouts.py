"""Readouts that learn from the representation's own decoder, which learns nothing from them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from colaflex.interfaces.readout import EndingReadout, Readout
from colaflex.representations.token_content import TokenSlots, token_costs

__all__ = ["DecoderReadout", "Realisation", "SecondHead", "ThroughDecoder"]


@dataclass(frozen=True)
class Realisation:
    """A representation's decoder, as readouts ask it.

    Attributes:
        decode: (batch, segments, dim) raw latents -> (batch, segments, slots, symbols) logits.
        told: such latents and their tokens (batch, segments, slots) -> logits given these.
        flops: model FLOPs of that forward pass, by batch and segments.
    """

    decode: Callable[[Tensor], Tensor]
    told: Callable[[Tensor, Tensor], Tensor]
    flops: Callable[[int, int], int]


class DecoderReadout(Readout):
    """Its cross-entropy is what the decoder says of the text at some latents of this readout.

    The decoder reads a row's latents together, as it always does; all their logits are in memory.
    What it teaches reaches each latent with that latent's own weight, whatever the others have.

    Args:
        weight: of the cross-entropy, nats per latent.
        decoder: the representation's.
        sizes: of what latents stand for.
        width: channels of the network's states.

    Example:
        >>> from colaflex.interfaces.values import Vocabulary
        >>> sizes = {"vocabulary": Vocabulary(300, 256, 257), "max_segment_tokens": 4}
        >>> text = colaflex.build("representation", "text_vae", latent_dim=8, **sizes)
        >>> readout = text.readout("through_decoder", width=32)
        >>> isinstance(readout, DecoderReadout), readout(torch.zeros(2, 6, 32)).shape
        (True, torch.Size([2, 6, 8]))
    """

    heads: ClassVar[int] = 1
    """Latents that are made of each state, one after the other in what is said."""

    def __init__(self, weight: float, decoder: Realisation, sizes: TokenSlots, width: int) -> None:
        super().__init__()
        self.weight, self.sizes, self._decoder = weight, sizes, decoder
        self.linear = nn.Linear(width, self.heads * sizes.dim)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self._raw: Callable[[Tensor], Tensor] | None = None

    def said(self, states: Tensor) -> Tensor:
        """(..., block, heads · dim): the latents themselves, the mean first."""
        latents: Tensor = self.linear(states)
        return latents

    def mean(self, said: Tensor) -> Tensor:
        """See `Readout.mean`."""
        return said[..., : self.sizes.dim]

    @abstractmethod
    def decoded(self, said: Tensor) -> Tensor:
        """(..., block, dim) the latents that the decoder is asked about, normalised."""

    def behind(self, raw: Callable[[Tensor], Tensor]) -> None:
        """Take the border; see `Readout.behind`."""
        self._raw = raw

    def taught(self, states: Tensor, content: Tensor) -> tuple[Tensor, Tensor]:
        """The expected latents, and what the text costs by the decoder; see `Readout.taught`."""
        said = self.said(states)
        return self.mean(said), self._nats(self.decoded(said), content)

    def _nats(self, latents: Tensor, content: Tensor) -> Tensor:
        """(rows, ..., block): what the tokens of each latent cost, the sum over its slots."""
        if not torch.is_grad_enabled():
            return self._costs(latents, content)
        leaf = latents.detach().requires_grad_()
        costs = self._costs(leaf, content)
        (pull,) = torch.autograd.grad(costs.sum(), leaf)
        # Of the costs' value and of their slope in the latents; the decoder gets no gradient.
        return costs.detach() + (pull * (latents - latents.detach())).sum(-1)

    def _costs(self, latents: Tensor, content: Tensor) -> Tensor:
        truth = content.reshape(len(content), -1, content.shape[-1])
        logits = self._decoder.told(self._in_order(latents), truth)
        return token_costs(logits, content).view(content.shape[:-1])

    def _in_order(self, latents: Tensor) -> Tensor:
        """(rows, segments, dim) raw latents of (rows, ..., block, dim)."""
        assert self._raw is not None, "the border is not known yet"
        return self._raw(latents.reshape(len(latents), -1, latents.shape[-1]))

    def likeliest(self, said: Tensor) -> Tensor:
        """(..., block, slots) what the decoder makes of its latents; see `Readout.likeliest`."""
        tokens = self._decoder.decode(self._in_order(self.decoded(said))).argmax(-1)
        tokens = tokens.view(*said.shape[:-1], self.sizes.slots)
        return self.sizes.with_ends(tokens)

    def flops(self, latents: int) -> int:
        """Model FLOPs of the linear map."""
        return 2 * latents * self.linear.weight.numel()

    def taught_flops(self, batch: int, segments: int) -> int:
        """As the base's, and the decoder's forward pass and the one back to its latents."""
        return super().taught_flops(batch, segments) + 2 * self._decoder.flops(batch, segments)

    def likeliest_flops(self, batch: int, segments: int) -> int:
        """See `Readout.likeliest_flops`."""
        return self._decoder.flops(batch, segments)


class ThroughDecoder(DecoderReadout):
    """One linear head; the decoder reads the clean latents that it expects.

    At much noise the mean of many latents is none that a decoder knows, and its cross-entropy would
    pull the mean to one of them: what reaches a latent has the weight (1 - t)^2 of its own time.
    """

    def decoded(self, said: Tensor) -> Tensor:
        """The expected latents."""
        return said

    def gate(self, times: Tensor) -> Tensor:
        """(1 - t)^2."""
        return (1.0 - times).square()


class SecondHead(DecoderReadout, EndingReadout):
    """The first head gives the mean that the flow needs, the second what is decoded at its end.

    The decoder teaches the second alone, so that the mean stays what it is.
    """

    heads: ClassVar[int] = 2

    def end(self, said: Tensor) -> Tensor:
        """See `EndingReadout.end`."""
        return said[..., self.sizes.dim :]

    def decoded(self, said: Tensor) -> Tensor:
        """The ends."""
        return self.end(said)
