"""A check: one promise of a kind of component, how it is put to the test, and the verdict."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

from colaflex.testing.results import CheckResult, Fault, NotApplicable
from colaflex.testing.subject import Subject

__all__ = ["Check", "checks_in", "judge"]


@dataclass(frozen=True, slots=True)
class Check:
    """One promise of a kind, and how it is put to the test.

    Attributes:
        name: kind (or "config") and promise, e.g. "prior.pinned".
        run: raises Fault where the promise is broken, NotApplicable where it was not made.
    """

    name: str
    run: Callable[[Subject], None]

    @property
    def promise(self) -> str:
        """One line on what must hold."""
        return (self.run.__doc__ or "").strip().splitlines()[0]


def checks_in(module: ModuleType) -> Iterator[Check]:
    """Every public function of `KIND_..._checks` that takes a subject alone, in their order.

    Nobody imports them by name, so that their modules' `__all__` needs none of them.
    """
    kind = module.__name__.rpartition(".")[2].partition("_")[0]
    for name, function in vars(module).items():
        own = inspect.isfunction(function) and function.__module__ == module.__name__
        if own and name[0] != "_" and list(inspect.signature(function).parameters) == ["subject"]:
            yield Check(f"{kind}.{name}", function)


def judge(check: Check, subject: Subject) -> CheckResult:
    """Run one check; whatever the component raises is a failure of the check."""
    expected = subject.expected_failures.get(check.name)
    try:
        check.run(subject)
    except NotApplicable as skipped:
        return CheckResult(subject.label, check.name, "skipped", str(skipped))
    except Fault as fault:
        message = f"{fault}. Expected: {check.promise}"
    except Exception as error:  # a component may raise anything
        text = " ".join(str(error).split())
        message = f"it raised {type(error).__name__}: {text}. Expected: {check.promise}"
    else:
        if expected is None:
            return CheckResult(subject.label, check.name, "passed")
        message = "it passes, though the component says that it can't; take it off its list"
        return CheckResult(subject.label, check.name, "failed", expected, message)
    if expected is not None:
        return CheckResult(subject.label, check.name, "expected_failure", expected, message)
    return CheckResult(subject.label, check.name, "failed", "", message)
