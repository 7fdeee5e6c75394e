"""The two ways a command can fail."""

from __future__ import annotations

__all__ = ["Diverged", "RunFailure", "UserError", "WrongKind"]


class UserError(Exception):
    """The request was wrong: a spec, an argument, a missing file. Exit code 2, no traceback."""


class WrongKind(UserError, TypeError):
    """An argument of a Python function is of a kind that it doesn't take."""


class RunFailure(Exception):
    """The request was right and failed while it ran. Exit code 1, nothing half-written."""


class Diverged(RunFailure):
    """Training came to values that are not finite, as it will again."""
