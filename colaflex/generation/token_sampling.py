"""Draw tokens from the logits of a segment's slots."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from colaflex.interfaces.noise import SampleNoise
from colaflex.interfaces.options import TokenSampling

__all__ = ["draw_tokens", "restricted", "slot_choice"]


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
    gumbel = _gumbel(logits.shape[1:], logits, options, noise)
    if options.repetition_penalty == 1.0:
        return _choose(logits, options, gumbel)
    rows, segments, slots, size = logits.shape
    chosen = logits.new_empty(rows, segments, slots, dtype=torch.int64)
    for segment, slot in product(range(segments), range(slots)):
        if slot == 0:
            fresh = seen.new_ones(rows) if given is None else ~given[:, segment]
        at = _penalised(logits[:, segment, slot], seen, options)
        token = _choose(at, options, None if gumbel is None else gumbel[:, segment, slot])
        fresh = fresh & (token != size - 1)
        seen[fresh, token[fresh]] = True
        chosen[:, segment, slot] = token
    return chosen


def slot_choice(
    options: TokenSampling,
    noise: SampleNoise,
    seen: Tensor,
    banned: Tensor,
    given: Tensor | None = None,
) -> Callable[[Tensor, int], Tensor]:
    """Draws for slots that are told in turn, of all segments at once; see `draw_tokens`.

    Args:
        options: temperature, top-k, top-p and repetition penalty.
        noise: the rows' draws.
        seen: (rows, size) bool, updated in place as slots are drawn.
        banned: (segments, slots, size) bool, what must not be drawn.
        given: (rows, segments) bool, segments that are not new.

    Returns:
        A function of logits (rows, segments, size) and their slot that gives (rows, segments)
        tokens, to be asked slot after slot.
    """
    gumbel = _gumbel(banned.shape, torch.zeros((), device=banned.device), options, noise)
    fresh = seen.new_ones(len(seen), len(banned)) if given is None else ~given
    end = banned.shape[-1] - 1

    def choose(logits: Tensor, slot: int) -> Tensor:
        nonlocal fresh
        logits = logits.float().masked_fill(banned[:, slot], -torch.inf)
        drawn = None if gumbel is None else gumbel[:, :, slot]
        if options.repetition_penalty == 1.0:
            return _choose(logits, options, drawn)
        tokens = _choose(_penalised(logits, seen[:, None], options), options, drawn)
        fresh = fresh & (tokens != end)
        seen[fresh.nonzero()[:, 0], tokens[fresh]] = True
        return tokens

    return choose


def _gumbel(
    shape: tuple[int, ...], like: Tensor, options: TokenSampling, noise: SampleNoise
) -> Tensor | None:
    if options.temperature <= 0:
        return None
    uniform = noise.uniform("tokens", shape, like).clamp_(1e-20, 1 - 1e-7)
    return -torch.log(-torch.log(uniform))


def _penalised(logits: Tensor, seen: Tensor, options: TokenSampling) -> Tensor:
    penalty = options.repetition_penalty
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


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
