"""Which likelihoods are bounds, which estimates: those stand with their sign wherever shown."""

from __future__ import annotations

from typing import Literal

from colaflex.interfaces.connection import connection
from colaflex.metrics.names import place
from colaflex.spec import Spec

__all__ = ["BOUND", "ESTIMATE", "by_readout", "declared_likelihood", "sign", "signed"]

BOUND = "≤ "
"""What stands before a code length that is an upper bound."""

ESTIMATE = "≈ "
"""What stands before the estimate of one: its density is integrated along an ODE."""

ERROR = "likelihood.integration_error"


def declared_likelihood(spec: Spec) -> Literal["exact", "ode", "bound", "none"]:
    """What the likelihood of a spec's model is, as its parts declare.

    That of a latent model is at best a bound, and needs a density of both posterior and prior;
    where the prior's is integrated along an ODE it is the estimate of one. By a readout it is a
    bound as well.
    """
    if spec.baseline is not None:
        capabilities = spec.baseline.capabilities()
        declared: Literal["exact", "bound", "none"] = capabilities.likelihood
        return declared
    if by_readout(spec):
        return "bound"
    assert spec.prior is not None
    assert spec.representation is not None
    densities = spec.representation.capabilities().continuous_density
    density = spec.prior.capabilities().likelihood
    if not densities or density == "none":
        return "none"
    return "ode" if density == "ode" else "bound"


def by_readout(spec: Spec) -> bool:
    """Whether likelihoods are those of text that a readout draws in one step, as asked for."""
    if spec.evaluation.likelihood != "readout" or spec.prior is None:
        return False
    assert spec.representation is not None
    readout = connection(spec.prior, spec.representation).readout
    mute = ("linear", *spec.representation.capabilities().undrawn)
    return spec.prior.capabilities().estimates and readout not in mute


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
