"""Solvers, couplings, schedules, segmenters, corpora, representations, networks: one fault each."""

# ruff: noqa: ANN001  what overrides a method has the types of what it overrides

from __future__ import annotations

import random
import time
from dataclasses import replace

import torch

from colaflex.corpora.worlds import Worlds
from colaflex.corpora.worlds_process import WorldsConfig
from colaflex.couplings.independent import Independent
from colaflex.interfaces.corpus import Document
from colaflex.interfaces.values import Segmentation, TokenBatch
from colaflex.networks.block_causal import BlockCausal
from colaflex.representations.text_vae import TextVAE
from colaflex.schedules.tangent import Tangent
from colaflex.segmenters.fixed_patch import FixedPatch
from colaflex.segmenters.pyramid import Pyramid
from colaflex.solvers.configs import EulerConfig
from colaflex.solvers.ode import OdeSolver


class Euler(OdeSolver):
    config: EulerConfig


class GoesBackwards(Euler):
    def solve(self, velocity, start, steps):
        return super().solve(lambda t, z: -velocity(t, z), start, steps)


class TurnsTimeAround(Euler):
    def solve(self, velocity, start, steps):
        return super().solve(lambda t, z: velocity(1 - t, z), start, steps)


class LooksTwice(Euler):
    def solve(self, velocity, start, steps):
        velocity(torch.ones(()), start)
        return super().solve(velocity, start, steps)


class ScalesByTheBatch(Euler):
    def solve(self, velocity, start, steps):
        return super().solve(lambda t, z: velocity(t, z) + z.mean(), start, steps)


class EndsInFloat32(Euler):
    def solve(self, velocity, start, steps):
        return super().solve(velocity, start, steps).float()


class StopsGradients(Euler):
    def solve(self, velocity, start, steps):
        return super().solve(velocity, start, steps).detach()


class ShrinksNoise(Independent):
    def pair(self, data, noise, mask, draws):
        return 0.9 * noise


