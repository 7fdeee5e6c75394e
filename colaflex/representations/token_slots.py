"""The sizes of what latents of token segments stand for."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TokenSlots"]


@dataclass(frozen=True, slots=True)
class TokenSlots:
    """The sizes that a representation's latents stand for.

    Attributes:
        symbols: tokens of the vocabulary and, last, what fills slots behind a segment's end.
        slots: of a segment.
        dim: channels of a latent.
        inner: channels of a token's embedding.
        group: where the first of so many latents is coarse, their number; 1 for one level.
    """

    symbols: int
    slots: int
    dim: int
    inner: int
    group: int = 1
