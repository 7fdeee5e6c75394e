"""Which likelihoods are bounds: those stand with a ≤ wherever they are shown."""

from __future__ import annotations

from colaflex.report.metrics import place

__all__ = ["BOUND", "is_bound", "marked"]

BOUND = "≤ "
"""What stands before a code length that is an upper bound."""


def is_bound(metric: str, likelihood: str) -> bool:
    """Whether a metric is no likelihood itself but bounds it.

    Args:
        metric: full name.
        likelihood: what the model declares: exact, bound, none. What isn't declared exact may be a
            bound, and "at most" is true of either.
    """
    return place(metric).family == "likelihood" and likelihood != "exact"


def marked(text: str, bound: bool) -> str:
    """A printed number, with its ≤ if it is a bound."""
    return f"{BOUND}{text}" if bound and any(map(str.isdigit, text)) else text