class PrefersSmallNoise(Independent):
    def pair(self, data, noise, mask, draws):
        best = noise.square().sum((1, 2)).argsort()[: len(noise) // 2]
        return noise[best.repeat(2)]


class PairsAtRandom(Independent):
    def pair(self, data, noise, mask, draws):
        return noise[torch.randperm(len(noise))]


class LooksAtWhatIsMasked(Independent):
    def pair(self, data, noise, mask, draws):
        return noise[data.sum((1, 2)).argsort()]


class EndsBeforeTheNoise(Tangent):
    def quantile(self, shares):
        return super().quantile(shares) * 0.98


class DrawsOtherTimes(Tangent):
    def drawn(self, noise, shape, like, purpose):
        return noise.uniform(purpose, shape, like)


class DrawsForItsRowsAlone(Tangent):
    def draw(self, noise, shape, like, purpose):
        return super().draw(replace(noise, first=0, total=None), shape, like, purpose)


class DrawsAtRandom(Tangent):
    def drawn(self, noise, shape, like, purpose):
        return self.quantile(torch.rand(*shape).to(like))


class LooksAhead(FixedPatch):
    def segment(self, tokens, states=None):
        last = tokens.tokens.gather(1, (tokens.lengths - 1).clamp(min=0)[:, None])
        forced = (last % 2 == 0) & (torch.arange(tokens.tokens.shape[1]) == 1)
        return super().segment(replace_forced(tokens, forced))


def replace_forced(tokens, forced):
    if tokens.forced is not None:
        forced = forced | tokens.forced
    return TokenBatch(tokens.tokens, tokens.lengths, tokens.complete, forced)


class IgnoresForced(FixedPatch):
    def segment(self, tokens, states=None):
        return super().segment(replace(tokens, forced=None))


class CutsTooRarely(FixedPatch):
    def __init__(self, config) -> None:
        super().__init__(config)
        self.size = 2 * config.size


class DropsAToken(FixedPatch):
    def segment(self, tokens, states=None):
        lengths = super().segment(tokens).lengths.clone()
        lengths[:, 0] -= 1
        return Segmentation(lengths)


class SegmentsByTheBatch(FixedPatch):
    def segment(self, tokens, states=None):
        even = int(tokens.lengths.sum()) % 2 == 0
        forced = torch.zeros_like(tokens.tokens, dtype=torch.bool)
        forced[:, 1:2] = even
        return super().segment(replace_forced(tokens, forced))


class LevelsByTheRow(Pyramid):
    def segment(self, tokens, states=None):
        found = super().segment(tokens)
        return replace(found, level=found.level.flip(0))


class CoarseKnowsWhatIsYetToCome(TextVAE):
    def encode(self, tokens, segmentation):
        return super().encode(replace(tokens, forced=None), segmentation)


class Shuffles(Worlds):
    config: WorldsConfig

    def documents(self):
        found = list(super().documents())
        random.shuffle(found)
        return iter(found)


class HasItsOwnSplit(Worlds):
    config: WorldsConfig

    def documents(self):
        return (Document(d.text, "development") for d in super().documents())


class FingerprintTellsTheTime(Worlds):
    config: WorldsConfig

    def fingerprint(self):
        return str(time.perf_counter_ns())


class EncoderSeesLaterSegments(TextVAE):
    def encode(self, tokens, segmentation):
        found = super().encode(tokens, segmentation)
        return replace(found, mean=found.mean + found.mean.flip(1))


class EncoderReadsPadding(TextVAE):
    def encode(self, tokens, segmentation):
        found = super().encode(tokens, segmentation)
        return replace(found, mean=found.mean + tokens.tokens.double().mean())


class DecodesWithoutItsCache(TextVAE):
    def decode_next(self, latents, state, counts=None):
        return super().decode_next(latents, self.begin_decoding(len(latents)), counts)


class HearsItself(TextVAE):
    in_turn = True

    def told(self, latents, content):
        logits = super().told(latents, content)
        return logits + (content == 5).unsqueeze(-1)


class HasANegativeRate(TextVAE):
    def losses(self, tokens, segmentation, noise):
        found = super().losses(tokens, segmentation, noise)
        rate = found.losses["rate"]
        return replace(found, losses={**found.losses, "rate": replace(rate, total=-rate.total)})


class DoesNotReconstruct(TextVAE):
    def losses(self, tokens, segmentation, noise):
        found = super().losses(tokens, segmentation, noise)
        term = found.losses["realisation"]
        return replace(found, losses={**found.losses, "realisation": replace(term, weight=-1.0)})


class ClaimsADensity(TextVAE):
    def encode(self, tokens, segmentation):
        return replace(super().encode(tokens, segmentation), log_variance=None)


class AdaptsItsEncoderToo(TextVAE):
    def decoder_parameters(self):
        yield from super().decoder_parameters()
        yield from self.join.parameters()


class IgnoresTime(BlockCausal):
    def forward(self, latents, times, history=None):
        return super().forward(latents, torch.zeros_like(times), history)

    def parallel(self, noisy, times, history, pinned=None, blind=None):
        return super().parallel(noisy, torch.zeros_like(times), history, pinned, blind)


class ForgetsPinned(BlockCausal):
    def parallel(self, noisy, times, history, pinned=None, blind=None):
        return super().parallel(noisy, times, history, None, blind)


class IsNeverBlind(BlockCausal):
    def parallel(self, noisy, times, history, pinned=None, blind=None):
        return super().parallel(noisy, times, history, pinned, None)


class MixesBlocks(BlockCausal):
    def parallel(self, noisy, times, history, pinned=None, blind=None):
        return super().parallel(noisy + noisy.mean(1, keepdim=True), times, history, pinned, blind)


class ForgetsWhatWasCommitted(BlockCausal):
    def commit(self, latents, history, counts=None):
        return super().commit(latents, self.begin(len(latents), latents), counts)


FAULTS = {
    AdaptsItsEncoderToo: ("representation.decoder_alone", "learn nothing by costs"),
    GoesBackwards: ("solver.direction", "the end of straight paths"),
    TurnsTimeAround: ("solver.time_dependence", "t \\+ z"),
    LooksTwice: ("solver.evaluations", "declares 1 evaluations over 1 steps and makes 2"),
    ScalesByTheBatch: ("solver.batch_independent", "alone and among others"),
    EndsInFloat32: ("solver.dtype", "ends as torch.float32"),
    StopsGradients: ("solver.differentiable", "no gradient"),
    ShrinksNoise: ("coupling.rearranges", "altered"),
    PrefersSmallNoise: ("coupling.keeps_marginals", "variance"),
    PairsAtRandom: ("coupling.reproducible", "global random generator"),
    LooksAtWhatIsMasked: ("coupling.masked", "masked positions"),
    EndsBeforeTheNoise: ("schedule.quantiles_rise", "from 0.0 to 0.98"),
    DrawsOtherTimes: ("schedule.draws_follow_the_law", "draws miss the quantiles by 0."),
    DrawsForItsRowsAlone: ("schedule.same_for_any_split", "rows alone and among others"),
    DrawsAtRandom: ("schedule.reproducible", "global random generator"),
    LooksAhead: ("segmenter.causal", "change with tokens behind it"),
    IgnoresForced: ("segmenter.forced", "forced boundaries"),
    CutsTooRarely: ("segmenter.longest", "a segment has 4 tokens, max_segment_tokens is 2"),
    DropsAToken: ("segmenter.partition", "add up to"),
    LevelsByTheRow: ("segmenter.levels", "a coarse segment stands before no fine one"),
    CoarseKnowsWhatIsYetToCome: ("representation.level_causal", "behind a forced boundary"),
    SegmentsByTheBatch: ("segmenter.row_independent", "segmented otherwise"),
    Shuffles: ("corpus.repeatable", "another order"),
    HasItsOwnSplit: ("corpus.documents", "'development'"),
    FingerprintTellsTheTime: ("corpus.fingerprint", "changes"),
    EncoderSeesLaterSegments: ("representation.causal", "latents before segment 1"),
    EncoderReadsPadding: ("representation.batch_independent", "latents"),
    DecodesWithoutItsCache: ("representation.incremental", "piece by piece"),
    HearsItself: ("representation.in_turn", "at once, and as it was chosen|with the token there"),
    HasANegativeRate: ("representation.rate", "the rate is -"),
    DoesNotReconstruct: ("representation.learns", "before"),
    ClaimsADensity: ("representation.posterior", "no variance"),
    IgnoresTime: ("network.times", "don't change with the time"),
    ForgetsPinned: ("network.pinned", "pinned positions"),
    IsNeverBlind: ("network.blind_rows", "blind row"),
    MixesBlocks: ("network.blind_to_later", "see what lies behind"),
    ForgetsWhatWasCommitted: ("network.cache", "in parts and at once"),
}
