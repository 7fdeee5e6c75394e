"""Flow priors with one fault each."""

# ruff: noqa: ANN001  what overrides a method has the types of what it overrides

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from colaflex.interfaces.losses import LossTerm
from colaflex.interfaces.noise import SampleNoise
from colaflex.interfaces.prior import PriorPhase
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.flow_matching import FlowMatching
from colaflex.priors.shortcut import Shortcut


class PeeksAtLaterBlocks(FlowMatching):
    def history(self, latents):
        return super().history(latents).roll(-2, 1)


class TrainsWithoutHistory(FlowMatching):
    def history(self, latents):
        return torch.zeros_like(super().history(latents))


class SamplesWithoutHistory(FlowMatching):
    def sample_block(self, state, noise, options, known=None):
        return super().sample_block(self.begin(len(noise.keys)), noise, options, known)


class ForgetsToPin(FlowMatching):
    def sample_block(self, state, noise, options, known=None):
        return super().sample_block(state, noise, options)


class PinsRoughly(FlowMatching):
    def sample_block(self, state, noise, options, known=None):
        drawn = super().sample_block(state, noise, options, known)
        return drawn if known is None else drawn + 1e-3 * known.mask[..., None]


class DeafToPinned(FlowMatching):
    def sample_block(self, state, noise, options, known=None):
        drawn = super().sample_block(state, noise, options)
        return drawn if known is None else torch.where(known.mask[..., None], known.values, drawn)


class ExpectsLaterBlocks(FlowMatching):
    def one_step(self, latents, noise):
        return super().one_step(latents, noise) + latents.values.mean(1, keepdim=True)


class ExpectsWhatIsGiven(FlowMatching):
    def one_step(self, latents, noise):
        return super().one_step(replace(latents, mask=torch.ones_like(latents.mask)), noise)


class SamplesFromGlobalGenerator(FlowMatching):
    def sample_block(self, state, noise, options, known=None):
        drawn = super().sample_block(state, noise, options, known)
        return drawn + 0.1 * torch.randn_like(drawn)


class TrainsFromGlobalGenerator(FlowMatching):
    def draw_path(self, latents, noise, samples):
        path = super().draw_path(latents, noise, samples)
        return replace(path, times=torch.rand_like(path.times))


class SampleHasBatchStatistics(FlowMatching):
    def sample_block(self, state, noise, options, known=None):
        drawn = super().sample_block(state, noise, options, known)
        return drawn / (1 + drawn.std())


class LossIsAMean(FlowMatching):
    def losses(self, latents, noise=None):
        terms = super().losses(latents, noise)
        rows = len(latents.values)
        return {name: replace(term, total=term.total / rows) for name, term in terms.items()}


class ForgetsGuidanceInItsCount(FlowMatching):
    def network_evaluations(self, options):
        return self.config.solver.evaluations(options.steps)


class GuidesAtAllTimes(FlowMatching):
    def sample_block(self, state, noise, options, known=None):
        options = replace(options, guidance_law="constant", guidance_interval=(0.0, 1.0))
        return super().sample_block(state, noise, options, known)


class KeepsItsNoise(FlowMatching):
    def sample_block(self, state, noise, options, known=None):
        return super().sample_block(state, noise, replace(options, noise_temperature=1.0), known)


class HasAnIdleParameter(FlowMatching):
    def __init__(self, config, *, latent_dim, build) -> None:
        super().__init__(config, latent_dim=latent_dim, build=build)
        self.idle = nn.Parameter(torch.zeros(3))


class DetachesItsLift(FlowMatching):
    def __init__(self, config, *, latent_dim, build) -> None:
        super().__init__(config, latent_dim=latent_dim, build=build)
        self.lift.register_forward_hook(lambda module, inputs, output: output.detach())


class _AllButTheFirst(PriorPhase):
    @property
    def parameters(self) -> list[nn.Parameter]:
        return [*super().parameters][1:]


class ForgetsAParameter(FlowMatching):
    def phases(self, teacher_fraction=0.5):
        return [_AllButTheFirst(self)]


class LossIsAlwaysFloat32(FlowMatching):
    def losses(self, latents, noise=None):
        terms = super().losses(latents, noise)
        return {name: replace(term, total=term.total.float()) for name, term in terms.items()}


class SampleIsAlwaysFloat32(FlowMatching):
    def sample_block(self, state, noise, options, known=None):
        return super().sample_block(state, noise, options, known).float()


class CommitsOnlyOnce(FlowMatching):
    def commit(self, state, latents, counts=None):
        return state if state.lengths.any() else super().commit(state, latents, counts)


class SelectsInOrder(FlowMatching):
    def select(self, state, rows):
        return super().select(state, rows.sort().values)


class CountsPadding(FlowMatching):
    def losses(self, latents, noise=None):
        everything = torch.ones_like(latents.mask)
        return super().losses(LatentBatch(latents.values, everything), noise)


