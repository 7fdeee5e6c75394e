"""A sampler whose proposals depend on the study's seed, the trial's number and its predecessors.

Optuna's samplers keep a generator from trial to trial, which a study that is stopped would lose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from optuna.samplers import BaseSampler

from colaflex.statistics.draws import keyed_rng

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, TrialState

__all__ = ["PerTrialSampler", "WrappedSampler"]


class WrappedSampler(BaseSampler):
    """Proposes what another sampler does, but for what a subclass knows better.

    Args:
        wrapped: the other sampler.
    """

    def __init__(self, wrapped: BaseSampler) -> None:
        self.wrapped = wrapped

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Told to the other sampler."""
        self.wrapped.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """That of the other sampler."""
        return self.wrapped.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """What the other sampler proposes."""
        return self.wrapped.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A single value of the other sampler."""
        return self.wrapped.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Told to the other sampler."""
        self.wrapped.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """Told to the other sampler."""
        self.wrapped.reseed_rng()


class PerTrialSampler(WrappedSampler):
    """Makes a sampler anew for every trial, seeded by the study's seed and the trial's number.

    So nothing but the storage carries over from trial to trial: a study that was stopped goes on as
    if it had not been, and workers with one seed never propose the same. Whatever a sampler keeps,
    generators and fitted models, is made again out of the trials.

    Args:
        make: the sampler of a seed.
        seed: of the study.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self._make, self._seed = make, seed
        super().__init__(make(self._seed_of(0)))

    def _seed_of(self, number: int) -> int:
        return int(keyed_rng("trial", self._seed, number).integers(2**31))

    def __str__(self) -> str:
        return str(self.wrapped)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Make this trial's sampler."""
        self.wrapped = self._make(self._seed_of(trial.number))
        super().before_trial(study, trial)

    def reseed_rng(self) -> None:
        """Nothing to do: seeds are those of trials."""
