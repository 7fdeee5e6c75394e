"""What a study knows beforehand of where the best values lie.

The authors' law of the schedule's location is one of the loss of velocities. With
v = (z_t - z0) / t an error of z0 is t times that of v, so that times drawn from p(t) weigh
velocities by t² p(t). Of logit t ~ N(loc, scale²) that is a law whose mean lies higher.
"""

from __future__ import annotations

import math

import numpy as np

from colaflex.files.problems import Problem, SpecError, nearest
from colaflex.files.yaml import Node
from colaflex.spec import Spec
from colaflex.studies.sampling.start import Centre, Start
from colaflex.studies.space.fields import UnknownKey, field_at
from colaflex.studies.space.space import Space

__all__ = ["KNOWN", "effective_location", "known_centre", "settled_start", "x0_location"]

LOC, DIM = "prior.schedule.loc", "representation.latent_dim"
KNOWN = Centre(at=1.0, slope=0.5, of=DIM, reference=16, spread=0.5)
"""The authors' law: the best location grows by half the logarithm of the dimension."""

REACH, CELLS = 12.0, 4801
"""Of the grid in deviations of logit t; sums of so smooth a law are exact to rounding."""


def settled_start(start: Start | None, space: Space, spec: Spec, node: Node) -> Start | None:
    """What a file says of the start, or the law of the schedule's location where it says nothing.

    A slope along what isn't searched is settled by the value that the spec has there.

    Raises:
        SpecError: it speaks of keys that aren't searched ranges.
    """
    if "start" not in node.entries:
        loc = space.at(LOC)
        if not loc or not all(parameter.is_range for parameter in loc):
            return None
        if _number(spec, DIM) is None:
            return None
        return Start(centres={LOC: _settled(known_centre(spec), space, spec)})
    if start is None:
        return None
    problems = [
        problem
        for path, centre in start.centres.items()
        for problem in _problems(path, centre, space, spec, node.entries["start"])
    ]
    if problems:
        raise SpecError(problems)
    centres = {path: _settled(c, space, spec) for path, c in start.centres.items()}
    return start.model_copy(update={"centres": centres})


def known_centre(spec: Spec) -> Centre:
    """The law, which is one of the loss of velocities, by the loss that the spec's prior has."""
    compared, scale = (_at(spec, path) for path in ("prior.loss_space", "prior.schedule.scale"))
    if compared == "auto":
        compared = _at(spec, "prior.prediction")
    if compared != "x0" or not isinstance(scale, int | float):
        return KNOWN
    at, further = (x0_location(KNOWN.at + KNOWN.slope * more, scale) for more in (0, 1))
    return KNOWN.model_copy(update={"at": at, "slope": further - at})


def _problems(path: str, centre: Centre, space: Space, spec: Spec, start: Node) -> list[Problem]:
    entry = start.entries["centres"].entries[path]
    where = ("start", path)
    parameters = space.at(path)
    if not parameters:
        hint = nearest(path, [p.path for p in space.parameters if p.is_range])
        return [Problem(entry.key, where, "is not searched", hint)]
    if not all(parameter.is_range for parameter in parameters):
        hint = "search it as a range, or leave it out"
        return [Problem(entry.key, where, "has choices; a start needs a range", hint)]
    of = centre.of
    if of is None:
        return []
    values = [_values(parameter.choices, parameter.is_range) for parameter in space.at(of)]
    if (space.at(of) and all(values)) or _number(spec, of) is not None:
        return []
    place = entry.entries.get("of", entry).origin
    numbers = [p.path for p in space.parameters if p.path != path]
    return [Problem(place, (*where, "of"), f"{of} is no number above 0", nearest(of, numbers))]


def _values(choices: object, is_range: bool) -> bool:
    numbers = [*choices] if isinstance(choices, dict) else []
    return is_range or all(
        isinstance(n, int | float) and not isinstance(n, bool) and n > 0 for n in numbers
    )


def _settled(centre: Centre, space: Space, spec: Spec) -> Centre:
    """Without the slope along what is the same in all trials."""
    if centre.of is None or space.at(centre.of):
        return centre
    value = _number(spec, centre.of)
    assert value is not None
    at = centre.at + centre.slope * math.log(value / centre.reference)
    return Centre(at=at, spread=centre.spread)


def _number(spec: Spec, path: str) -> float | None:
    """The value above 0 that a spec has at a path, if it has one."""
    value = _at(spec, path)
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        return None
    return float(value)


def _at(spec: Spec, path: str) -> object:
    try:
        return field_at(spec, path).value
    except UnknownKey:
        return None


def effective_location(loc: float, scale: float = 1.0) -> float:
    """The mean of logit t by the weight that the loss of z0 gives to errors of the velocity."""
    logits = loc + scale * np.linspace(-REACH, REACH, CELLS)
    weight = np.exp(-0.5 * ((logits - loc) / scale) ** 2) / (1 + np.exp(-logits)) ** 2
    return float((weight * logits).sum() / weight.sum())


def x0_location(location: float, scale: float = 1.0) -> float:
    """The loc at which the loss of z0 acts as that of velocities does at `location`."""
    from scipy.optimize import brentq

    # The weight lies between 1 and t², which moves the mean of logit t by 0 to 2 scale².
    below = location - 2 * scale**2 - 1e-9
    return float(brentq(lambda loc: effective_location(loc, scale) - location, below, location))
