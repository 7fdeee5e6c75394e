"""The points of a sweep: settings of the sampler to generate at besides the spec's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from colaflex.evaluation.plan import EvaluationPlan
from colaflex.generation.text import GenerationOptions
from colaflex.interfaces.language_model import LanguageModel
from colaflex.spec.sections import Swept

__all__ = ["SweepPoint", "acts", "sweep_points"]

_DRAWN = "drawn_steps"
"""Steps, each of which but the last goes on from a drawn estimate."""

_COURSE = ("guidance_interval", "guidance_law")
"""Settings of a guidance that there is."""

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

    settings: tuple[tuple[str, Swept], ...]
    options: GenerationOptions

    @property
    def name(self) -> str:
        """As it stands in the names of metrics, e.g. "at_steps.4"."""
        return ".".join(f"at_{setting}.{_named(value)}" for setting, value in self.settings)

    @property
    def priced(self) -> bool:
        """Whether its cost is recorded: not where guidance or the tokens' temperature moves."""
        return not {setting for setting, _ in self.settings} & {"guidance", "temperature"}


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
    swept: dict[str, Sequence[Swept]] = {
        "steps": plan.sweep_steps,
        _DRAWN: plan.sweep_drawn_steps,
        "guidance": plan.sweep_guidance,
        "temperature": plan.sweep_temperature,
        **plan.sweep_sampling.values(),
    }
    noticed = {
        "steps": acts(model, "steps", options),
        _DRAWN: plan.draws,
        "guidance": acts(model, "guidance") if plan.guided is None else plan.guided,
        **dict.fromkeys(plan.unfit, False),
    }
    for setting, does in noticed.items():
        if swept[setting] and not does:
            why = "as this model draws no estimates" if setting == _DRAWN else _UNNOTICED
            say(f"evaluation: no sweep over {setting}, {why}")
            swept[setting] = ()
    for setting in _COURSE:
        if swept.get(setting) and options.guidance == 1:
            say(f"evaluation: no sweep over {setting}, as sampling.guidance is 1, off")
            swept[setting] = ()
    along: list[tuple[tuple[str, Swept], ...]] = [
        ((setting, value),) for setting, values in swept.items() for value in values
    ]
    if plan.sweep_grid:
        along += [
            (("guidance", guidance), ("temperature", temperature))
            for guidance in swept["guidance"]
            for temperature in swept["temperature"]
        ]
    return [SweepPoint(settings, _at(options, settings)) for settings in along]


def _named(value: Swept) -> str:
    """A value as it stands in the names of metrics."""
    if isinstance(value, tuple):
        return "-".join(f"{end:g}" for end in value)
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else f"{value:g}"


def _at(options: GenerationOptions, settings: Sequence[tuple[str, Swept]]) -> GenerationOptions:
    changes: dict[str, Any] = dict(settings)
    if _DRAWN in changes:
        changes |= {"steps": changes.pop(_DRAWN), "estimate": "draw"}
    return options.but(**changes)


def acts(model: LanguageModel, setting: str, options: GenerationOptions | None = None) -> bool:
    """Whether `steps` or `guidance` changes what sampling costs; not where unknown."""
    base = options or GenerationOptions()
    tried = (_at(base, [(setting, value)]).latents for value in _TRIED[setting])
    return len({model.network_evaluations(one) for one in tried}) > 1
