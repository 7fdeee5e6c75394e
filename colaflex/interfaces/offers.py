"""What a prior takes of what a representation offers. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from colaflex.interfaces.configs import PriorConfig, RepresentationConfig

__all__ = ["Taken", "offered", "taken"]


@dataclass(frozen=True, slots=True)
class Taken:
    """A prior's choices, `auto` resolved.

    Attributes:
        readout: name of the representation's readout, or "linear": the prior's own head.
        history: whether history is read as `states` of the representation, or as `latents`.
    """

    readout: str = "linear"
    history: str = "latents"


def offered(prior: PriorConfig, representation: RepresentationConfig) -> Taken:
    """The best that the two have in common."""
    takes, makes = prior.capabilities(), representation.capabilities()
    return Taken(
        readout=makes.readouts[0] if takes.readout and makes.readouts else "linear",
        history="states" if takes.history and makes.history else "latents",
    )


def taken(prior: PriorConfig, representation: RepresentationConfig) -> Taken:
    """The choices of a prior's `readout` and `history`, with its own ways where it has neither."""
    best, own = offered(prior, representation), Taken()
    readout = getattr(prior, "readout", own.readout)
    history = getattr(prior, "history", own.history)
    return Taken(
        best.readout if readout == "auto" else readout,
        best.history if history == "auto" else history,
    )
