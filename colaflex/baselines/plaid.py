"""Plaid: diffusion on learned token embeddings, trained by its variational bound.

References:
    Likelihood-Based Diffusion Language Models (Gulrajani and Hashimoto, 2023),
    https://arxiv.org/abs/2305.18619; Variational Diffusion Models (Kingma et al., 2021),
    https://arxiv.org/abs/2107.00630; Analog Bits (Chen et al., 2022), for self-conditioning,
    https://arxiv.org/abs/2208.04202.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.baselines.configs import PlaidConfig
from colaflex.baselines.noise_schedule import NoiseSchedule, signal_and_noise
from colaflex.baselines.plaid_denoiser import Denoiser, Points
from colaflex.baselines.plaid_sampling import Sampler
from colaflex.baselines.single_stage import SingleStageBaseline
from colaflex.interfaces.component import Builder
from colaflex.interfaces.conformance import Conformance
from colaflex.interfaces.language_model import BlockCost, GeneratedTokens
from colaflex.interfaces.losses import Losses, LossTerm
from colaflex.interfaces.noise import Noise, SampleNoise
from colaflex.interfaces.one_line import one_line
from colaflex.interfaces.options import SamplingOptions, TokenSampling
from colaflex.interfaces.stage import StageStep
from colaflex.interfaces.values import TokenBatch, Vocabulary

__all__ = ["Blocks", "Plaid"]

GOLDEN = 0.6180339887498949
"""Blocks of a row have times apart by this, so that those of a batch are spread evenly."""


@dataclass(frozen=True)
class Blocks:
    """Rows of tokens as blocks, (rows, blocks, block) each.

    Attributes:
        tokens: ids; end-of-text fills what is left of a complete row's last block.
        counted: bool, positions that the bound is of: all of a complete row's blocks.
        unknown: bool, what is left of the last block of a row that goes on, nobody knows how.
    """

    tokens: Tensor
    counted: Tensor
    unknown: Tensor

    __repr__ = one_line

    @classmethod
    def of(cls, batch: TokenBatch, block: int, end_of_text: int) -> Blocks:
        """Cut rows into blocks."""
        blocks = max(1, -(-batch.tokens.shape[1] // block))
        spare = blocks * block - batch.tokens.shape[1]
        tokens = functional.pad(batch.tokens, (0, spare), value=end_of_text)
        place = torch.arange(blocks * block, device=tokens.device)
        full = (batch.lengths + block - 1) // block * block
        counted = place < torch.where(batch.complete, full, batch.lengths)[:, None]
        unknown = (place < full[:, None]) & ~counted
        return cls(*(x.unflatten(1, (blocks, block)) for x in (tokens, counted, unknown)))


class Plaid(SingleStageBaseline):
    """Blocks of token embeddings, each a Gaussian diffusion given the blocks before it."""

    conformance = Conformance(
        options={"block_size": 4, "prompt_share": 0.5, "prompt_dropout": 0.5, "embedding_dim": 4}
    )
    config: PlaidConfig

    def __init__(self, config: PlaidConfig, *, vocabulary: Vocabulary, build: Builder) -> None:
        super().__init__(vocabulary)
        self.config = config
        network = build(config.network, n_times=1)
        self.denoiser = Denoiser(vocabulary.size, config.embedding_dim, config.block_size, network)
        self.schedule = NoiseSchedule(config.first_gamma, config.last_gamma)

    def parts(self) -> Mapping[str, nn.Module]:
        """What has weights."""
        denoiser = self.denoiser
        return {
            "embedding": nn.ModuleList(
                [denoiser.embedding, denoiser.lift, denoiser.marks, denoiser.places]
            ),
            "network": denoiser.network,
            "head": denoiser.head,
            "schedule": self.schedule,
        }

    def generate_tokens(
        self,
        prompts: Sequence[Sequence[int]],
        seed: int,
        max_new_tokens: int,
        latent_sampling: SamplingOptions,
        token_sampling: TokenSampling,
        earlier: Sequence[Sequence[int]] = (),
    ) -> Iterator[Sequence[GeneratedTokens]]:
        """One block of every row at a time; see `LanguageModel.generate_tokens`."""
        sampler = Sampler(
            self.denoiser, self.schedule, self.config, self.vocabulary, latent_sampling
        )
        return sampler.generate(prompts, seed, max_new_tokens, token_sampling, earlier)

    def network_evaluations(self, options: SamplingOptions) -> BlockCost:
        """One a step and one to read the tokens, times guidance branches."""
        branches = 1 if options.guidance == 1.0 else 2
        return BlockCost((options.steps + 1) * branches, self.config.block_size)

    # The bound.

    def log_likelihood(self, tokens: TokenBatch) -> Tensor:
        """(batch,) a bound below log p of every row in nats, estimated at a few levels of noise.

        The draws of a row are keyed by its own tokens, so that the estimate is always the same.
        """
        with torch.no_grad():
            return -self._estimate(tokens)

    def _estimate(self, batch: TokenBatch) -> Tensor:
        blocks = self._blocks(batch)
        table = self.denoiser.table()
        clean = self.denoiser.clean(blocks.tokens, table)
        past, nothing = self.denoiser.past(clean), torch.zeros_like(blocks.unknown)
        noise = SampleNoise(_content_keys(batch))
        count = self.config.likelihood_samples
        readings = max(1, round(count * self.config.reconstruction_share))
        total = (self._prior_kl(clean) * blocks.counted).sum((1, 2))
        for number in range(count + readings):
            offset, eps = self._evaluation_draws(noise, number, clean)
            reading = number >= count
            times = torch.zeros_like(offset) if reading else (number + offset) / count
            levels = self.schedule(times)
            points = self._noised(clean, levels.gamma, eps, nothing, blocks.unknown)
            condition = None
            if self.config.self_conditioning:
                first = self.denoiser.log_probs(points, table, past)
                condition = self.denoiser.guess(first, table)
            log_probs = self.denoiser.log_probs(points, table, past, estimate=condition)
            if reading:
                terms = self._reconstruction(log_probs, blocks.tokens, blocks.counted) / readings
            else:
                guess = self.denoiser.guess(log_probs, table)
                terms = self._diffusion(guess, clean, levels.gamma, levels.slope, blocks.counted)
                terms = terms / count
            total = total + terms.sum(1)
        return total

    @staticmethod
    def _evaluation_draws(noise: SampleNoise, number: int, clean: Tensor) -> tuple[Tensor, Tensor]:
        """An offset a block in [0, 1), and noise; a block's never depend on how many there are."""
        purposes = [f"plaid {number} {block}" for block in range(clean.shape[1])]
        offsets = [noise.uniform(f"{purpose} time", (1,), clean)[:, 0] for purpose in purposes]
        drawn = [noise.normal(purpose, clean.shape[2:], clean) for purpose in purposes]
        return torch.stack(offsets, 1), torch.stack(drawn, 1)

    def losses(self, batch: TokenBatch, step: StageStep) -> Losses:
        """The bound's three terms, each block at one level of noise (or read at t = 0)."""
        blocks, noise, share = self._blocks(batch), step.noise, self.config.reconstruction_share
        table = self.denoiser.table()
        clean = self.denoiser.clean(blocks.tokens, table)
        prompt, blind = self._prompts(blocks, noise)
        hidden = prompt & blind[:, None, None]
        counted = blocks.counted & ~prompt
        place = _stratified(noise, *clean.shape[:2]).to(clean)
        reading = place < share
        levels = self.schedule(((place - share) / (1 - share)).clamp(min=0))
        eps = noise.normal("plaid noise", clean.shape, clean)
        points = self._noised(clean, levels.gamma, eps, prompt & ~hidden, blocks.unknown | hidden)
        past = self.denoiser.past(clean)
        unseeing = blind if clean.shape[1] > 1 else None
        condition = self._first_guess(points, table, past, unseeing, noise)
        log_probs = self.denoiser.log_probs(points, table, past, unseeing, condition)
        guess = self.denoiser.guess(log_probs, table)
        diffusion = self._diffusion(guess, clean, levels.gamma, levels.slope, counted)
        diffusion = torch.where(reading, 0.0, diffusion)
        levels.learn_variance_of(diffusion, counted.sum(-1).clamp(min=1))
        reconstruction = self._reconstruction(log_probs, blocks.tokens, counted)
        return {
            "reconstruction": LossTerm(
                torch.where(reading, reconstruction, 0.0).sum() / share, "tokens"
            ),
            "diffusion": LossTerm(diffusion.sum() / (1 - share), "tokens"),
            "prior": LossTerm((self._prior_kl(clean) * counted).sum(), "tokens"),
        }

    def _first_guess(
        self, points: Points, table: Tensor, past: Any, blind: Tensor | None, noise: Noise
    ) -> Tensor | None:
        """The network's own first guess of some rows, without gradient; nothing of the others."""
        chosen = self._conditioned(noise, len(points.values))
        if not len(chosen):
            return None
        chosen = chosen.to(points.values.device)
        with torch.no_grad():
            seen = past.select(chosen)
            closed = None if blind is None else blind[chosen]
            log_probs = self.denoiser.log_probs(points.rows(chosen), table, seen, closed)
            guess = self.denoiser.guess(log_probs, table)
        return torch.zeros_like(points.values).index_copy(0, chosen, guess)

    def _conditioned(self, noise: Noise, rows: int) -> Tensor:
        """Rows that are conditioned on a first guess: every so many of the whole batch."""
        share, offset = self.config.self_conditioning, noise.of_step("plaid self-conditioning")
        row = noise.first + torch.arange(rows, dtype=torch.float64)
        chosen = ((row + 1) * share + offset).floor() > (row * share + offset).floor()
        return chosen.nonzero()[:, 0]

    def _prompts(self, blocks: Blocks, noise: Noise) -> tuple[Tensor, Tensor]:
        """Positions of a prompt, (rows, blocks, block), and rows that don't see it, (rows,)."""
        rows, count, block = blocks.tokens.shape
        draws = noise.uniform("plaid prompt", (rows, count, 2), self.denoiser.embedding.weight)
        often = draws[..., 0] < noise.in_some_steps(self.config.prompt_share)
        most = blocks.counted.sum(-1)
        length = torch.where(often, (draws[..., 1] * most).long(), 0)
        prompt = torch.arange(block, device=length.device) < length[..., None]
        blind = noise.uniform("plaid blind", (rows,), draws) < self.config.prompt_dropout
        return prompt, blind

    def _noised(
        self, clean: Tensor, gamma: Tensor, eps: Tensor, prompt: Tensor, unknown: Tensor
    ) -> Points:
        alpha, sigma = (each[..., None, None] for each in signal_and_noise(gamma))
        values = torch.where(prompt[..., None], clean, alpha * clean + sigma * eps)
        values = torch.where(unknown[..., None], 0.0, values)
        opens = torch.arange(clean.shape[1], device=clean.device) == 0
        return Points(values, gamma, prompt, unknown, opens[None])

    @staticmethod
    def _diffusion(
        guess: Tensor, clean: Tensor, gamma: Tensor, slope: Tensor, counted: Tensor
    ) -> Tensor:
        """(rows, blocks) nats: -½ SNR'(t) ‖x − x̂‖², with SNR = exp(-gamma)."""
        distance = ((clean - guess).square().sum(-1) * counted).sum(-1)
        return 0.5 * slope * torch.exp(-gamma) * distance

    @staticmethod
    def _reconstruction(log_probs: Tensor, tokens: Tensor, counted: Tensor) -> Tensor:
        """(rows, blocks) nats: cross-entropy of the tokens."""
        chosen = log_probs.gather(-1, tokens[..., None])[..., 0].double()
        return -torch.where(counted, chosen, 0.0).sum(-1)

    def _prior_kl(self, clean: Tensor) -> Tensor:
        """(rows, blocks, block) nats: KL of q(z_1 | x) to the standard normal."""
        gamma = self.schedule.ends()[1]
        variance, log_variance = torch.sigmoid(gamma), functional.logsigmoid(gamma)
        size = torch.sigmoid(-gamma) * clean.square()
        return 0.5 * (variance + size - 1 - log_variance).sum(-1)

    # What it costs.

    def _blocks(self, batch: TokenBatch) -> Blocks:
        return Blocks.of(batch, self.config.block_size, self.vocabulary.end_of_text)

    def training_flops(self, batch: TokenBatch) -> int:
        """Model FLOPs of one training step, but for the clean pass's one time: no row has it."""
        block, network = self.config.block_size, self.denoiser.network
        blocks = max(1, -(-batch.tokens.shape[1] // block))
        dim, width, size = self.config.embedding_dim, network.width, self.vocabulary.size

        def of_a_row(noisings: int) -> int:
            return network.flops(2, blocks, block, noisings) - network.flops(
                1, blocks, block, noisings
            )

        noisy = of_a_row(2) - of_a_row(1)
        lift = 2 * 2 * dim * width
        heads = blocks * block * (lift + 2 * width * size + 4 * dim * size)
        clean = of_a_row(1) - noisy + (blocks - 1) * block * lift
        row = 3 * (clean + noisy + heads) + self.config.self_conditioning * (noisy + heads)
        return round(row) * len(batch.lengths)


def _stratified(noise: Noise, rows: int, blocks: int) -> Tensor:
    """(rows, blocks) float64 in [0, 1), spread evenly over the whole batch, uniform each."""
    total = noise.total if noise.total is not None else noise.first + rows
    row = (noise.first + torch.arange(rows, dtype=torch.float64)) / total
    block = GOLDEN * torch.arange(blocks, dtype=torch.float64)
    return (row[:, None] + block + noise.of_step("plaid times")) % 1.0


def _content_keys(batch: TokenBatch) -> tuple[str, ...]:
    """A key per row: what it says, and whether it ends."""
    rows = zip(batch.tokens.tolist(), batch.lengths.tolist(), batch.complete.tolist(), strict=True)
    return tuple(f"{tokens[:length]}:{complete}" for tokens, length, complete in rows)
