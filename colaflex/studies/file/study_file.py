"""A study file: what is searched over which spec, by what measure, with what means."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, PrivateAttr, model_validator

from colaflex.files.problems import Problem, SpecError
from colaflex.files.yaml import Node, read_file
from colaflex.host.registry import registry
from colaflex.metrics.rank import Rank
from colaflex.spec import Spec
from colaflex.spec.base import base_problems, base_spec
from colaflex.spec.canonical import components_of, sha256_of
from colaflex.spec.resolve import Resolver
from colaflex.spec.training import Section
from colaflex.studies.file.file_forms import as_written, full_form
from colaflex.studies.file.study_settings import Budget, Control, Fresh
from colaflex.studies.objective import Point
from colaflex.studies.sampling.named import Named
from colaflex.studies.sampling.start import Start
from colaflex.studies.space.space import Space

__all__ = ["FRESH", "SEARCH", "StudyFile"]

SEARCH = "search"
"""Name of the arm that is no control."""
FRESH = "fresh"
"""Name of the runs of optima on fresh seeds."""
STUDY_SCHEMA = 1
DIGITS = 12


class StudyFile(Section):
    """A study file; make one with `StudyFile.load`, which checks all of it.

    Attributes beside the keys of the file: `path`, `base_spec`, `trial_spec` (with `trials` set
    over it), `fresh_spec` (with `fresh.set` set over it), `searched`, `arms`, `points`.
    """

    study: str = Field(..., min_length=1, max_length=100, description="Name of the study.")
    title: str = Field("", max_length=200, description="Title, for people.")
    summary: str = Field("", max_length=10_000, description="A paragraph on what is asked.")
    base: Path | None = Field(None, description="Spec that trials are made of.")
    spec: dict[str, Any] | None = Field(None, description="That spec, in place.")
    space: dict[str, Any] | None = Field(
        None,
        description="What is searched by key path: choices, a range, or `default`; null: the four "
        "knobs that are calibrated together.",
    )
    objectives: tuple[Rank, ...] = Field(
        ..., min_length=1, max_length=8, description="Metrics of the validation split to improve."
    )
    budget: Budget = Field(..., description="What ends the search.")
    sampler: Named = Field(Named(type="tpe"), description="What proposes trials.")
    pruner: Named | None = Field(None, description="What ends trials early.")
    rungs: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (),
        max_length=64,
        description="Shares of the prior stage's tokens at which a trial is measured beforehand.",
    )
    seeds: int = Field(1, ge=1, le=1000, description="Runs of a trial; their mean is its value.")
    start: Start | None = Field(None, description="What is known beforehand; null: nothing.")
    trials: dict[str, Any] = Field(
        {}, description="Values by key path over the base spec, in trials of the search only."
    )
    fresh: Fresh = Field(Fresh(), description="The optimum again, on fresh seeds.")
    controls: dict[str, Control] = Field(
        {}, description="Other ways to spend the same budget, by name."
    )
    storage: str = Field(
        "journal", min_length=1, max_length=1000, description="Where trials are kept."
    )

    _path: Path = PrivateAttr(default=Path())
    _specs: dict[str, Spec] = PrivateAttr(default_factory=dict)
    _searched: Space = PrivateAttr()
    _points: dict[str, Point] = PrivateAttr(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _know_components(cls, data: Any) -> Any:
        registry()
        return data

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a study file.

        Raises:
            SpecError: lists everything that is wrong, with its place.
            UserError: the file can't be read.
        """
        from colaflex.studies.file.study_checks import problems_of, space_problems
        from colaflex.studies.file.study_specs import study_specs

        path = Path(path)
        node = read_file(path)
        if not isinstance(node.value, dict):
            message = "expected a map with study, base, space, objectives, budget"
            raise SpecError([Problem(node.origin, (), message)])
        node = full_form(node)
        resolver = Resolver(registry())
        found = resolver.model(cls, node)
        problems = [*map(as_written, resolver.problems), *base_problems(node, path, "a study")]
        if not isinstance(found, cls):
            raise SpecError(problems)
        problems += problems_of(found, node)
        if problems:
            raise SpecError(problems)
        found._path = path
        specs, space, points = study_specs(found, base_spec(node), node)
        found._specs, found._searched, found._points = specs, space, points
        problems += space_problems(found, node)
        if problems:
            raise SpecError(problems)
        return found._with_start(node)

    def _with_start(self, node: Node) -> Self:
        """With what is known beforehand said, as far as the file leaves it out."""
        from colaflex.studies.file.study_start import settled_start

        start = settled_start(self, node)
        return self.model_copy(update={"start": start})

    @property
    def path(self) -> Path:
        """The study file."""
        return self._path

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
