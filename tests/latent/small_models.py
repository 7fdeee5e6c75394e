"""A small latent model with random weights, and rows of random tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import colaflex
from colaflex.host.registry import registry
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.values import TokenBatch, Vocabulary
from colaflex.latent.language_model import LatentLanguageModel
from colaflex.spec.training import Training

END, MASK = 0, 1
VOCABULARY = Vocabulary(12, end_of_text=END, mask=MASK)
DIM = 4


def small_model(
    training: Training | None = None,
    prior: str = "flow_matching",
    size: int = 2,
    block: int = 2,
    max_tokens: int = 24,
    representation: str = "text_vae",
    run: int = 0,
    **options: Any,
) -> LatentLanguageModel:
    """The same weights at every call; they are all random, so that nothing is hidden by zeros."""
    shape = {"width": 32, "layers": 2, "heads": 2, "time_width": 16}
    if representation == "token_embedding":
        size = 1
    else:
        options = {"width": 32, "heads": 2, "embedding_dim": 8, **options}
    segments = registry().config("segmenter", {"type": "fixed_patch", "size": size})
    if run:
        options = {**options, "group": run + 1}
        segments = registry().config("segmenter", {"type": "pyramid", "run": run, "fine": segments})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LatentLanguageModel(
            registry().build(segments),
            colaflex.build(
                "representation",
                representation,
                vocabulary=VOCABULARY,
                max_segment_tokens=size,
                latent_dim=DIM,
                **options,
            ),
            colaflex.build(
                "prior",
                prior,
                latent_dim=DIM,
                block_size=block,
                network={"type": "block_causal", **shape},
            ),
            VOCABULARY,
            segments.capabilities(),
            training=training,
            max_tokens=max_tokens,
        )
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                small = "modulation" in name or "head" in name or "output" in name
                if parameter.ndim > 1 and (small or "down" in name):
                    parameter.normal_(std=0.15)
            if representation != "token_embedding":
                model.representation.unembedding.weight.mul_(3.0)
    return model


def token_bias(model: LatentLanguageModel) -> Tensor:
    """The bias of every token's logit."""
    part: Any = model.representation
    bias: Tensor = part.bias if hasattr(part, "bias") else part.unembedding.bias
    return bias


def rows(lengths: list[int], complete: list[bool] | bool = True, width: int = 0) -> TokenBatch:
    """Random tokens, a row of each length; a complete row ends with end-of-text."""
    draws = torch.Generator().manual_seed(sum(lengths))
    count, width = torch.tensor(lengths), max(width, *lengths)
    ends = torch.tensor(complete if isinstance(complete, list) else [complete] * len(lengths))
    tokens = torch.randint(2, VOCABULARY.size, (len(lengths), width), generator=draws)
    tokens[torch.arange(width) >= (count - ends.long())[:, None]] = END
    return TokenBatch(tokens, count, ends)


def step_noise(batch: TokenBatch, step: int = 0, seed: int = 0) -> Noise:
    return Noise(seed, step, "test", 0, len(batch.lengths))
