"""Which likelihoods are bounds, which estimates: those stand with their sign wherever shown."""

from __future__ import annotations

from colaflex.report.metrics import place

__all__ = ["BOUND", "ESTIMATE", "sign", "signed"]

BOUND = "≤ "
"""What stands before a code length that is an upper bound."""

ESTIMATE = "≈ "
"""What stands before the estimate of one: its density is integrated along an ODE."""

ERROR = "likelihood.integration_error"


def sign(metric: str, likelihood: object) -> str:
    """What stands before a metric's number; "" where that is what its name says.

    Args:
        metric: full name.
        likelihood: what the model declares: exact, ode, bound, none. What isn't declared exact may
            be a bound, and "at most" is true of either.
    """
    if place(metric).family != "likelihood" or metric == ERROR or likelihood == "exact":
        return ""
    return ESTIMATE if likelihood == "ode" else BOUND


def signed(metric: str, text: str, likelihood: object) -> str:
    """A metric's printed number with its sign; what holds no digit has none."""
    return sign(metric, likelihood) + text if any(map(str.isdigit, text)) else text
