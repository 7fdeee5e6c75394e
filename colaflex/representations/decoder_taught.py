"""Readouts that learn from the representation's own decoder, held still."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from colaflex.interfaces.readout import Readout
from colaflex.interfaces.representation import Representation
from colaflex.representations.token_slots import TokenSlots

__all__ = ["DecoderTaught", "StillDecoder", "still"]


@dataclass(frozen=True)
class StillDecoder:
    """A decoder that teaches, and learns nothing from it.

    Attributes:
        decode: (batch, segments, dim) raw latents -> (batch, segments, slots, symbols) logits.
        flops: model FLOPs of that forward pass, by batch and segments.
    """

    decode: Callable[[Tensor], Tensor]
    flops: Callable[[int, int], int]


class _Decoding(nn.Module):
    def __init__(self, representation: Representation) -> None:
        super().__init__()
        self.representation = representation

    def forward(self, latents: Tensor) -> Tensor:
        return self.representation.decode(latents)


def still(representation: Representation) -> Callable[[Tensor], Tensor]:
    """The representation's `decode`, whose gradients reach the latents alone."""

    def decode(latents: Tensor) -> Tensor:
        held = {f"representation.{k}": p.detach() for k, p in representation.named_parameters()}
        logits: Tensor = functional_call(_Decoding(representation), held, (latents,))
        return logits

    return decode


class DecoderTaught(Readout):
    """Its cross-entropy is what the decoder says of the text at some latents of this readout.

    The decoder reads a row's latents together, as it always does, and its logits are held whole.

    Args:
        weight: of the cross-entropy, nats per latent.
        decoder: the representation's.
        sizes: of what latents stand for.
    """

    def __init__(self, weight: float, decoder: StillDecoder, sizes: TokenSlots) -> None:
        super().__init__()
        self.weight, self.sizes, self._decoder = weight, sizes, decoder
        self._raw: Callable[[Tensor], Tensor] | None = None

    def behind(self, raw: Callable[[Tensor], Tensor]) -> None:
        """Take the border; see `Readout.behind`."""
        self._raw = raw

    def nats(self, latents: Tensor, content: Tensor) -> Tensor:
        """(rows, ..., block): what the tokens of each latent cost, the sum over its slots.

        Args:
            latents: (rows, ..., block, dim), normalised; a row's segments in order.
            content: (rows, ..., block, slots) symbols.
        """
        assert self._raw is not None, "the border is not known yet"
        rows, end = len(latents), self.sizes.symbols - 1
        logits = self._decoder.decode(self._raw(latents.reshape(rows, -1, latents.shape[-1])))
        truth = content.reshape(logits.shape[:-1])
        costs = functional.cross_entropy(
            logits.flatten(0, -2).to(torch.promote_types(logits.dtype, torch.float32)),
            truth.flatten(),
            reduction="none",
        ).view(truth.shape)
        # A decoder says where a segment ends, and nothing of the slots behind; what begins with
        # its end holds no tokens of its own.
        told = functional.pad(truth != end, (1, 0), value=True)[..., :-1]
        told &= truth[..., :1] != end
        return torch.where(told, costs, 0.0).sum(-1).view(content.shape[:-1])

    def taught_flops(self, batch: int, segments: int) -> int:
        """As the base's, and the decoder's forward pass and the one back to its latents."""
        return super().taught_flops(batch, segments) + 2 * self._decoder.flops(batch, segments)
