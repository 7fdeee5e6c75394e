"""A study file: what is searched over which spec, by what measure, with what means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import PrivateAttr

from colaflex.files.problems import Problem, SpecError
from colaflex.files.yaml import Node
from colaflex.host.registry import registry
from colaflex.spec import Spec
from colaflex.spec.canonical import components_of, sha256_of
from colaflex.studies.file.file_forms import as_written, full_form
from colaflex.studies.file.study_checks import problems_of, space_problems
from colaflex.studies.file.study_keys import StudyKeys
from colaflex.studies.file.study_specs import study_specs
from colaflex.studies.file.study_start import settled_start
from colaflex.studies.objective import Point
from colaflex.studies.sampling.sampler_options import Named
from colaflex.studies.space.space import Space

__all__ = ["FRESH", "SEARCH", "StudyFile"]

SEARCH = "search"
"""Name of the arm that is no control."""
FRESH = "fresh"
"""Name of the runs of optima on fresh seeds."""
STUDY_SCHEMA = 1
DIGITS = 12


class StudyFile(StudyKeys):
    """A study file; make one with `StudyFile.load`, which checks all of it.

    Attributes beside the keys of the file: `path`, `base_spec`, `trial_spec` (with `trials` set
    over it), `fresh_spec` (with `fresh.set` set over it), `searched`, `arms`, `points`.
    """

    _specs: dict[str, Spec] = PrivateAttr(default_factory=dict)
    _searched: Space = PrivateAttr()
    _points: dict[str, Point] = PrivateAttr(default_factory=dict)

    @classmethod
    def _full_form(cls, node: Node) -> Node:
        return full_form(node)

    @classmethod
    def _as_written(cls, problem: Problem) -> Problem:
        return as_written(problem)

    def _problems(self, node: Node) -> Iterator[Problem]:
        return problems_of(self, node)

    def _complete(self, base: Spec, node: Node) -> Self:
        self._specs, self._searched, self._points = study_specs(self, base, node)
        if problems := list(space_problems(self, self.searched, self.trial_spec, node)):
            raise SpecError(problems)
        start = settled_start(self.start, self.searched, self.trial_spec, node)
        return self.model_copy(update={"start": start})

    @property
    def base_spec(self) -> Spec:
        """What trials are made of."""
        return self._specs["base"]

    @property
    def trial_spec(self) -> Spec:
        """What trials of the search are made of: the base with `trials` set over it."""
        return self._specs["trials"]

    @property
    def fresh_spec(self) -> Spec:
        """What runs on fresh seeds are made of: the base with `fresh.set` set over it."""
        return self._specs["fresh"]

    @property
    def searched(self) -> Space:
        """What is searched."""
        return self._searched

    @property
    def arms(self) -> tuple[str, ...]:
        """The searches: `search`, and controls with a sampler."""
        named = (name for name, control in self.controls.items() if control.sampler is not None)
        return (SEARCH, *named)

    @property
    def points(self) -> Mapping[str, Point]:
        """The points of controls that search nothing, by name."""
        return self._points

    def sampler_of(self, arm: str) -> Named:
        """What proposes the trials of an arm."""
        control = self.controls.get(arm)
        return self.sampler if control is None or control.sampler is None else control.sampler

    def content(self, arm: str) -> dict[str, Any]:
        """What the identity covers, as plain data by key path, to say later what has changed."""
        spec = self.fresh_spec if arm == FRESH else self.trial_spec
        space = {parameter["name"]: parameter for parameter in self.searched.described()}
        components = components_of(spec, registry())
        return {
            **spec.identifying(),
            **{f"components.{path}": entry for path, entry in components.items()},
            **{f"space.{name}": parameter for name, parameter in space.items()},
            "objectives": [[rank.metric, rank.direction] for rank in self.objectives],
            "rungs": list(self.rungs),
            "seeds": self.seeds,
        }

    def identity(self, arm: str, data_digest: str = "") -> str:
        """Identifies what must be equal for the trials of an arm to compare: hex digits.

        Covers the spec of the trials with the versions of its components, the space with all its
        values, objectives, rungs and seeds; neither budget, sampler, pruner, storage nor titles.
        """
        content = {
            "schema": STUDY_SCHEMA,
            "study": self.study,
            "arm": arm,
            "spec": (self.fresh_spec if arm == FRESH else self.trial_spec).digest(data_digest),
            "space": self.searched.described(),
            "objectives": [[rank.metric, rank.direction] for rank in self.objectives],
            "rungs": list(self.rungs),
            "seeds": self.seeds,
        }
        return sha256_of(content)[:DIGITS]
