"""Segments that begin where the next token is hard to foresee.

References:
    Byte Latent Transformer (Pagnoni et al., 2024), section 2.3: patches by the entropy of a small
    language model, with a global threshold, https://arxiv.org/abs/2412.09871.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.interfaces.losses import Losses, LossTerm
from colaflex.interfaces.segmenter import Segmenter
from colaflex.interfaces.values import Segmentation, TokenBatch, Vocabulary
from colaflex.networks.causal import CausalTransformer
from colaflex.segmenters.configs import EntropyConfig
from colaflex.segmenters.cutting import cut_rows

__all__ = ["Entropy"]

PACE = 10.0
"""Nats per unit of the threshold's parameter, so that usual learning rates move it far enough."""


class Entropy(Segmenter):
    """A segment begins at token i where H(x_i | x_<i) is above a threshold.

    The language model learns beside the representation in stage 1. The threshold is the quantile
    of the entropies that leaves the rate: it learns too, by the pinball loss (Koenker and Bassett,
    1978), and so needs no pass over the corpus and is one for any number of processes. Boundaries
    at `max_tokens` come on top. A segment ends behind end-of-text.
    """

    def __init__(self, config: EntropyConfig, *, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.config, self.end_of_text = config, vocabulary.end_of_text
        self.embedding = nn.Embedding(vocabulary.size, config.width)
        self.model = CausalTransformer(config.width, config.layers, config.heads)
        self.head = nn.Linear(config.width, vocabulary.size)
        self.level = nn.Parameter(torch.tensor(math.log(vocabulary.size) / 2 / PACE))
        nn.init.normal_(self.embedding.weight, std=1.0)

    @property
    def threshold(self) -> Tensor:
        """In nats."""
        return self.level * PACE

    def segment(self, tokens: TokenBatch, states: Tensor | None = None) -> Segmentation:
        """Segment every row; `states` are not looked at."""
        del states
        if tokens.segments is not None:
            return Segmentation(tokens.segments)
        before = functional.pad(tokens.tokens, (1, 0), value=self.end_of_text)[:, :-1]
        if not before.numel():
            return cut_rows(tokens, self.config.max_tokens)
        with torch.no_grad():
            unsure = entropies(self.logits(before)) > self.threshold
        return cut_rows(tokens, self.config.max_tokens, unsure | (before == self.end_of_text))

    def logits(self, before: Tensor) -> Tensor:
        """(batch, tokens) tokens before each place -> (batch, tokens, size) logits of the place."""
        logits: Tensor = self.head(self.model(self.embedding(before)))
        return logits if logits.dtype == torch.float64 else logits.float()

    def losses(self, tokens: TokenBatch, segmentation: Segmentation) -> Losses:
        """Terms "next_token" (nats) and "threshold" (pinball loss); "boundary_rate" is reported."""
        before = functional.pad(tokens.tokens, (1, 0), value=self.end_of_text)[:, :-1]
        # Fillers behind a document's end are no text.
        counted = tokens.mask & (before != self.end_of_text)
        logits, target = self.logits(before)[counted], tokens.tokens[counted]
        excess = entropies(logits.detach()) - self.threshold
        pinball = torch.maximum((1 - self.config.rate) * excess, -self.config.rate * excess)
        begun = segmentation.mask.sum().to(logits.dtype)
        return {
            "next_token": LossTerm(
                functional.cross_entropy(logits, target, reduction="sum"), "tokens"
            ),
            "threshold": LossTerm(pinball.sum(), "tokens"),
            "boundary_rate": LossTerm(begun, "tokens", 0.0),
        }

    def flops(self, batch: int, tokens: int) -> int:
        """Model FLOPs of the language model's forward pass."""
        return self.model.flops(batch, tokens) + 2 * batch * tokens * self.head.weight.numel()


def entropies(logits: Tensor) -> Tensor:
    """(..., size) -> (...): entropy in nats."""
    log_p = logits.log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1)
