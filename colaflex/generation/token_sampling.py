"""Draw tokens from the logits of a segment's slots."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from colaflex.interfaces.noise import SampleNoise
from colaflex.interfaces.options import TokenSampling

__all__ = ["draw_tokens", "restricted"]


def draw_tokens(
    logits: Tensor,
    options: TokenSampling,
    noise: SampleNoise,
    seen: Tensor,
    banned: Tensor,
    given: Tensor | None = None,
) -> Tensor:
    """Token ids of the slots of consecutive segments.

    Args:
        logits: (rows, segments, slots, size), the last one that of end-of-segment.
        options: temperature, top-k, top-p and repetition penalty.
        noise: the rows' draws.
        seen: (rows, size) bool, tokens that stand in each row already; updated in place.
        banned: (slots, size) or (segments, slots, size) bool, what must not be drawn.
        given: (rows, segments) bool, segments that are not new: what is drawn there is not seen.

    Returns:
        (rows, segments, slots) int64; what follows an end-of-segment within its segment is void.
    """
    logits = logits.float().masked_fill(banned, -torch.inf)
    gumbel = None
    if options.temperature > 0:
        uniform = noise.uniform("tokens", logits.shape[1:], logits).clamp_(1e-20, 1 - 1e-7)
        gumbel = -torch.log(-torch.log(uniform))
    if options.repetition_penalty == 1.0:
        return _choose(logits, options, gumbel)
    rows, segments, slots, size = logits.shape
    chosen = logits.new_empty(rows, segments, slots, dtype=torch.int64)
    for segment, slot in product(range(segments), range(slots)):
        if slot == 0:
            fresh = seen.new_ones(rows) if given is None else ~given[:, segment]
        at = logits[:, segment, slot]
        penalised = torch.where(
            at > 0, at / options.repetition_penalty, at * options.repetition_penalty
        )
        at = torch.where(seen, penalised, at)
        token = _choose(at, options, None if gumbel is None else gumbel[:, segment, slot])
        fresh = fresh & (token != size - 1)
        seen[fresh, token[fresh]] = True
        chosen[:, segment, slot] = token
    return chosen


def _choose(logits: Tensor, options: TokenSampling, gumbel: Tensor | None) -> Tensor:
    if gumbel is None:
        return logits.argmax(-1)
    return (restricted(logits / options.temperature, options.top_k, options.top_p) + gumbel).argmax(
        -1
    )


def restricted(logits: Tensor, top_k: int, top_p: float) -> Tensor:
    """Logits with what lies outside the top k or the nucleus of mass p set to minus infinity.

    The nucleus is the smallest set of most probable tokens whose mass reaches p (Holtzman et al.,
    2020, https://arxiv.org/abs/1904.09751); the most probable token always stays.
    """
    if top_k and top_k < logits.shape[-1]:
        least = logits.topk(top_k, -1).values[..., -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if top_p < 1.0:
        ordered, index = logits.sort(-1, descending=True)
        probability = ordered.softmax(-1)
        outside = probability.cumsum(-1) - probability >= top_p
        outside[..., 0] = False
        logits = logits.masked_fill(outside.scatter(-1, index, outside), -torch.inf)
    return logits
