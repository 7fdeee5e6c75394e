"""Mean embeddings under a softmax over tokens, and its cross-entropy, without keeping the logits.

Vocabulary times latents may be more than all else that a step holds. Rows are taken in parts; what
is kept of a part is the log of its softmax's sum, from which the backward pass makes the
probabilities again: one more product for its logits, and no other pass over them. The first part's
probabilities are kept, so that what fits in one part is made once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

__all__ = ["expected", "expected_and_nats", "logits_of", "parts_of"]

LOGITS_AT_ONCE = 2**22
"""Logits in memory at a time: 16 MiB in fp32."""


def logits_of(inner: Tensor, unembedding: Tensor, bias: Tensor) -> Tensor:
    """(..., inner) -> (..., symbols): a product in the precision of `inner`, then at least fp32."""
    product = functional.linear(inner, unembedding.to(inner.dtype))
    return product.to(bias.dtype) + bias


def expected(inner: Tensor, unembedding: Tensor, bias: Tensor, embedding: Tensor) -> Tensor:
    """(rows, inner) -> (rows, dim) mean embeddings; any derivatives, for which it keeps more."""
    means = [
        logits_of(inner[part], unembedding, bias).softmax(-1).to(inner.dtype)
        @ embedding.to(inner.dtype)
        for part in parts_of(len(inner), len(bias))
    ]
    return torch.cat(means)


def expected_and_nats(
    inner: Tensor, tokens: Tensor, unembedding: Tensor, bias: Tensor, embedding: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean embeddings and -log p of tokens; differentiable once, in all but the tokens.

    Args:
        inner: (rows, inner), in which logits are linear.
        tokens: (rows,).
        unembedding: (symbols, inner).
        bias: (symbols,).
        embedding: (symbols, dim).

    Returns:
        (rows, dim) and (rows,) nats.
    """
    rows = (inner, tokens)
    mean_and_nats: tuple[Tensor, Tensor] = _Expected.apply(  # type: ignore[no-untyped-call]
        *rows, unembedding, bias, embedding
    )
    return mean_and_nats


class _Expected(torch.autograd.Function):
    """Of the softmax p of W h + b: p E, and -log p of tokens."""

    @staticmethod
    def forward(
        ctx: Any,
        inner: Tensor,
        tokens: Tensor,
        unembedding: Tensor,
        bias: Tensor,
        embedding: Tensor,
    ) -> tuple[Tensor, Tensor]:
        table = embedding.to(inner.dtype)
        mean = inner.new_empty(len(inner), embedding.shape[1])
        logs, nats = bias.new_empty(len(inner)), bias.new_empty(len(inner))
        first = bias.new_empty(0, len(bias))
        for part in parts_of(len(inner), len(bias)):
            logits = logits_of(inner[part], unembedding, bias)
            logs[part] = logits.logsumexp(-1)
            nats[part] = logs[part] - logits.gather(-1, tokens[part, None])[:, 0]
            p = logits.sub_(logs[part, None]).exp_()
            mean[part] = p.to(inner.dtype) @ table
            first = first if part.start else p
        ctx.save_for_backward(inner, tokens, unembedding, bias, embedding, logs, first)
        return mean, nats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_mean: Tensor, to_nats: Tensor) -> tuple[Tensor | None, ...]:
        inner, tokens, unembedding, bias, embedding, logs, first = ctx.saved_tensors
        kind = inner.dtype
        weight, table = unembedding.to(kind), embedding.to(kind)
        to_inner, to_weight = torch.empty_like(inner), torch.zeros_like(unembedding)
        to_bias, to_embedding = torch.zeros_like(bias), torch.zeros_like(embedding)
        for part in parts_of(len(inner), len(bias)):
            p = first
            if part.start:
                p = logits_of(inner[part], unembedding, bias).sub_(logs[part, None]).exp_()
            to_embedding += p.to(kind).T @ to_mean[part]
            # d/dl of p E: p (g - p·g), of the nats: p - 1 at the token.
            pull = (to_mean[part] @ table.T).to(p.dtype)
            inward = torch.linalg.vecdot(pull, p) - to_nats[part]
            pull.sub_(inward[:, None]).mul_(p)
            pull.scatter_add_(-1, tokens[part, None], -to_nats[part, None])
            to_bias += pull.sum(0)
            pulled = pull.to(kind)
            to_inner[part] = pulled @ weight
            to_weight += pulled.T @ inner[part]
        return to_inner, None, to_weight, to_bias, to_embedding


def parts_of(rows: int, symbols: int) -> Iterator[slice]:
    """Slices of so many rows, each of no more logits than there may be at a time."""
    at_once = max(1, LOGITS_AT_ONCE // symbols)
    for start in range(0, rows, at_once):
        yield slice(start, start + at_once)
