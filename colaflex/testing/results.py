"""What comes of a check: a result, a fault, or that it has nothing to say."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

__all__ = ["CheckResult", "Fault", "NotApplicable", "Status"]

Status = Literal["passed", "failed", "expected_failure", "skipped"]


class Fault(AssertionError):
    """The component doesn't do what its kind promises; the message says what and by how much."""


class NotApplicable(Exception):
    """The check has nothing to say of this component; the message says why."""


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