class OverflowsUnderAutocast(FlowMatching):
    def losses(self, latents, noise=None):
        scale = float("inf") if torch.is_autocast_enabled("cpu") else 1.0
        terms = super().losses(latents, noise)
        return {name: replace(term, total=term.total * scale) for name, term in terms.items()}


class HidesWhatItLearns(FlowMatching):
    offset = 0.0

    def losses(self, latents, noise=None):
        self.offset = float(latents.values.mean())
        return super().losses(latents, noise)

    def sample_block(self, state, noise, options, known=None):
        return super().sample_block(state, noise, options, known) + self.offset


class CostsTheSameForAnyBatch(FlowMatching):
    def training_flops(self, batch, segments):
        return 1000


class LearnsBackwards(FlowMatching):
    def objective(self, path, predict):
        return (predict(path.point(), path.times[..., None]) + path.velocity()).square().mean(-1)


class HasAnUndeclaredDensity(Shortcut):
    def log_prob(self, latents):
        return latents.values.square().sum((1, 2))


class ChangesItsLatents(FlowMatching):
    def losses(self, latents, noise=None):
        latents.values.mul_(0.5)
        return super().losses(latents, noise)


class KnowsNoKeys(FlowMatching):
    def sample_block(self, state, noise, options, known=None):
        constant = SampleNoise(("key",) * len(noise.keys))
        return super().sample_block(state, constant, options, known)


class IgnoresGuidance(FlowMatching):
    def sample_block(self, state, noise, options, known=None):
        return super().sample_block(state, noise, replace(options, guidance=1.0), known)


class GuidesWithoutHistory(FlowMatching):
    def sample_block(self, state, noise, options, known=None):
        drawn = super().sample_block(state, noise, options, known)
        return drawn * (1 + 0.1 * (options.guidance - 1))


class SamplesPositionsFirst(FlowMatching):
    def sample_block(self, state, noise, options, known=None):
        return super().sample_block(state, noise, options, known).transpose(0, 1)


class LossIsNotANumber(FlowMatching):
    def losses(self, latents, noise=None):
        return {"flow": LossTerm(torch.tensor(float("nan")), "latents")}


class LossIsAVector(FlowMatching):
    def losses(self, latents, noise=None):
        return {"flow": LossTerm(latents.values.sum((1, 2)), "latents")}


FAULTS = {
    ExpectsLaterBlocks: ("prior.one_step", "changes with a later block"),
    ExpectsWhatIsGiven: ("prior.one_step", "moves latents that are given"),
    PeeksAtLaterBlocks: ("prior.blind", "changes with the blocks behind them"),
    TrainsWithoutHistory: ("prior.trained_on_history", "history is ignored"),
    SamplesWithoutHistory: ("prior.hears_history", "prefix is ignored"),
    ForgetsToPin: ("prior.pinned", "known positions are moved"),
    PinsRoughly: ("prior.pinned", "known positions are moved, by 0.00"),
    DeafToPinned: ("prior.hears_pinned", "they are ignored"),
    SamplesFromGlobalGenerator: ("prior.reproducible", "global random generator"),
    TrainsFromGlobalGenerator: ("prior.losses", "global random generator"),
    SampleHasBatchStatistics: ("prior.batch_independent", "alone and among others|rows chosen"),
    LossIsAMean: ("prior.additive", "don't add up"),
    ForgetsGuidanceInItsCount: ("prior.evaluations", "declares 2 network evaluations"),
    GuidesAtAllTimes: ("prior.guided_by_time", "guidance outside its interval"),
    KeepsItsNoise: ("prior.guided_by_time", "rows at noise temperature 0"),
    HasAnIdleParameter: ("prior.gradients", "no gradient reaches idle"),
    DetachesItsLift: ("prior.gradients", "no gradient reaches lift"),
    ForgetsAParameter: ("prior.phases", "learned in no phase"),
    LossIsAlwaysFloat32: ("prior.float64", "torch.float32"),
    SampleIsAlwaysFloat32: ("prior.float64", "torch.float32"),
    CommitsOnlyOnce: ("prior.cached", "cached and computed anew"),
    SelectsInOrder: ("prior.batch_independent", r"select\(\)"),
    CountsPadding: ("prior.padding", "behind a row's end"),
    OverflowsUnderAutocast: ("prior.autocast", "is inf"),
    HidesWhatItLearns: ("prior.state_dict", "samples differ"),
    CostsTheSameForAnyBatch: ("prior.flops", "1000 for 16 rows and 1000 for 32"),
    LearnsBackwards: ("prior.recovers", "after the fit"),
    HasAnUndeclaredDensity: ("prior.density", "declares no likelihood, and log_prob answers"),
    ChangesItsLatents: ("prior.losses", "twice the same|changes the latents"),
    KnowsNoKeys: ("prior.reproducible", "other keys give the same samples"),
    IgnoresGuidance: ("prior.guidance", "changes nothing"),
    GuidesWithoutHistory: ("prior.guidance", "without a history"),
    SamplesPositionsFirst: ("prior.shapes", "has shape"),
    LossIsNotANumber: ("prior.losses", "is nan"),
    LossIsAVector: ("prior.losses", "no scalar"),
}
