"""The points of a sweep: settings of the sampler to generate at besides the spec's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from colaflex.evaluation.plan import EvaluationPlan
from colaflex.generation.text import GenerationOptions
from colaflex.interfaces.language_model import LanguageModel

__all__ = ["SweepPoint", "acts", "sweep_points"]

_DRAWN = "drawn_steps"
"""Steps, each of which but the last goes on from a drawn estimate."""

_UNNOTICED = "of which this model takes no notice"

_TRIED: dict[str, tuple[float, ...]] = {"steps": (1, 2, 7), "guidance": (1.0, 2.0)}


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One setting.

    Attributes:
        settings: what is swept, with its values, in the name's order: fields of
            `GenerationOptions`, or "drawn_steps".
        options: how to sample there.
    """

    settings: tuple[tuple[str, float], ...]
    options: GenerationOptions

    @property
    def name(self) -> str:
        """As it stands in the names of metrics, e.g. "at_steps.4"."""
        return ".".join(f"at_{setting}.{value:g}" for setting, value in self.settings)


def sweep_points(
    model: LanguageModel,
    options: GenerationOptions,
    plan: EvaluationPlan,
    say: Callable[[str], None] = lambda text: None,
) -> list[SweepPoint]:
    """The points of a plan, without those of settings that change nothing of the model.

    Args:
        model: whose network evaluations tell what steps and guidance do.
        options: the spec's sampling.
        plan: what is swept.
        say: called with a line for each sweep that is left out.
    """
    swept: dict[str, Sequence[float]] = {
        "steps": plan.sweep_steps,
        _DRAWN: plan.sweep_drawn_steps,
        "guidance": plan.sweep_guidance,
        "temperature": plan.sweep_temperature,
    }
    noticed = {
        "steps": acts(model, "steps", options),
        _DRAWN: plan.draws,
        "guidance": acts(model, "guidance") if plan.guided is None else plan.guided,
    }
    for setting, does in noticed.items():
        if swept[setting] and not does:
            why = "as this model draws no estimates" if setting == _DRAWN else _UNNOTICED
            say(f"evaluation: no sweep over {setting}, {why}")
            swept[setting] = ()
    along: list[tuple[tuple[str, float], ...]] = [
        ((setting, value),) for setting, values in swept.items() for value in values
    ]
    if plan.sweep_grid:
        along += [
            (("guidance", guidance), ("temperature", temperature))
            for guidance in swept["guidance"]
            for temperature in swept["temperature"]
        ]
    return [SweepPoint(settings, _at(options, settings)) for settings in along]


def _at(options: GenerationOptions, settings: Sequence[tuple[str, float]]) -> GenerationOptions:
    changes: dict[str, Any] = dict(settings)
    if _DRAWN in changes:
        changes |= {"steps": changes.pop(_DRAWN), "estimate": "draw"}
    return options.but(**changes)


def acts(model: LanguageModel, setting: str, options: GenerationOptions | None = None) -> bool:
    """Whether `steps` or `guidance` changes what sampling costs; not where unknown."""
    base = options or GenerationOptions()
    tried = (_at(base, [(setting, value)]).latents for value in _TRIED[setting])
    return len({model.network_evaluations(one) for one in tried}) > 1
