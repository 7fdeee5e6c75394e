"""Small representations with random weights, and rows of random tokens in segments."""

from __future__ import annotations

from typing import Any

import torch

import colaflex
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.values import Segmentation, TokenBatch, Vocabulary

SIZE, SLOTS, DIM = 13, 3, 4
VOCABULARY = Vocabulary(SIZE, end_of_text=0, mask=1)
LENGTHS = ([3, 3, 1, 2], [2, 3, 0, 0], [3, 3, 3, 3], [1, 0, 0, 0])
"""Tokens of each segment, in four rows; 0 behind a row's last one."""


def build(double: bool = True, name: str = "text_vae", slots: int = SLOTS, **options: Any) -> Any:
    """The same weights at every call."""
    torch.manual_seed(0)
    shape = {"width": 32, "heads": 2, "embedding_dim": 8} if name != "token_embedding" else {}
    made = colaflex.build(
        "representation",
        name,
        vocabulary=VOCABULARY,
        max_segment_tokens=slots,
        **{"latent_dim": DIM, **shape, **options},
    )
    for parameter_name, parameter in made.named_parameters():
        # Small at first: would hide mistakes.
        if "attention.output" in parameter_name or "feed.down" in parameter_name:
            torch.nn.init.normal_(parameter, std=0.3)
    return made.double() if double else made


def batch(
    lengths: Any = LENGTHS, seed: int = 0, width: int = 12
) -> tuple[TokenBatch, Segmentation]:
    """Rows of random tokens with these segments."""
    generator = torch.Generator().manual_seed(seed)
    cut = torch.tensor(lengths)
    tokens = torch.randint(2, SIZE, (len(cut), width), generator=generator)
    total = cut.sum(1)
    tokens[torch.arange(width) >= total[:, None]] = 0
    return TokenBatch(tokens, total, torch.ones(len(cut), dtype=torch.bool)), Segmentation(cut)


def noise(step: int = 0, first: int = 0) -> Noise:
    """The draws of a step."""
    return Noise(7, step, "test", first, len(LENGTHS))


def trained(made: Any, steps: int, choices: Any = LENGTHS[:3], rows: int = 32) -> Any:
    """The representation after some steps on random text in rows of these segments."""
    optimizer = torch.optim.AdamW(made.parameters(), lr=4e-3)
    order, cut = torch.Generator().manual_seed(5), torch.tensor(choices)
    for step in range(steps):
        lengths = cut[torch.randint(len(cut), (rows,), generator=order)].tolist()
        tokens, segmentation = batch(lengths, seed=100 + step)
        terms = made.losses(tokens, segmentation, Noise(0, step)).losses
        counts = {"tokens": tokens.lengths.sum(), "latents": segmentation.count.sum()}
        loss = sum(t.weight * t.total / counts[t.per] for t in terms.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return made
