"""A small autoregressive language model that judges texts by their likelihood.

It learns from the corpus's `judge` split, which no model under test sees. It is a yardstick of this
project, not a known model: its own held-out NLL is reported beside every judgement. Its network is
a plain pre-norm causal transformer, independent of the models that it judges.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.interfaces.metric import Measurement

__all__ = [
    "Documents",
    "Judge",
    "JudgeNetwork",
    "JudgeSettings",
    "batches_of",
    "padded",
    "token_losses",
    "windows_of",
]

_SCORED_TOKENS = 4096  # a batch without gradients

Documents = Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """Size and training of a judge.

    Attributes:
        steps: training steps at most; it stops where the held-out NLL no longer falls.
        width: of the residual stream, a multiple of 2 · heads.
        layers: transformer layers.
        heads: attention heads.
        batch_size: rows of `max_tokens` in a training step, more where documents are shorter.
        max_tokens: longest row; longer documents are cut into rows.
        learning_rate: at its peak, of Muon and AdamW.
        weight_decay: Muon's, on the layers' matrices.
        seed: of initial weights and order.
    """

    steps: int = 300
    width: int = 128
    layers: int = 4
    heads: int = 4
    batch_size: int = 4
    max_tokens: int = 256
    learning_rate: float = 1e-2
    weight_decay: float = 0.1
    seed: int = 0


class JudgeNetwork(nn.Module):
    """(batch, tokens) ids to (batch, tokens, vocabulary) logits of the next token.

    Rotary positions, GELU, embeddings tied to the output layer.
    """

    rotation: Tensor

    def __init__(
        self, vocabulary: int, width: int, layers: int, heads: int, max_tokens: int
    ) -> None:
        """Draw initial weights from torch's global generator."""
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.layers = nn.ModuleList(_Layer(width, heads, layers) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.register_buffer("rotation", _rotation(max_tokens, width // heads), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits; row t of a sequence sees tokens up to t."""
        rotation = self.rotation[:, : tokens.shape[1]]
        states = self.embedding(tokens) * self.embedding.embedding_dim**0.5
        for layer in self.layers:
            states = layer(states, rotation)
        return functional.linear(self.norm(states), self.embedding.weight)

    def flops(self, batch: int, tokens: int) -> int:
        """Model FLOPs of one forward pass."""
        width, linear = self.embedding.embedding_dim, self.embedding.weight.numel()
        linear += sum(m.weight.numel() for m in self.layers.modules() if isinstance(m, nn.Linear))
        pairs = tokens * (tokens + 1) // 2
        return batch * (2 * tokens * linear + 4 * len(self.layers) * pairs * width)


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attend = nn.Linear(width, 3 * width, bias=False)
        self.attended = nn.Linear(width, width, bias=False)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)
        for out in (self.attended, self.narrow):  # the residual stream keeps its scale with depth
            nn.init.normal_(out.weight, std=0.02 / (2 * layers) ** 0.5)

    def forward(self, states: Tensor, rotation: Tensor) -> Tensor:
        batch, tokens, width = states.shape
        heads = self.attend(self.norms[0](states)).view(batch, tokens, 3, self.heads, -1)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(
            _rotate(query, rotation), _rotate(key, rotation), value, is_causal=True
        )
        mixed = mixed.transpose(1, 2).reshape(batch, tokens, width)
        states = states + self.attended(mixed)
        hidden = functional.gelu(self.widen(self.norms[1](states)), approximate="tanh")
        output: Tensor = states + self.narrow(hidden)
        return output


def _rotation(tokens: int, size: int) -> Tensor:
    """(2, tokens, size / 2) cosines and sines."""
    frequencies = 10_000.0 ** (-torch.arange(0, size, 2) / size)
    angles = torch.arange(tokens)[:, None] * frequencies
    return torch.stack([angles.cos(), angles.sin()])


def _rotate(vectors: Tensor, rotation: Tensor) -> Tensor:
    cosine, sine = rotation
    one, two = vectors.chunk(2, -1)
    return torch.cat([one * cosine - two * sine, two * cosine + one * sine], -1)


class Judge:
    """A trained judge.

    Attributes:
        end_of_text: id that ends a document, and stands before its first token as context.
        held_out: its NLL on documents kept from its training, nats per token.
        identity: of its documents, vocabulary and settings; two judges of one identity agree.
    """

    def __init__(
        self,
        network: JudgeNetwork,
        settings: JudgeSettings,
        end_of_text: int,
        held_out: Measurement,
        identity: str = "",
    ) -> None:
        self._network, self._settings = network.eval(), settings
        self.end_of_text, self.held_out, self.identity = end_of_text, held_out, identity

    @torch.no_grad()
    def nll(self, documents: Documents) -> list[tuple[float, int]]:
        """-log p of every document in nats, and its number of tokens.

        A document that is whole ends with end-of-text, which counts. Documents longer than a
        row are read in overlapping windows, each token with half a row or more before it.
        """
        totals = np.zeros(len(documents))
        windows, owners, skips = [], [], []
        for index, document in enumerate(documents):
            for window, skip in windows_of(document, self.end_of_text, self._settings.max_tokens):
                windows.append(window)
                owners.append(index)
                skips.append(skip)
        for chosen in batches_of(windows, _SCORED_TOKENS):
            inputs, targets = padded([windows[i] for i in chosen])
            for row, i in enumerate(chosen):
                targets[row, : skips[i]] = -1
            losses = token_losses(self._network, inputs, targets).sum(1).double()
            np.add.at(totals, [owners[i] for i in chosen], losses.numpy())
        return [(float(t), len(d)) for t, d in zip(totals, documents, strict=True)]


def windows_of(
    document: Sequence[int], end_of_text: int, max_tokens: int, overlap: bool = True
) -> Iterator[tuple[list[int], int]]:
    """Windows of max_tokens + 1 tokens, the first beginning with end-of-text as the first context.

    Yields each with the number of its targets that an earlier window has scored.
    """
    full = [end_of_text, *document]
    stride = max(1, max_tokens // 2) if overlap else max_tokens
    for start in range(0, len(document), stride):
        if start == 0 or start + (max_tokens - stride) < len(document):
            yield full[start : start + max_tokens + 1], (max_tokens - stride if start else 0)


def batches_of(rows: Sequence[Sequence[int]], batch_tokens: int) -> list[list[int]]:
    """Indices of rows grouped by length, so that rows times longest is at most batch_tokens."""
    batches: list[list[int]] = []
    for i in sorted(range(len(rows)), key=lambda i: -len(rows[i])):
        if not batches or (len(batches[-1]) + 1) * len(rows[batches[-1][0]]) > batch_tokens:
            batches.append([])
        batches[-1].append(i)
    return batches


def padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Inputs and targets, (rows, longest - 1); targets behind a row's end are -1."""
    longest = max(len(row) for row in rows)
    grid = np.full((len(rows), longest), -1, dtype=np.int64)
    for line, row in zip(grid, rows, strict=True):
        line[: len(row)] = row
    tokens = torch.from_numpy(grid)
    return tokens[:, :-1].clamp(min=0), tokens[:, 1:].clone()


def token_losses(network: JudgeNetwork, inputs: Tensor, targets: Tensor) -> Tensor:
    """(rows, tokens) -log p of the targets, 0 where the target is -1."""
    logits = network(inputs)
    loss = functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="none"
    )
    return loss.view(targets.shape)
