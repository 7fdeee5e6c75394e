"""The judge's network: a plain pre-norm causal transformer, independent of the models it judges."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["JudgeNetwork"]


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
