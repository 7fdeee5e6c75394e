"""Segments that begin where a learned scorer says so, by the states of neighbouring tokens.

References:
    H-Net (Hwang, Wang and Gu, 2025), sections 2.2 and 2.3: routing by similarity and the ratio
    loss, https://arxiv.org/abs/2507.07955.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.interfaces.losses import Losses, LossTerm
from colaflex.interfaces.segmenter import Segmenter
from colaflex.interfaces.values import Segmentation, TokenBatch, Vocabulary
from colaflex.segmenters.configs import LearnedBoundaryConfig
from colaflex.segmenters.cutting import cut_rows

__all__ = ["LearnedBoundary"]

PACE = 10.0
"""Cosine per unit of the level's parameter, so that usual learning rates move it far enough."""


class LearnedBoundary(Segmenter):
    """A segment begins at token i where p_i = (1 + level - cos(W_q h_i, W_k h_(i-1))) / 2 >= 1/2.

    h are the representation's causal token states. p is 1 at a row's first token and behind
    end-of-text. What the representation makes of p teaches the scorer, and a head that foresees the
    next token from h makes the states tell where something new begins. The ratio loss pulls towards
    the rate; the level, 0 in H-Net, follows the cosine's quantile until the rate is met.

    Args:
        config: target rate, longest segment and weights.
        width: channels of the token states.
        vocabulary: the tokens.
    """

    config: LearnedBoundaryConfig

    def __init__(
        self, config: LearnedBoundaryConfig, *, width: int, vocabulary: Vocabulary
    ) -> None:
        super().__init__()
        self.config, self.end_of_text = config, vocabulary.end_of_text
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        for projection in (self.query, self.key):
            nn.init.eye_(projection.weight)
        self.head = nn.Linear(width, vocabulary.size) if config.next_token_weight else None
        self.level = nn.Parameter(torch.zeros(()))

    def segment(self, tokens: TokenBatch, states: Tensor | None = None) -> Segmentation:
        """Segment every row by its token states."""
        if states is None:
            raise ValueError("learned boundaries need token states")
        p = self.probabilities(tokens, states)
        if tokens.segments is not None:
            return Segmentation(tokens.segments, p)
        cut = cut_rows(tokens, self.config.max_tokens, p.detach() >= 0.5)
        return replace(cut, boundary_probability=p)

    def probabilities(self, tokens: TokenBatch, states: Tensor) -> Tensor:
        """(batch, tokens): of a boundary before each token."""
        query, key = self.query(states[:, 1:]), self.key(states[:, :-1])
        if query.dtype != torch.float64:  # decisions are never made in bf16
            query, key = query.float(), key.float()
        level = self.level.detach() * PACE
        p = (1 + level - functional.cosine_similarity(query, key, dim=-1)) / 2
        p = functional.pad(p.clamp(0, 1), (1, 0), value=1.0)
        return torch.where(self._filler(tokens), 1.0, p)

    def _filler(self, tokens: TokenBatch) -> Tensor:
        """(batch, tokens) bool: what stands behind end-of-text."""
        ends = tokens.tokens[:, :-1] == self.end_of_text
        return functional.pad(ends, (1, 0), value=False)

    def losses(self, tokens: TokenBatch, segmentation: Segmentation) -> Losses:
        """Terms "ratio", "threshold" and "next_token" (nats); "boundary_rate" is reported.

        The ratio loss N / (N - 1) ((1 - F) (1 - G) + (N - 1) F G), 1 / N the target, is taken row
        by row, weighted by the row's tokens, so that the parts of a split batch add up to the
        whole. F is the share of tokens that begin a segment, unforced, G the mean p. The
        threshold's gradient, F - 1 / N for each token, is that of a pinball loss.
        """
        p = segmentation.boundary_probability
        assert p is not None
        text = tokens.mask & ~self._filler(tokens)
        counted = functional.pad(text[:, 1:], (1, 0), value=False)  # where there is a choice
        if tokens.forced is not None:
            counted = counted & ~tokens.forced
        number = counted.sum(1)
        many = number.clamp(min=1)
        starts = (self._starts(tokens, segmentation) & counted).sum(1)
        actual = starts / many
        mean = torch.where(counted, p, 0.0).sum(1) / many
        n = 1 / self.config.rate
        ratio = n / (n - 1) * ((1 - actual) * (1 - mean) + (n - 1) * actual * mean)
        begun = segmentation.mask.sum().to(p.dtype)
        terms = {
            "ratio": LossTerm((ratio * number).sum(), "tokens", self.config.rate_weight),
            "threshold": LossTerm(
                self.level * (starts - self.config.rate * number).sum(), "tokens"
            ),
            "boundary_rate": LossTerm(begun, "tokens", 0.0),
        }
        if self.head is not None and segmentation.states is not None:
            terms["next_token"] = self._next_token(tokens, segmentation.states, text)
        return terms

    def _starts(self, tokens: TokenBatch, segmentation: Segmentation) -> Tensor:
        """(batch, tokens) bool: where segments begin."""
        places = torch.zeros(len(tokens.tokens), tokens.tokens.shape[1] + 1, dtype=torch.bool)
        places = places.to(tokens.tokens.device)
        return places.scatter_(1, segmentation.starts, segmentation.mask)[:, :-1]

    def _next_token(self, tokens: TokenBatch, states: Tensor, text: Tensor) -> LossTerm:
        assert self.head is not None
        foreseen = text[:, 1:]
        logits, target = self.head(states[:, :-1][foreseen]), tokens.tokens[:, 1:][foreseen]
        logits = logits if logits.dtype == torch.float64 else logits.float()
        total = functional.cross_entropy(logits, target, reduction="sum")
        return LossTerm(total, "tokens", self.config.next_token_weight)

    def flops(self, batch: int, tokens: int) -> int:
        """Model FLOPs of scorer and head."""
        linear = [m.weight.numel() for m in self.modules() if isinstance(m, nn.Linear)]
        return 2 * batch * tokens * sum(linear)
