"""Which likelihoods are bounds, which estimates: those stand with their sign wherever shown."""

from __future__ import annotations

from colaflex.report.metrics import place

__all__ = ["BOUND", "ESTIMATE", "is_bound", "marked", "signed"]

BOUND = "≤ "
"""What stands before a code length that is an upper bound."""

ESTIMATE = "≈ "
"""What stands before the estimate of one: its density is integrated along an ODE."""

ERROR = "likelihood.integration_error"


def is_bound(metric: str, likelihood: str) -> bool:
    """Whether a metric is no likelihood itself but bounds it.

    Args:
        metric: full name.
        likelihood: what the model declares: exact, ode, bound, none. What isn't declared exact may
            be a bound, and "at most" is true of either.
    """
    return place(metric).family == "likelihood" and likelihood != "exact" and metric != ERROR


def marked(text: str, bound: bool, sign: str = BOUND) -> str:
    """A printed number, with its sign if it is a bound."""
    return f"{sign}{text}" if bound and any(map(str.isdigit, text)) else text


def signed(metric: str, text: str, likelihood: object) -> str:
    """A metric's printed number, with a sign where it is no exact likelihood.

    Args:
        metric: full name.
        text: the number.
        likelihood: as result.json has it.
    """
    sign = ESTIMATE if likelihood == "ode" else BOUND
    return marked(text, is_bound(metric, str(likelihood)), sign)
