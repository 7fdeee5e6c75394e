"""Schedules that follow the training: whether there is what they follow."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from colaflex.files.problems import KeyPath
from colaflex.interfaces.configs import ScheduleConfig
from colaflex.interfaces.connection import connection
from colaflex.spec.sections import Document

__all__ = ["schedule_refusals"]


def schedule_refusals(spec: Document) -> Iterator[tuple[KeyPath, str, str]]:
    """Each with the key that is about it, why, and a hint."""
    prior, representation = spec.prior, spec.representation
    assert prior is not None
    assert representation is not None
    fixed = "choose one whose law rests"
    for path, schedule in _schedules(prior, ("prior",)):
        source = schedule.capabilities().source
        if source == "none":
            continue
        if path != ("prior", "schedule") or not prior.capabilities().watched:
            who = prior.type if path == ("prior", "schedule") else path[-1]
            yield path, f"{schedule.type} follows the training, of which {who} hears nothing", fixed
            continue
        readout = connection(prior, representation).readout
        if source == "readout" and readout == "linear":
            message = f"{schedule.type} follows the readout, which is linear and says no text"
            yield path, message, "set its source to x0 or decoder, or prior.readout to auto"
        if source == "decoder" and not representation.capabilities().costs:
            message = f"{representation.type} doesn't say what texts cost by its decoder"
            yield path, message, "set the schedule's source to x0"


def _schedules(model: BaseModel, path: KeyPath) -> Iterator[tuple[KeyPath, ScheduleConfig]]:
    for name in type(model).model_fields:
        value, where = getattr(model, name), (*path, name)
        if isinstance(value, ScheduleConfig):
            yield where, value
        elif isinstance(value, BaseModel):
            yield from _schedules(value, where)
