"""The two ways a command can fail."""

from __future__ import annotations

__all__ = ["RunFailure", "UserError"]


class UserError(Exception):
    """The request was wrong: a spec, an argument, a missing file. Exit code 2, no traceback."""


class RunFailure(Exception):
    """The request was right and failed while it ran. Exit code 1, nothing half-written."""
