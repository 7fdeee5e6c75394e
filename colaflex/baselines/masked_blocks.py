"""Generation by masked diffusion: block by block, and within a block the surest tokens first.

References:
    Large Language Diffusion Models (LLaDA; Nie et al., 2025), section 2.4,
    https://arxiv.org/abs/2502.09992.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from colaflex.baselines.configs import MaskedDiffusionConfig
from colaflex.baselines.continuation import gained_tokens, never_drawn, tokens_seen
from colaflex.generation.token_sampling import draw_tokens
from colaflex.interfaces.language_model import GeneratedTokens
from colaflex.interfaces.noise import SampleNoise
from colaflex.interfaces.options import SamplingOptions, TokenSampling
from colaflex.interfaces.values import Vocabulary

__all__ = ["MaskPredictor", "MaskedBlocks"]


class MaskPredictor(Protocol):
    """What generation asks of a model that fills in masks.

    Attributes:
        config: its options; generation looks at `remasking`.
        vocabulary: the tokens.
        max_tokens: of the canvas.
        excluded: (vocabulary,) bool, tokens that are never predicted.
    """

    config: MaskedDiffusionConfig
    vocabulary: Vocabulary
    max_tokens: int
    excluded: Tensor

    @property
    def block(self) -> int:
        """Places that are filled together."""

    @property
    def context(self) -> int:
        """Tokens that a row which fills its canvas goes on behind."""

    def logits(self, canvas: Tensor, places: Tensor | None = None) -> Tensor:
        """(rows, n, vocabulary) at n places of (rows, max_tokens) tokens, known or masked."""


@dataclass
class _Row:
    """A row still being continued."""

    index: int
    key: str
    tokens: list[int]
    prompt: int
    blocks: int = 0

    @property
    def produced(self) -> int:
        return len(self.tokens) - self.prompt


@dataclass
class _Canvas:
    """The rows of a block: what is known, and where the block lies.

    Attributes:
        tokens: (rows, max_tokens + block), the mask where unknown; behind the canvas is scratch.
        prompt: (rows, max_tokens) bool, places of the prompt.
        places: (rows, block) of the block.
        hidden: (rows, block) bool, places that are still to be filled.
    """

    tokens: Tensor
    prompt: Tensor
    places: Tensor
    hidden: Tensor

    def block(self) -> Tensor:
        """(rows, block) tokens."""
        return self.tokens.gather(1, self.places)


class MaskedBlocks:
    """Continues prompts with a masked diffusion model.

    The places behind what is known are masked up to the end of the canvas, as in training; the next
    `block_size` of them are filled before those behind. A row that fills its canvas goes on behind
    its last tokens, with room for a block, but for no more than half a canvas.

    Args:
        model: a trained model.
        sampling: steps of a block, and guidance.
        token_sampling: how tokens are drawn.
        most: new tokens of a row.
    """

    def __init__(
        self,
        model: MaskPredictor,
        sampling: SamplingOptions,
        token_sampling: TokenSampling,
        most: int,
    ) -> None:
        self.model, self.sampling, self.token_sampling = model, sampling, token_sampling
        self.most = most
        self.size, self.context = model.block, model.context
        self.banned = never_drawn(model.vocabulary, model.excluded.device)

    @torch.no_grad()
    def run(
        self, prompts: Sequence[Sequence[int]], keys: Sequence[str]
    ) -> Iterator[list[GeneratedTokens]]:
        """One list per block, of the rows that were still going; the keys key their draws."""
        going = [
            _Row(index, key, list(prompt), len(prompt))
            for index, (prompt, key) in enumerate(zip(prompts, keys, strict=True))
        ]
        if self.most <= 0 and going:
            yield [GeneratedTokens(row.index, (), "length") for row in going]
            return
        while going:
            blocks = self._filled(going)
            gains = [self._gain(row, block) for row, block in zip(going, blocks, strict=True)]
            yield gains
            going = [row for row, gain in zip(going, gains, strict=True) if gain.finish is None]

    def _gain(self, row: _Row, block: list[int]) -> GeneratedTokens:
        """What a row gains of its block."""
        end = self.model.vocabulary.end_of_text
        gain = gained_tokens(row.index, block, end, self.most - row.produced)
        row.tokens += gain.tokens
        row.blocks += 1
        return gain

    def _filled(self, rows: Sequence[_Row]) -> list[list[int]]:
        """The tokens of each row's next block."""
        canvas, seen = self._begun(rows)
        length = canvas.hidden.sum(1)
        steps = min(self.sampling.steps, self.size)
        for step in range(steps):
            noise = SampleNoise(tuple(f"{row.key}/{row.blocks}/{step}" for row in rows))
            left = length * (steps - 1 - step) // steps
            self._reveal(canvas, canvas.hidden.sum(1) - left, noise, seen)
        return [
            block[:count]
            for block, count in zip(canvas.block().tolist(), length.tolist(), strict=True)
        ]

    def _begun(self, rows: Sequence[_Row]) -> tuple[_Canvas, Tensor]:
        """The canvas of each row with its next block masked; and the tokens it has seen."""
        width, vocabulary, device = self.model.max_tokens, self.model.vocabulary, self.banned.device
        tokens = torch.full((len(rows), width + self.size), vocabulary.mask)
        prompt = torch.zeros(len(rows), width, dtype=torch.bool)
        known = torch.zeros(len(rows), 1, dtype=torch.int64)
        for i, row in enumerate(rows):
            start = 0 if len(row.tokens) < width else len(row.tokens) - self.context
            context = torch.tensor(row.tokens[start:], dtype=torch.int64)
            tokens[i, : len(context)] = context
            prompt[i, : max(0, row.prompt - start)] = True
            known[i] = len(context)
        places = known + torch.arange(self.size)
        canvas = _Canvas(*(t.to(device) for t in (tokens, prompt, places, places < width)))
        return canvas, tokens_seen([row.tokens for row in rows], vocabulary, device)

    def _reveal(self, canvas: _Canvas, counts: Tensor, noise: SampleNoise, seen: Tensor) -> None:
        """Draw all hidden tokens of the block, and keep (rows,) `counts` of them."""
        logits = self._logits(canvas)
        slots = functional.pad(logits, (0, 1), value=-torch.inf)[:, :, None]
        drawn = draw_tokens(
            slots, self.token_sampling, noise, seen.clone(), self.banned, ~canvas.hidden
        )[..., 0]
        if self.model.config.remasking == "random":
            merit = noise.uniform("order", (self.size,), logits)
        else:
            merit = logits.softmax(-1).gather(-1, drawn[..., None])[..., 0]
        merit = merit.masked_fill(~canvas.hidden, -1.0)
        rank = merit.argsort(dim=1, descending=True, stable=True).argsort(1)
        revealed = canvas.hidden & (rank < counts[:, None])
        canvas.tokens.scatter_(1, canvas.places, torch.where(revealed, drawn, canvas.block()))
        canvas.hidden &= ~revealed
        row, place = revealed.nonzero(as_tuple=True)
        seen[row, drawn[row, place]] = True

    def _logits(self, canvas: _Canvas) -> Tensor:
        """(rows, block, vocabulary), guided: the unconditional branch does not see the prompt."""
        width, guidance = self.model.max_tokens, self.sampling.guidance
        tokens, places = canvas.tokens[:, :width], canvas.places.clamp(max=width - 1)
        if guidance == 1:
            return self.model.logits(tokens, places)
        blind = tokens.masked_fill(canvas.prompt, self.model.vocabulary.mask)
        both = self.model.logits(torch.cat([tokens, blind]), places.repeat(2, 1))
        conditional, unconditional = both.chunk(2)
        # The mask is excluded from both branches; -inf must not meet its opposite.
        mixed = guidance * conditional + (1 - guidance) * unconditional
        return mixed.masked_fill(self.model.excluded, -torch.inf)
