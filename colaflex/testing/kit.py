"""The conformance kit: which checks a kind has, and how they are run."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator, Mapping

from colaflex.interfaces.component import ComponentConfig
from colaflex.testing.results import Check, CheckResult, judge
from colaflex.testing.subject import find

__all__ = ["check", "checks_of"]

MODULES = {
    "prior": (
        "prior_training_checks",
        "prior_sampling_checks",
        "prior_law_checks",
        "prior_offer_checks",
    ),
    "representation": (
        "representation_checks",
        "representation_training_checks",
        "representation_level_checks",
        "representation_offer_checks",
    ),
    "segmenter": ("segmenter_checks",),
    "network": ("network_checks",),
    "solver": ("solver_checks",),
    "coupling": ("coupling_checks",),
    "baseline": ("baseline_checks",),
    "corpus": ("corpus_checks",),
    "task": ("task_checks",),
    "scorer": ("scorer_checks",),
}


def checks_of(kind: str) -> Iterator[Check]:
    """All checks of a kind: those of its config, then those of its behaviour."""
    for module in ("config_checks", *MODULES.get(kind, ())):
        yield from importlib.import_module(f"colaflex.testing.{module}").CHECKS


def check(
    kind_or_target: str | type,
    name: str | None = None,
    *,
    config: Mapping[str, object] | ComponentConfig | None = None,
    expected_failures: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
) -> list[CheckResult]:
    """Run the conformance kit on a component.

    `check("prior", "flow_matching")`, `check("package.module:Class")` or `check(Class)`.

    Args:
        kind_or_target: a kind, a path, or a class.
        name: of the component, where a kind is given.
        config: options that make it small, or a whole config; by default small sizes.
        expected_failures: check -> reason, beside those that the class itself names.
        only: names of the checks to run; by default all.

    Returns:
        One result a check, in order.

    Raises:
        UserError: there is no such component.

    Example:
        >>> results = check("solver", "heun", only=["config.strict", "solver.direction"])
        >>> [(result.name, result.status) for result in results]
        [('config.strict', 'passed'), ('solver.direction', 'passed')]
    """
    results = []
    for subject in find(kind_or_target, name, config):
        subject.expected_failures.update(expected_failures or {})
        chosen = [c for c in checks_of(subject.kind) if only is None or c.name in only]
        results += [judge(each, subject) for each in chosen]
    return results
