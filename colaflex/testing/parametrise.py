"""The kit's checks as pytest parameters: a plugin's test file is three lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from colaflex.interfaces.component import ComponentConfig
from colaflex.testing.kit import checks_of
from colaflex.testing.results import Check, judge
from colaflex.testing.subject import Subject, find, kind_of

__all__ = ["BoundCheck", "conformance_checks"]


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
        self._target, self._found = target, list[Subject]()

    def __call__(self) -> list[Subject]:
        """Find it, once."""
        if not self._found:
            self._found = find(*self._target)
        return self._found
