"""Samplers by name: what proposes the trials of a study."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler

from colaflex.errors import UserError
from colaflex.studies.sampling.grid_sampler import GridSampler
from colaflex.studies.sampling.one_at_a_time import OneAtATimeSampler
from colaflex.studies.sampling.per_trial import PerTrialSampler
from colaflex.studies.sampling.sampler_options import Kind, Named, check, options_of
from colaflex.studies.sampling.start import Start, StartingSampler

if TYPE_CHECKING:
    from colaflex.studies.objective import Point
    from colaflex.studies.space.space import Space

__all__ = ["PLANNED", "SAMPLERS", "build_sampler", "check_sampler", "unfit"]

OURS = ("self", "space", "origin", "seed", "warn_independent_sampling", "warn_asynchronous_seeding")
GONE = (
    *("consider_prior", "prior_weight", "consider_magic_clip", "consider_endpoints"),
    *("sigma0", "restart_strategy", "inc_popsize"),
)
"""Optuna drops these soon."""


def _kind(made: Callable[..., Any]) -> Kind:
    return Kind(made, options_of(made, (*OURS, *GONE)))


SAMPLERS: Mapping[str, Kind] = {
    "tpe": _kind(optuna.samplers.TPESampler),
    "gp": _kind(optuna.samplers.GPSampler),
    "cmaes": _kind(optuna.samplers.CmaEsSampler),
    "nsga2": _kind(optuna.samplers.NSGAIISampler),
    "random": _kind(optuna.samplers.RandomSampler),
    "sobol": Kind(
        optuna.samplers.QMCSampler, options_of(optuna.samplers.QMCSampler, ("qmc_type", *OURS))
    ),
    "grid": _kind(GridSampler),
    "one_at_a_time": _kind(OneAtATimeSampler),
}
"""What a study can name, and the options of each."""
PLANNED = ("grid", "one_at_a_time")
"""Samplers that follow a plan of their own, whatever is known beforehand."""
ONE_OBJECTIVE = ("cmaes", "one_at_a_time")
STARTUP = 10
"""Trials that a sampler with a model draws without it at first."""


def check_sampler(named: Named) -> str:
    """What is wrong with a sampler's name or options, with the nearest right one; or nothing."""
    problem = check(named, SAMPLERS, "sampler")
    if problem:
        return problem
    options = named.options
    if named.type == "tpe" and options.get("group") and options.get("multivariate") is False:
        return "group of sampler tpe is for `multivariate: true`; leave one of them out"
    special = [o for o in ("use_separable_cma", "with_margin", "lr_adapt") if options.get(o)]
    if len(special) > 1:
        return f"sampler cmaes can't have both {special[0]} and {special[1]}; leave one of them out"
    return ""


def build_sampler(
    named: Named,
    space: Space,
    directions: Sequence[str],
    seed: int,
    start: Start | None = None,
    origin: Point | None = None,
    trials: int | None = None,
) -> BaseSampler:
    """The sampler of a study; every worker builds its own, with the same arguments.

    Args:
        named: its name and options.
        space: what is searched.
        directions: one an objective.
        seed: of the study.
        start: its starting distribution; grid and one_at_a_time have a beginning of their own.
        origin: where one_at_a_time begins: the base spec's own values.
        trials: the budget that one_at_a_time splits, unless its options say.

    Raises:
        UserError: it can't search this space, or a package is missing.
    """
    problem = check_sampler(named) or unfit(named, space, len(directions)) or _missing(named)
    if problem:
        raise UserError(problem)
    options = dict(named.options)
    if named.type == "grid":
        return GridSampler(space, seed=seed, **options)
    if named.type == "one_at_a_time":
        budget = {} if trials is None else {"trials": trials}
        return OneAtATimeSampler(space, origin or {}, **{**budget, **options})
    startup = STARTUP if start is None else min(STARTUP, start.trials)
    defaults = _defaults(named.type, space, startup, seed)

    def make(own_seed: int) -> BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            seeds = {"seed": own_seed, **defaults(own_seed)}
            sampler: BaseSampler = SAMPLERS[named.type].make(**{**seeds, **options})
        return sampler

    keyed = PerTrialSampler(make, seed)
    return keyed if start is None else StartingSampler(keyed, space, start, seed)


def unfit(named: Named, space: Space, objectives: int) -> str:
    """Why a sampler can't search a space, or nothing."""
    name = named.type
    if name in ONE_OBJECTIVE and objectives > 1:
        return f"sampler {name} improves one objective, here are {objectives}: choose tpe or nsga2"
    if name == "cmaes" and not any(parameter.is_range for parameter in space.parameters):
        return "sampler cmaes moves ranges, and here are choices only: choose tpe, or give a range"
    if name == "grid":
        try:
            GridSampler(space, seed=0, **named.options)
        except UserError as error:
            return str(error)
    return ""


def _missing(named: Named) -> str:
    """The package that a sampler lacks, or nothing."""
    if named.type == "cmaes" and importlib.util.find_spec("cmaes") is None:
        return (
            "sampler cmaes needs the package cmaes: pip install cmaes, "
            "or pip install 'colaflex[studies]'"
        )
    return ""


def _defaults(name: str, space: Space, startup: int, seed: int) -> Callable[[int], dict[str, Any]]:
    """What we choose where the options don't say, given the seed of a trial."""
    match name:
        case "tpe":
            options: dict[str, Any] = {
                "multivariate": True,
                "group": space.conditional,
                "n_startup_trials": startup,
            }
        case "gp":
            options = {"n_startup_trials": startup, "warn_independent_sampling": False}
        case "cmaes":
            options = {"n_startup_trials": startup, "warn_independent_sampling": False}
            return lambda own: {
                **options,
                "independent_sampler": optuna.samplers.TPESampler(seed=own),
            }
        case "sobol":
            # One sequence for all trials of all workers: its seed is the study's.
            options = {"seed": seed, "scramble": True, "warn_independent_sampling": False}
            return lambda own: {
                **options,
                "independent_sampler": optuna.samplers.RandomSampler(own),
            }
        case _:
            options = {}
    return lambda _: options
