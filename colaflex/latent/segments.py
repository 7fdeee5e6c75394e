"""Rows of given segments: prompts, and what a generation has written so far, as latents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from colaflex.interfaces.values import Segmentation, TokenBatch
from colaflex.latent.model import LatentModel

__all__ = [
    "Segments",
    "committed",
    "encode_prompts",
    "encode_segments",
    "open_rows",
    "prompt_segments",
]

Segments = list[list[int]]
"""The tokens of one row, segment by segment; none in a coarse one."""


def encode_prompts(model: LatentModel, prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Normalised latents (rows, segments, dim) of prompts and how many each has."""
    return encode_segments(model, prompt_segments(model, prompts))


def prompt_segments(model: LatentModel, prompts: Sequence[Sequence[int]]) -> list[Segments]:
    """The tokens of each prompt by segment; of a long prompt, its last `max_tokens`."""
    cut = [list(prompt)[-model.max_tokens :] for prompt in prompts]
    if not any(cut):
        return [[] for _ in cut]
    batch = open_rows(model, cut)
    segmentation = model.cut(batch)
    lengths = [
        sizes[:count]
        for sizes, count in zip(
            segmentation.lengths.tolist(), segmentation.count.tolist(), strict=True
        )
    ]
    return [_split(prompt, sizes) for prompt, sizes in zip(cut, lengths, strict=True)]


def encode_segments(
    model: LatentModel, rows: Sequence[Segments], prompts: Sequence[int] | None = None
) -> tuple[Tensor, Tensor]:
    """Normalised latents (rows, segments, dim) of given segments and how many each row has.

    Args:
        model: whose encoder it is.
        rows: tokens by segment.
        prompts: tokens of the prompt with which each row begins, where one goes on behind it.
    """
    counts = torch.tensor([len(row) for row in rows], device=model.device)
    if not int(counts.max()):
        return model.shift.new_zeros(len(rows), 0, len(model.shift)), counts
    batch = _of_segments(model, rows)
    if prompts is not None:
        forced = torch.arange(batch.tokens.shape[1]) == torch.tensor(prompts)[:, None]
        batch = replace(batch, forced=forced.to(model.device))
    posterior = model.representation.encode(batch, model.segment(batch))
    return model.normalised(posterior.mode()), counts


def committed(
    model: LatentModel,
    prefix: Any,
    latents: Tensor,
    rows: Sequence[Segments],
    counts: Tensor | None = None,
) -> Any:
    """The prior's prefix with the latents of further segments.

    Args:
        model: whose prior it is.
        prefix: the prior's.
        latents: (rows, segments, dim), normalised.
        rows: the tokens of these segments.
        counts: (rows,) latents that count in each row, whole blocks; all by default.
    """
    if not model.prior.needs_content:
        return model.prior.commit(prefix, latents, counts)
    batch = _of_segments(model, rows)
    assert batch.segments is not None
    content = model.representation.content(batch, Segmentation(batch.segments))
    return model.prior.commit_told(prefix, latents, content[:, : latents.shape[1]], counts)


def _of_segments(model: LatentModel, rows: Sequence[Segments]) -> TokenBatch:
    """Rows of given segments."""
    most = max(map(len, rows))
    sizes = [[*map(len, row), *[0] * (most - len(row))] for row in rows]
    lengths = torch.tensor(sizes, dtype=torch.int64, device=model.device)
    batch = open_rows(model, [[token for segment in row for token in segment] for row in rows])
    return replace(batch, segments=lengths)


def open_rows(model: LatentModel, rows: Sequence[Sequence[int]]) -> TokenBatch:
    """Rows that go on behind what is given."""
    width, end = max(map(len, rows)), model.vocabulary.end_of_text
    filled = [[*row, *[end] * (width - len(row))] for row in rows]
    lengths = torch.tensor([len(row) for row in rows], device=model.device)
    tokens = torch.tensor(filled, device=model.device)
    return TokenBatch(tokens, lengths, torch.zeros_like(lengths, dtype=torch.bool))


def _split(tokens: list[int], sizes: Sequence[int]) -> Segments:
    ends = list(accumulate(sizes))
    return [tokens[end - size : end] for end, size in zip(ends, sizes, strict=True)]
