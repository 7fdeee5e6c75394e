"""What a check is, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from colaflex.testing.subject import Subject

__all__ = ["Check", "CheckResult", "Fault", "NotApplicable", "Status", "judge"]

Status = Literal["passed", "failed", "expected_failure", "skipped"]


class Fault(AssertionError):
    """The component doesn't do what its kind promises; the message says what and by how much."""


class NotApplicable(Exception):
    """The check has nothing to say of this component; the message says why."""


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


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came of one check of one component.

    Attributes:
        component: kind and name.
        name: of the check.
        status: passed, failed, expected_failure or skipped.
        reason: why it was skipped, or was expected to fail.
        message: what is wrong, and what must hold; empty where nothing is.

    Example:
        >>> result = CheckResult("solver mine", "solver.dtype", "failed", message="it answers fp64")
        >>> result.as_json()["status"]
        'failed'
    """

    component: str
    name: str
    status: Status
    reason: str = ""
    message: str = ""

    def as_json(self) -> dict[str, str]:
        """As `colaflex plugins check --json` prints it."""
        return asdict(self)


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
