"""The conformance kit: which checks a kind has, and how they are run, by hand or by pytest."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from colaflex.interfaces.component import ComponentConfig
from colaflex.testing.promise import Check, checks_in, judge
from colaflex.testing.results import CheckResult
from colaflex.testing.subject import Subject, find, kind_of

__all__ = ["BoundCheck", "check", "checks_of", "conformance_checks"]

TOPICS: dict[str, tuple[str, ...]] = {
    "prior": ("prior_training", "prior_sampling", "prior_law", "prior_offer"),
    "representation": (
        *("representation", "representation_training"),
        *("representation_level", "representation_offer"),
    ),
    "metric": (),
}
"""Kinds whose checks fill more than one module, or none."""


def checks_of(kind: str) -> Iterator[Check]:
    """All checks of a kind: those of its config, then those of its behaviour."""
    for topic in ("config", *TOPICS.get(kind, (kind,))):
        yield from checks_in(importlib.import_module(f"colaflex.testing.{topic}_checks"))


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


def conformance_checks(
    kind_or_class: str | type,
    name: str | None = None,
    *,
    config: Mapping[str, object] | ComponentConfig | None = None,
) -> list[Any]:
    """The checks of a component as pytest parameters, to be called without arguments.

        @pytest.mark.parametrize("check", conformance_checks("prior", "mine"))
        def test_conformance(check):
            check()

    Args:
        kind_or_class: a kind, or the component's class.
        name: of the component, where a kind is given.
        config: options that make it small, or a whole config; by default small sizes.

    Raises:
        UserError: the class is of no kind.

    Example:
        >>> checks = conformance_checks("solver", "heun")
        >>> checks[0].id
        'config.kind'
    """
    import pytest

    kind = kind_or_class if isinstance(kind_or_class, str) else kind_of(kind_or_class)
    subjects = Subjects(kind_or_class, name, config)
    return [pytest.param(BoundCheck(c, subjects), id=c.name) for c in checks_of(kind)]


class BoundCheck:
    """A check of one component, to be called by a test; its subject is shared and made late."""

    def __init__(self, check: Check, subjects: Subjects) -> None:
        self.check, self._subjects = check, subjects

    def __repr__(self) -> str:
        return self.check.name

    def __call__(self) -> None:
        """Run it: passes, or fails, skips or expects the failure, as pytest understands it."""
        import pytest

        results = [judge(self.check, subject) for subject in self._subjects()]
        for result in results:
            if result.status == "failed":
                pytest.fail(f"{result.component}: {result.message}", pytrace=False)
        for result in results:
            if result.status == "expected_failure":
                pytest.xfail(result.reason)
        if all(result.status == "skipped" for result in results):
            pytest.skip(results[0].reason)


class Subjects:
    """The component that a test file is about, found when its first check runs."""

    def __init__(self, *target: Any) -> None:
        self._target, self._subjects = target, list[Subject]()

    def __call__(self) -> list[Subject]:
        """Find it, once."""
        if not self._subjects:
            self._subjects = find(*self._target)
        return self._subjects
