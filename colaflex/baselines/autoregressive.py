"""Autoregressive language model: p(x) = ∏ p(x_i | x_<i), a decoder-only transformer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.baselines.configs import AutoregressiveConfig
from colaflex.baselines.continuation import gained_tokens, never_drawn, padded_prompts, tokens_seen
from colaflex.baselines.single_stage import SingleStageBaseline
from colaflex.generation.token_sampling import draw_tokens
from colaflex.interfaces.language_model import BlockCost, GeneratedTokens
from colaflex.interfaces.losses import Losses, LossTerm
from colaflex.interfaces.noise import SampleNoise, row_keys
from colaflex.interfaces.options import SamplingOptions, TokenSampling
from colaflex.interfaces.stage import StageStep
from colaflex.interfaces.values import TokenBatch, Vocabulary
from colaflex.networks.causal import CausalTransformer

__all__ = ["Autoregressive"]


class Autoregressive(SingleStageBaseline):
    """Every token given all before it; a document begins behind an end-of-text.

    The mask stands in no text: its probability is zero.
    """

    def __init__(self, config: AutoregressiveConfig, *, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary)
        self.embedding = nn.Embedding(vocabulary.size, config.width)
        self.trunk = CausalTransformer(
            config.width, config.layers, config.heads, config.feed_forward_ratio
        )
        self.head = None
        nn.init.normal_(self.embedding.weight, std=config.width**-0.5)
        if not config.tie_embeddings:
            self.head = nn.Linear(config.width, vocabulary.size, bias=False)
            nn.init.normal_(self.head.weight, std=0.02)

    def parts(self) -> Mapping[str, nn.Module]:
        """What has weights; tied ones count as embeddings."""
        parts = {"embedding": self.embedding, "trunk": self.trunk, "head": self.head}
        return {name: part for name, part in parts.items() if part is not None}

    # Likelihood and training.

    def log_likelihood(self, tokens: TokenBatch) -> Tensor:
        """(batch,) log p of every row in nats, exact; of complete rows with their end-of-text."""
        before = functional.pad(tokens.tokens, (1, 0), value=self.vocabulary.end_of_text)[:, :-1]
        logits = self._logits(self.trunk(self._embedded(before)))
        nll = functional.cross_entropy(logits.transpose(1, 2), tokens.tokens, reduction="none")
        return -torch.where(tokens.mask, nll, 0.0).sum(1)

    def losses(self, batch: TokenBatch, step: StageStep) -> Losses:
        """Negative log-likelihood, a token."""
        del step  # nothing is drawn
        return {"nll": LossTerm(-self.log_likelihood(batch).sum(), "tokens")}

    def training_flops(self, batch: TokenBatch) -> int:
        """Model FLOPs of one training step; the embeddings are looked up, not multiplied."""
        rows, positions = batch.tokens.shape
        output = 2 * rows * positions * self._output.numel()
        return 3 * (self.trunk.flops(rows, positions) + output)

    @property
    def _output(self) -> Tensor:
        """(size, width), weights of the output layer."""
        return self.embedding.weight if self.head is None else self.head.weight

    def _embedded(self, tokens: Tensor) -> Tensor:
        embedded: Tensor = self.embedding(tokens) * self.embedding.embedding_dim**0.5
        return embedded

    def _logits(self, states: Tensor) -> Tensor:
        """(..., width) -> (..., size) in fp32 at least: softmax is never computed in bf16."""
        logits = functional.linear(states, self._output)
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        never = torch.arange(self.vocabulary.size, device=wide.device) == self.vocabulary.mask
        return wide.masked_fill(never, -torch.inf)

    # Generation.

    def network_evaluations(self, options: SamplingOptions) -> BlockCost:
        """One a token, however sampled."""
        del options
        return BlockCost(1, 1)

    @torch.no_grad()
    def generate_tokens(
        self,
        prompts: Sequence[Sequence[int]],
        seed: int,
        max_new_tokens: int,
        latent_sampling: SamplingOptions,
        token_sampling: TokenSampling,
        earlier: Sequence[Sequence[int]] = (),
    ) -> Iterator[Sequence[GeneratedTokens]]:
        """One token of every row at a time; see `LanguageModel.generate_tokens`."""
        del latent_sampling  # there is no solver
        if max_new_tokens <= 0 or not prompts:
            yield [GeneratedTokens(row, (), "length") for row in range(len(prompts))]
            return
        keys, device = row_keys(prompts, seed, earlier), self._output.device
        banned, end = never_drawn(self.vocabulary, device), self.vocabulary.end_of_text
        seen = tokens_seen(prompts, self.vocabulary, device)
        tokens, counts = padded_prompts(prompts, self.vocabulary, device)
        cache = self.trunk.begin(len(prompts), self._output)
        states, cache = self.trunk.extend(self._embedded(tokens), cache, counts)
        state = states[torch.arange(len(prompts), device=device), counts - 1]
        going = list(range(len(prompts)))
        for step in range(max_new_tokens):
            noise = SampleNoise(tuple(f"{keys[row]}/{step}" for row in going))
            logits = functional.pad(self._logits(state), (0, 1))[:, None, None]
            drawn = draw_tokens(logits, token_sampling, noise, seen, banned)[:, 0]
            room = max_new_tokens - step
            gains = [
                gained_tokens(row, token, end, room)
                for row, token in zip(going, drawn.tolist(), strict=True)
            ]
            yield gains
            unfinished = [place for place, gain in enumerate(gains) if gain.finish is None]
            if not unfinished:
                return
            if len(unfinished) < len(going):
                rows = torch.tensor(unfinished, device=device)
                going = [going[place] for place in unfinished]
                drawn, seen, cache = drawn[rows], seen[rows], cache.select(rows)
            states, cache = self.trunk.extend(self._embedded(drawn), cache)
            state = states[:, 0]
