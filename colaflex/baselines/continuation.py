"""What baselines share in generation: prompts as a batch, and what a row gains of drawn tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from colaflex.interfaces.language_model import GeneratedTokens
from colaflex.interfaces.values import Vocabulary

__all__ = ["gained_tokens", "never_drawn", "padded_prompts", "tokens_seen"]


def padded_prompts(
    prompts: Sequence[Sequence[int]], vocabulary: Vocabulary, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Prompts behind the end-of-text that a document begins with.

    Returns:
        (rows, 1 + longest) int64 tokens, filled with end-of-text behind each prompt; (rows,) int64,
        how many of them count, the leading end-of-text included.
    """
    longest, end = max(map(len, prompts), default=0), vocabulary.end_of_text
    rows = [[end, *prompt, *[end] * (longest - len(prompt))] for prompt in prompts]
    tokens = torch.tensor(rows, dtype=torch.int64, device=device)
    lengths = torch.tensor([1 + len(prompt) for prompt in prompts], device=device)
    return tokens.view(len(prompts), -1), lengths


def tokens_seen(
    prompts: Sequence[Sequence[int]], vocabulary: Vocabulary, device: torch.device
) -> Tensor:
    """(rows, size + 1) bool, the tokens of each prompt, as `draw_tokens` wants them."""
    seen = torch.zeros(len(prompts), vocabulary.size + 1, dtype=torch.bool, device=device)
    for row, prompt in enumerate(prompts):
        seen[row, torch.tensor(list(prompt), dtype=torch.int64, device=device)] = True
    return seen


def never_drawn(vocabulary: Vocabulary, device: torch.device) -> Tensor:
    """(1, size + 1) bool: the mask, and `draw_tokens`' end-of-segment, which baselines lack."""
    banned = torch.zeros(1, vocabulary.size + 1, dtype=torch.bool, device=device)
    banned[0, [vocabulary.mask, vocabulary.size]] = True
    return banned


def gained_tokens(row: int, tokens: Sequence[int], end: int, room: int) -> GeneratedTokens:
    """What a row gains of newly drawn tokens: those before an end-of-text.

    Args:
        row: index of the prompt.
        tokens: drawn for the row, in order.
        end: id of end-of-text.
        room: how many tokens the row may still gain; with the last of them it is finished.
    """
    fresh = tuple(tokens[:room])
    if end in fresh:
        return GeneratedTokens(row, fresh[: fresh.index(end)], "end")
    return GeneratedTokens(row, fresh, "length" if len(fresh) == room else None)
