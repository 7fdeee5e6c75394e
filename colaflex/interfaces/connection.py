"""What a prior takes of what a representation offers. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from colaflex.interfaces.configs import PriorConfig, RepresentationConfig

__all__ = ["Connection", "connection"]


@dataclass(frozen=True, slots=True)
class Connection:
    """A prior's choices, `auto` resolved.

    Attributes:
        readout: name of the representation's readout, or "linear": the prior's own head.
        history: whether history is read as `states` of the representation, or as `latents`.

    Example:
        >>> spec = colaflex.Spec.parse({"corpus": "bible"})
        >>> connection(spec.prior, spec.representation)
        Connection(readout='categorical', history='states')
    """

    readout: str = "linear"
    history: str = "latents"


def connection(prior: PriorConfig, representation: RepresentationConfig) -> Connection:
    """The choices of a prior's `readout` and `history`; `auto` is the best that both have."""
    takes, makes, own = prior.capabilities(), representation.capabilities(), Connection()
    readout = getattr(prior, "readout", own.readout)
    history = getattr(prior, "history", own.history)
    if readout == "auto":
        readout = makes.readouts[0] if takes.readout and makes.readouts else own.readout
    if history == "auto":
        history = "states" if takes.history and makes.history else own.history
    return Connection(readout, history)
