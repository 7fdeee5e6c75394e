"""Generation with `plaid`: ancestral sampling of one block after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from colaflex.baselines.configs import PlaidConfig
from colaflex.baselines.continuation import gained_tokens, never_drawn, tokens_seen
from colaflex.baselines.noise_schedule import NoiseSchedule, signal_and_noise
from colaflex.baselines.plaid_denoiser import Denoiser, Points, conditioning
from colaflex.generation.token_sampling import draw_tokens
from colaflex.interfaces.language_model import GeneratedTokens
from colaflex.interfaces.noise import SampleNoise, row_keys
from colaflex.interfaces.options import SamplingOptions, TokenSampling
from colaflex.interfaces.values import Vocabulary

__all__ = ["Sampler"]


@dataclass(frozen=True)
class _Rows:
    """Rows that go on.

    Attributes:
        index: (rows,) number of each one's prompt.
        tokens: (rows, block) the prompt's part of the next block.
        prompt: (rows, block) bool.
        opens: (rows,) bool, whether the next block is the document's first.
        seen: (rows, size + 1) bool, tokens that stand in the row already.
        past: the network's history.
    """

    index: Tensor
    tokens: Tensor
    prompt: Tensor
    opens: Tensor
    seen: Tensor
    past: Any


class Sampler:
    """Draws documents block by block.

    A block is drawn whole, from noise at t = 1 to t = 0 in `options.steps` intervals; what of it
    belongs to a prompt is pinned to its clean embeddings, which the network is told. Tokens are
    then read from p(x | z_0).

    Args:
        denoiser: the model.
        schedule: its levels of noise.
        config: its options.
        vocabulary: of its tokens.
        options: steps and guidance.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        schedule: NoiseSchedule,
        config: PlaidConfig,
        vocabulary: Vocabulary,
        options: SamplingOptions,
    ) -> None:
        self.denoiser, self.config, self.vocabulary = denoiser, config, vocabulary
        self.options = options
        self.device = denoiser.head.weight.device
        with torch.no_grad():
            self.table = denoiser.table()
            times = torch.linspace(1, 0, options.steps + 1, device=self.device)
            self.gammas = schedule(times).gamma
        self.banned = never_drawn(vocabulary, self.device)

    @torch.no_grad()
    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        seed: int,
        max_new_tokens: int,
        token_sampling: TokenSampling,
        earlier: Sequence[Sequence[int]] = (),
    ) -> Iterator[Sequence[GeneratedTokens]]:
        """Continue every prompt; see `LanguageModel.generate_tokens`."""
        if max_new_tokens <= 0:
            yield [GeneratedTokens(row, (), "length") for row in range(len(prompts))]
            return
        keys = row_keys(prompts, seed, earlier)
        rows, left = self._begin(prompts), [max_new_tokens] * len(prompts)
        number = 0
        while len(rows.index):
            noise = SampleNoise(tuple(f"{keys[row]}/{number}" for row in rows.index.tolist()))
            drawn = self._block(rows, noise, token_sampling)
            gained = [
                gained_tokens(row, tokens[known:], self.vocabulary.end_of_text, left[row])
                for row, tokens, known in zip(
                    rows.index.tolist(), drawn.tolist(), rows.prompt.sum(1).tolist(), strict=True
                )
            ]
            for each in gained:
                left[each.row] -= len(each.tokens)
            yield gained
            going = [i for i, each in enumerate(gained) if each.finish is None]
            if not going:
                return
            rows = self._go_on(rows, drawn, torch.tensor(going, device=self.device))
            number += 1

    def _begin(self, prompts: Sequence[Sequence[int]]) -> _Rows:
        """Whole blocks of the prompts become history, the rest opens the next block."""
        block, end = self.config.block_size, self.vocabulary.end_of_text
        count, device = len(prompts), self.device
        whole = [len(prompt) // block for prompt in prompts]
        read = torch.full((count, max(whole, default=0) * block), end, device=device)
        tokens = torch.full((count, block), end, device=device)
        known = torch.zeros(count, block, dtype=torch.bool, device=device)
        for row, (prompt, blocks) in enumerate(zip(prompts, whole, strict=True)):
            ids = torch.tensor(list(prompt), dtype=torch.int64, device=device)
            head, rest = ids[: blocks * block], ids[blocks * block :]
            read[row, : len(head)], tokens[row, : len(rest)] = head, rest
            known[row, : len(rest)] = True
        committed = torch.tensor(whole, dtype=torch.int64, device=device)
        past = self.denoiser.network.begin(count, self.denoiser.lift.weight)
        past = self._committed(past, read.unflatten(1, (-1, block)), committed * block)
        seen = tokens_seen(prompts, self.vocabulary, device)
        return _Rows(torch.arange(count, device=device), tokens, known, committed == 0, seen, past)

    def _committed(self, past: Any, tokens: Tensor, counts: Tensor | None) -> Any:
        """History with blocks of tokens, (rows, blocks, block), behind it."""
        clean = self.denoiser.clean(tokens, self.table)
        return self.denoiser.network.commit(self.denoiser.lifted(clean), past, counts)

    def _go_on(self, rows: _Rows, drawn: Tensor, going: Tensor) -> _Rows:
        past = self._committed(rows.past.select(going), drawn[going][:, None], None)
        prompt = torch.zeros_like(rows.prompt[going])
        opens = torch.zeros_like(rows.opens[going])
        return _Rows(rows.index[going], drawn[going], prompt, opens, rows.seen[going], past)

    def _block(self, rows: _Rows, noise: SampleNoise, token_sampling: TokenSampling) -> Tensor:
        """(rows, block) tokens of the next block, those of the prompt in their place."""
        clean = self.denoiser.clean(rows.tokens, self.table)
        z = noise.normal("plaid", clean.shape[1:], clean)
        branches = _Branches(self, rows, clean)
        for step, (now, then) in enumerate(zip(self.gammas[:-1], self.gammas[1:], strict=True)):
            guess = branches.guess(z, now)
            (alpha, sigma), (alpha_then, sigma_then) = map(signal_and_noise, (now, then))
            eps = (z - alpha * guess) / (sigma * self.config.score_temperature)
            guess = (z - sigma * eps) / alpha
            fresh = -torch.expm1(then - now)
            mean = alpha_then * ((1 - fresh) / alpha * z + fresh * guess)
            drawn = noise.normal(f"plaid {step}", clean.shape[1:], clean)
            z = mean + sigma_then * fresh.sqrt() * drawn
        logits = functional.pad(branches.log_probs(z, self.gammas[-1]), (0, 1))[:, :, None]
        new = draw_tokens(logits, token_sampling, noise, rows.seen, self.banned, given=rows.prompt)[
            ..., 0
        ]
        return torch.where(rows.prompt, rows.tokens, new)


class _Branches:
    """The guided denoiser of one block, which remembers its last guesses (self-conditioning).

    The unconditional branch sees neither the prompt's part of the block nor the blocks before it.
    """

    def __init__(self, sampler: Sampler, rows: _Rows, clean: Tensor) -> None:
        self.sampler, self.rows, self.clean = sampler, rows, clean
        context = bool(rows.prompt.any()) or not bool(rows.opens.all())
        guided = sampler.options.guidance != 1.0 and context
        self.guesses: list[Tensor | None] = [None, None] if guided else [None]

    def guess(self, z: Tensor, gamma: Tensor) -> Tensor:
        """(rows, block, dim) expected embeddings."""
        new = [
            self.sampler.denoiser.guess(branch, self.sampler.table)
            for branch in self._log_probs(z, gamma)
        ]
        if self.sampler.config.self_conditioning:
            self.guesses = list(new)
        return self._mixed(new)

    def log_probs(self, z: Tensor, gamma: Tensor) -> Tensor:
        """(rows, block, size) log-probabilities, up to a constant where guided."""
        return self._mixed(self._log_probs(z, gamma))

    def _mixed(self, branches: Sequence[Tensor]) -> Tensor:
        if len(branches) == 1:
            return branches[0]
        return torch.lerp(branches[1], branches[0], self.sampler.options.guidance)

    def _log_probs(self, z: Tensor, gamma: Tensor) -> list[Tensor]:
        prompt, nothing = self.rows.prompt, torch.zeros_like(self.rows.prompt)
        seen = Points(
            torch.where(prompt[..., None], self.clean, z)[:, None],
            gamma.reshape(1, 1),
            prompt[:, None],
            nothing[:, None],
            self.rows.opens[:, None],
        )
        branches = [self._one(seen, self.rows.past, self.guesses[0])]
        if len(self.guesses) > 1:
            blank = torch.where(prompt[..., None], 0.0, z)[:, None]
            free = replace(seen, values=blank, prompt=nothing[:, None], unknown=prompt[:, None])
            branches.append(self._one(free, None, self.guesses[1]))
        return branches

    def _one(self, points: Points, past: Any, guess: Tensor | None) -> Tensor:
        denoiser = self.sampler.denoiser
        read = denoiser.read(points, None if guess is None else guess[:, None])[:, 0]
        times = conditioning(points.gamma).to(read.dtype)
        if bool(points.prompt.any()):
            times = torch.where(points.prompt[:, 0], 0.0, times)
        states = denoiser.network(read, times[..., None], past)
        log_probs: Tensor = denoiser.from_states(states[:, None], points, self.sampler.table)[:, 0]
        return log_probs
