"""A sound baseline, and others with one fault each."""

# ruff: noqa: ANN001  what overrides a method has the types of what it overrides

from __future__ import annotations

import torch
from broken.unigram_config import UnigramConfig
from torch import nn

from colaflex.baselines.single_stage import SingleStageBaseline
from colaflex.interfaces.capabilities import BaselineCapabilities, Place
from colaflex.interfaces.language_model import GeneratedTokens
from colaflex.interfaces.losses import LossTerm
from colaflex.interfaces.noise import SampleNoise, row_keys
from colaflex.interfaces.values import Vocabulary


class Unigram(SingleStageBaseline):
    """Sound."""

    def __init__(self, config: UnigramConfig, *, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary)
        self.logits = nn.Linear(1, vocabulary.size)

    def log_p(self):
        return self.logits(self.logits.weight.new_ones(1)).log_softmax(-1)

    def log_likelihood(self, tokens):
        return torch.where(tokens.mask, self.log_p()[tokens.tokens], 0.0).sum(1)

    def losses(self, batch, step):
        return {"nll": LossTerm(-self.log_likelihood(batch).sum(), "tokens")}

    def training_flops(self, batch):
        return 6 * self.vocabulary.size * batch.tokens.numel()

    def parts(self):
        return {"logits": self.logits}

    def probabilities(self):
        banned = torch.arange(self.vocabulary.size) == self.vocabulary.mask
        return self.log_p().masked_fill(banned, -torch.inf).softmax(-1)

    def draw(self, keys, step):
        uniform = SampleNoise(tuple(f"{key}/{step}" for key in keys)).uniform(
            "x", (1,), self.log_p()
        )
        return (self.probabilities().cumsum(-1) < uniform).sum(-1).clamp(max=len(self.log_p()) - 1)

    @torch.no_grad()
    def generate_tokens(self, prompts, seed, max_new_tokens, latent, tokens, earlier=()):
        going = list(range(len(prompts)))
        if max_new_tokens <= 0:
            yield [GeneratedTokens(row, (), "length") for row in going]
            return
        keys = row_keys(prompts, seed, earlier)
        for step in range(max_new_tokens):
            drawn = dict(
                zip(going, self.draw([keys[r] for r in going], step).tolist(), strict=True)
            )
            last = "length" if step + 1 == max_new_tokens else None
            end = self.vocabulary.end_of_text
            yield [
                GeneratedTokens(r, (), "end") if t == end else GeneratedTokens(r, (t,), last)
                for r, t in drawn.items()
            ]
            going = [row for row, token in drawn.items() if token != end]
            if not going:
                return


class AveragesRows(Unigram):
    def losses(self, batch, step):
        return {"nll": LossTerm(-self.log_likelihood(batch).mean(), "tokens")}


class CountsFillers(Unigram):
    def log_likelihood(self, tokens):
        return self.log_p()[tokens.tokens].sum(1)


class IsNoDistribution(Unigram):
    def log_likelihood(self, tokens):
        return super().log_likelihood(tokens) + 0.1 * tokens.lengths


class DrawsTheMask(Unigram):
    def probabilities(self):
        return self.log_p().softmax(-1)


class DrawsFromTheGlobalGenerator(Unigram):
    def draw(self, keys, step):
        return torch.multinomial(self.probabilities(), len(keys), replacement=True)


class SeesItsNeighbours(Unigram):
    def draw(self, keys, step):
        return super().draw([f"{key}{len(keys)}" for key in keys], step)


class DrawsTooSharply(Unigram):
    def probabilities(self):
        return (1.5 * super().probabilities().log()).softmax(-1)


class UntoldConfig(UnigramConfig):
    def capabilities(self) -> BaselineCapabilities:
        return BaselineCapabilities("exact", Place("tokens", "direct generation", " ", "nowhere"))


class IsNowhere(Unigram):
    config: UntoldConfig


class NeverEnds(Unigram):
    def generate_tokens(self, prompts, seed, max_new_tokens, latent, tokens, earlier=()):
        for made in super().generate_tokens(prompts, seed, max_new_tokens, latent, tokens):
            yield [GeneratedTokens(m.row, m.tokens, None) for m in made]


class CostsNothing(Unigram):
    def training_flops(self, batch):
        return 0


class LeavesWeightsOut(Unigram):
    def parts(self):
        return {}


class HasADeadWeight(Unigram):
    def __init__(self, config: UnigramConfig, *, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary=vocabulary)
        self.dead = nn.Linear(2, 2)


FAULTS = {
    AveragesRows: ("baseline.additive", "add up"),
    CountsFillers: ("baseline.likelihood", "neighbours|not sum to one"),
    IsNoDistribution: ("baseline.likelihood", "not sum to one"),
    DrawsTheMask: ("baseline.generates", "the mask"),
    DrawsFromTheGlobalGenerator: ("baseline.own_rows", "global random generator"),
    SeesItsNeighbours: ("baseline.own_rows", "alone gives"),
    DrawsTooSharply: ("baseline.drawn", "of 2,000 draws, and by log_likelihood"),
    IsNowhere: ("baseline.place", "says nothing of factorisation"),
    NeverEnds: ("baseline.generates", "ends with None"),
    CostsNothing: ("baseline.flops", "cost 0"),
    LeavesWeightsOut: ("baseline.parts", "in no part"),
    HasADeadWeight: ("baseline.gradients", "no gradient reaches"),
}
