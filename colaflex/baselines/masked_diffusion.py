"""Masked diffusion: tokens are hidden at random, and a transformer that sees both sides fills in.

References:
    Large Language Diffusion Models (LLaDA; Nie et al., 2025), section 2,
    https://arxiv.org/abs/2502.09992.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.baselines.configs import MaskedDiffusionConfig
from colaflex.baselines.masked_blocks import MaskedBlocks
from colaflex.baselines.single_stage import SingleStageBaseline
from colaflex.errors import UserError
from colaflex.interfaces.language_model import BlockCost, GeneratedTokens
from colaflex.interfaces.losses import Losses, LossTerm
from colaflex.interfaces.noise import generator_for, row_keys
from colaflex.interfaces.options import SamplingOptions, TokenSampling
from colaflex.interfaces.stage import StageStep
from colaflex.interfaces.values import TokenBatch, Vocabulary
from colaflex.networks.bidirectional import BidirectionalTransformer

__all__ = ["MaskedDiffusion"]

TOKENS_AT_ONCE = 8192
"""Tokens of one pass of the likelihood; bounds the logits in memory."""


class MaskedDiffusion(SingleStageBaseline):
    """p(x) by the recovery of masked tokens, in any order.

    A row is a canvas of `max_tokens`: a document that ends is followed by end-of-text up to the
    canvas's end, masked and learned as all the rest, so that its length is the model's to find;
    what lies behind a window of a longer document is unknown and stays masked, which marginalises
    it. A canvas begins behind one end-of-text that is never masked: without it all places of an
    empty canvas would look alike to rotary positions.

    Args:
        config: sizes, masking and generation.
        vocabulary: the tokens.
        max_tokens: longest row in training: tokens of the canvas.
    """

    config: MaskedDiffusionConfig
    excluded: Tensor

    def __init__(
        self, config: MaskedDiffusionConfig, *, vocabulary: Vocabulary, max_tokens: int
    ) -> None:
        super().__init__(vocabulary)
        self.config, self.max_tokens = config, max_tokens
        self.embedding = nn.Embedding(vocabulary.size, config.width)
        self.transformer = BidirectionalTransformer(
            config.width, config.layers, config.heads, config.feed_forward_ratio, config.rope_theta
        )
        self.head = nn.Linear(config.width, vocabulary.size, bias=False)
        excluded = torch.arange(vocabulary.size) == vocabulary.mask
        self.register_buffer("excluded", excluded, persistent=False)

    def parts(self) -> Mapping[str, nn.Module]:
        """What has weights."""
        return {"embedding": self.embedding, "transformer": self.transformer, "head": self.head}

    def logits(self, canvas: Tensor, places: Tensor | None = None) -> Tensor:
        """Of the token at every place, known or masked; at least fp32, mask excluded.

        Args:
            canvas: (rows, max_tokens) tokens, the mask where they are unknown.
            places: (rows, n) which places are asked for; all by default.

        Returns:
            (rows, n, vocabulary).
        """
        begun = functional.pad(canvas, (1, 0), value=self.vocabulary.end_of_text)
        states = self.transformer(self.embedding(begun))[:, 1:]
        if places is not None:
            states = states.gather(1, places[..., None].expand(-1, -1, states.shape[-1]))
        logits: Tensor = self.head(states)
        wide = torch.promote_types(logits.dtype, torch.float32)
        return logits.to(wide).masked_fill(self.excluded, -torch.inf)

    # Training.

    def losses(self, batch: TokenBatch, step: StageStep) -> Losses:
        """Σ over masked tokens of -log p / (probability of being masked) (LLaDA, eq. 3)."""
        tokens, learned = self.canvas(batch)
        like = torch.empty(0, device=tokens.device)
        probability = self._mask_probability(len(tokens), step).to(like)[:, None]
        hidden = step.noise.uniform("mask", tokens.shape, like) < probability
        weighted = self._nll(tokens, hidden | ~learned) / probability
        return {"nll": LossTerm(torch.where(hidden & learned, weighted, 0.0).sum(), "tokens")}

    def _mask_probability(self, rows: int, step: StageStep) -> Tensor:
        """(rows,) of t ~ U(0, 1), one in each of as many equal parts as the batch has rows."""
        noise = step.noise
        total = noise.first + rows if noise.total is None else noise.total
        part = (noise.first + torch.arange(rows)) / total
        times = (noise.of_step("time") + part) % 1.0
        return (1 - self.config.mask_floor) * times + self.config.mask_floor

    def training_flops(self, batch: TokenBatch) -> int:
        """Model FLOPs of one training step: whole canvases, whatever the rows' lengths."""
        rows = len(batch.lengths)
        head = 2 * self.max_tokens * self.head.weight.numel()
        return 3 * (self.transformer.flops(rows, self.max_tokens + 1) + rows * head)

    def canvas(self, batch: TokenBatch) -> tuple[Tensor, Tensor]:
        """Rows on their canvas.

        Returns:
            (rows, max_tokens) tokens, end-of-text behind each row's own; and bool, those that are
            learned: all of a complete document, of another row its own.

        Raises:
            UserError: a row is longer than the canvas.
        """
        size, width = self.max_tokens, batch.tokens.shape[1]
        if width > size and int(batch.lengths.max()) > size:
            longest = int(batch.lengths.max())
            raise UserError(
                f"masked_diffusion: a row of {longest} tokens is longer than those of its training "
                f"(training.max_tokens, {size})"
            )
        end = self.vocabulary.end_of_text
        tokens = functional.pad(batch.tokens[:, :size], (0, max(0, size - width)), value=end)
        own = torch.arange(size, device=tokens.device) < batch.lengths[:, None]
        return torch.where(own, tokens, end), own | batch.complete[:, None]

    def _nll(self, tokens: Tensor, hidden: Tensor) -> Tensor:
        """(rows, max_tokens) -log p of every token where the hidden ones are masked, nats."""
        logits = self.logits(tokens.masked_fill(hidden, self.vocabulary.mask))
        nll = functional.cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction="none")
        return nll.view(tokens.shape)

    # Use.

    @torch.no_grad()
    def log_likelihood(self, tokens: TokenBatch) -> Tensor:
        """(batch,) a lower bound on log p of every row, nats, by `likelihood_samples` maskings.

        E over l ~ U{1..L} and l of L tokens masked of L/l · Σ log p(masked token), LLaDA's eq. 6;
        the l lie in equal parts of 1..L. The draws are keyed by the row alone, so that the result
        is a function of it.
        """
        bounds = [
            self._bound(row, learned) for row, learned in zip(*self.canvas(tokens), strict=True)
        ]
        return torch.stack(bounds)

    def _bound(self, tokens: Tensor, learned: Tensor) -> Tensor:
        samples, length = self.config.likelihood_samples, int(learned.sum())
        draws = generator_for("masks", tokens[:length].tolist())
        offset = torch.rand((), generator=draws, dtype=torch.float64)
        part = (torch.arange(samples, dtype=torch.float64) + offset) / samples
        counts = 1 + (part * length).long().clamp(max=max(0, length - 1))
        places = torch.rand(samples, length, generator=draws).argsort(1).argsort(1)
        chosen = functional.pad(places < counts[:, None], (0, len(tokens) - length))
        sums = []
        for part_chosen in chosen.to(tokens.device).split(max(1, TOKENS_AT_ONCE // len(tokens))):
            nll = self._nll(tokens.expand(part_chosen.shape), part_chosen | ~learned)
            sums.append(torch.where(part_chosen, nll, 0.0).sum(1))
        return -(torch.cat(sums) * (length / counts).to(sums[0])).mean()

    @property
    def block(self) -> int:
        """Places that are filled together."""
        return min(self.config.block_size, self.max_tokens)

    @property
    def context(self) -> int:
        """Tokens that a row which fills its canvas goes on behind."""
        return self.max_tokens - min(self.block, max(1, self.max_tokens // 2))

    def heard(self, length: int) -> int:
        """All that leave room on the canvas, else the last ones; see `LanguageModel.heard`."""
        return length if length < self.max_tokens else self.context

    def generate_tokens(
        self,
        prompts: Sequence[Sequence[int]],
        seed: int,
        max_new_tokens: int,
        latent_sampling: SamplingOptions,
        token_sampling: TokenSampling,
        earlier: Sequence[Sequence[int]] = (),
    ) -> Iterator[Sequence[GeneratedTokens]]:
        """`block_size` tokens of every row at a time; see `LanguageModel.generate_tokens`."""
        blocks = MaskedBlocks(self, latent_sampling, token_sampling, max_new_tokens)
        return blocks.run(prompts, row_keys(prompts, seed, earlier))

    def network_evaluations(self, options: SamplingOptions) -> BlockCost:
        """One a step, two where guided; no more steps than tokens."""
        tokens = min(self.config.block_size, self.max_tokens)
        branches = 1 if options.guidance == 1 else 2
        return BlockCost(min(options.steps, tokens) * branches, tokens)
