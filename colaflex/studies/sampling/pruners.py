"""Pruners by name: what ends trials that fall behind."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner

from colaflex.errors import UserError
from colaflex.studies.sampling.sampler_options import Kind, Named, check, options_of

__all__ = ["PRUNERS", "build_pruner", "check_pruner"]


def _kind(made: Any) -> Kind:
    return Kind(made, options_of(made, ("self",)))


PRUNERS: Mapping[str, Kind] = {
    "none": _kind(optuna.pruners.NopPruner),
    "successive_halving": _kind(optuna.pruners.SuccessiveHalvingPruner),
    "hyperband": _kind(optuna.pruners.HyperbandPruner),
    "wilcoxon": _kind(optuna.pruners.WilcoxonPruner),
    "median": _kind(optuna.pruners.MedianPruner),
    "percentile": _kind(optuna.pruners.PercentilePruner),
    "threshold": _kind(optuna.pruners.ThresholdPruner),
}
"""What a study can name, and the options of each. Rungs count from 1, and so do seeds."""


def check_pruner(named: Named) -> str:
    """What is wrong with a pruner's name or options, with the nearest right one; or nothing."""
    problem = check(named, PRUNERS, "pruner")
    if problem:
        return problem
    options = named.options
    for name in ("min_resource", "max_resource"):
        if isinstance(options.get(name), str) and options[name] != "auto":
            return f"{name} of pruner {named.type} can't be {options[name]!r}; expected int or auto"
    if named.type == "threshold":
        low, high = options.get("lower"), options.get("upper")
        if low is None and high is None:
            return "pruner threshold needs the option 'lower' or 'upper'"
        if low is not None and high is not None and low > high:
            return f"lower of pruner threshold lies above upper: {low:g} > {high:g}"
    return ""


def build_pruner(named: Named | None, rungs: int) -> BasePruner:
    """The pruner of a study.

    Args:
        named: its name and options; None: nothing is pruned.
        rungs: how many times a trial is measured before its end.

    Raises:
        UserError: there is no such pruner, or it has no such options.
    """
    if named is None:
        return optuna.pruners.NopPruner()
    problem = check_pruner(named)
    if problem:
        raise UserError(problem)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        options = {**_defaults(named.type, rungs), **named.options}
        pruner: BasePruner = PRUNERS[named.type].make(**options)
    return pruner


def _defaults(name: str, rungs: int) -> dict[str, Any]:
    """What we choose where the options don't say: Optuna's own choices are for many rungs."""
    halving = {"min_resource": 1, "reduction_factor": 2}
    match name:
        case "successive_halving":
            return halving
        case "hyperband":
            return {**halving, "max_resource": rungs + 1}
    return {}
