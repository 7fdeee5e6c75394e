"""What the tuning of a board searches of each row: by its file, or by what components declare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from pydantic import BaseModel

from colaflex.files.problems import KeyPath, Problem, SpecError, nearest
from colaflex.files.yaml import Node, node_of
from colaflex.host.registry import registry
from colaflex.leaderboard.row import Row, unsettable
from colaflex.leaderboard.tuning_plan import SAMPLING, STAGE1_SHARE, TuningPlan
from colaflex.spec import Spec
from colaflex.spec.resolve import Resolver
from colaflex.studies.objective import Point
from colaflex.studies.space.fields import UnknownKey, declared_range
from colaflex.studies.space.parameters import Parameter
from colaflex.studies.space.ranges import DEFAULT_WORD, RangeSettings, read_range
from colaflex.studies.space.space import Space
from colaflex.studies.space.space_reading import read_space

__all__ = ["RowSpace", "default_paths", "has_stage_one", "row_spaces"]

NEAR = 4.0
"""The learning rate is searched from its own value over this to its own value times this."""
SHARES, MOST_SHARE = (0.5, 1.0, 2.0, 4.0), 0.8
"""Multiples of its own value at which the share of stage 1 is searched, and the most it may be.

Few values, so that trials share their stage 1.
"""


@dataclass(frozen=True)
class RowSpace:
    """What is searched of a row.

    Attributes:
        space: its parameters; the share of stage 1 is the last, where it is one.
        spec: of the row.
        share: of stage 1, as the row has it.
    """

    space: Space
    spec: Spec
    share: float

    @property
    def paths(self) -> tuple[str, ...]:
        """What is searched, by key path."""
        return self.space.paths

    @property
    def sampling(self) -> tuple[Parameter, ...]:
        """What a trained model can be measured at without training it again."""
        return tuple(one for one in self.space.parameters if one.path.startswith(SAMPLING))

    def own(self) -> Point:
        """The row's own recipe, or what is nearest to it of what is searched."""
        point = dict(self.space.default_point(self.spec))
        for parameter in self.space.at(STAGE1_SHARE):
            point[STAGE1_SHARE] = parameter.nearest(self.share)
        return point

    def settings(self, point: Point) -> dict[str, Any]:
        """What a point sets, as plain data."""
        values: dict[str, Any] = {}
        for parameter in self.space.parameters:
            if parameter.path in point and parameter.active(point):
                label = point[parameter.path]
                choice = parameter.choices.get(label)
                values[parameter.path] = label if choice is None else choice.node.plain
        return values

    def described(self) -> dict[str, Any]:
        """All that makes its points comparable, by parameter."""
        return {str(one["name"]): one for one in self.space.described()}


def has_stage_one(spec: Spec) -> bool:
    """Whether a row trains a representation for itself before its prior."""
    return spec.baseline is None and spec.training.regime != "scratch"


def row_spaces(
    plan: TuningPlan,
    rows: Mapping[str, Row],
    specs: Mapping[str, Spec],
    share: float,
    node: Node,
) -> dict[str, RowSpace]:
    """The spaces of all rows.

    Args:
        plan: of the board's tuning.
        rows: of the board.
        specs: of the rows.
        share: of stage 1, on the board.
        node: the board's file.

    Raises:
        SpecError: lists what is wrong with them.
    """
    problems: list[Problem] = []
    spaces: dict[str, RowSpace] = {}
    known: set[str] = set()
    for name, row in rows.items():
        reader = _Reader(plan, name, row, specs[name], row.stage1_flops or share, node)
        try:
            spaces[name] = reader.read()
        except SpecError as error:
            problems += error.problems
        known |= reader.known
    given = node.at(("tuning", "space"))
    if given is not None:
        for path in (path for path in given.entries if path not in known):
            problems += _nowhere(given, path, next(iter(specs.values())))
    for index, path in enumerate(plan.fixed):
        if path not in known:
            hint = nearest(path, known)
            problems.append(
                node.problem(("tuning", "fixed", index), "no row has it searched", hint)
            )
    if problems:
        raise SpecError(problems)
    return spaces


def default_paths(spec: Spec) -> Iterator[str]:
    """Key paths of what a spec's components, and its way of sampling, declare to be searched."""
    sections: dict[str, BaseModel] = {**spec.components(), "sampling": spec.sampling}
    for name, section in sections.items():
        if name != "corpus":
            yield from _declared(section, name)


def _declared(holder: BaseModel, path: str) -> Iterator[str]:
    for name, field in type(holder).model_fields.items():
        value, inner = getattr(holder, name), f"{path}.{field.alias or name}"
        if isinstance(value, BaseModel):
            yield from _declared(value, inner)
        elif declared_range(type(holder), name) is not None:
            yield inner


def _nowhere(given: Node, path: str, spec: Spec) -> Iterator[Problem]:
    """What is wrong with an entry that holds of no row: what the first one says of it."""
    where = ("tuning", "space", path)
    try:
        read_space(given.with_entries({path: given.entries[path]}), spec)
    except SpecError as error:
        yield from (replace(p, path=("tuning", *p.path)) for p in error.problems)
        return
    yield given.problem(where[-1:], "no row has it to be searched")


class _Reader:
    """Reads what is searched of one row.

    Attributes:
        known: the key paths that the row has, searched or fixed.
    """

    def __init__(
        self, plan: TuningPlan, name: str, row: Row, spec: Spec, share: float, node: Node
    ) -> None:
        self.plan, self.name, self.row, self.spec = plan, name, row, spec
        self.share, self.node = share, node
        self.known: set[str] = set()

    def read(self) -> RowSpace:
        """The row's space; raises SpecError."""
        own, all_rows = ("rows", self.name, "tuning"), ("tuning",)
        if self.row.tuning.space is not None:
            parameters = self._written(own, self._given((*own, "space")))
        elif self.plan.space is not None:
            given = self._given((*all_rows, "space"))
            parameters = self._written(
                all_rows, {path: one for path, one in given.items() if self._has(path, given)}
            )
        else:
            parameters = tuple(self._default())
        self.known = {parameter.path for parameter in parameters}
        parameters = tuple(one for one in parameters if one.path not in self.plan.fixed)
        if not parameters:
            key = self.node.key_problem(("rows", self.name), "nothing of this row is searched")
            raise SpecError([key])
        return RowSpace(Space(parameters), self.spec, self.share)

    def _written(self, where: KeyPath, entries: dict[str, Node]) -> tuple[Parameter, ...]:
        """What is searched by a space in the file, the share of stage 1 the last."""
        share = entries.pop(STAGE1_SHARE, None)
        last: tuple[Parameter, ...] = ()
        if share is not None:
            spread = self._share_values(share, (*where, "space", STAGE1_SHARE))
            last = (Parameter(STAGE1_SHARE, STAGE1_SHARE, spread),)
        if not entries:
            return last
        try:
            within = Node(entries, self.node.origin, self.node.key)
            return (*read_space(within, self.spec).parameters, *last)
        except SpecError as error:
            raise SpecError([replace(p, path=(*where, *p.path)) for p in error.problems]) from None

    def _given(self, path: KeyPath) -> dict[str, Node]:
        given = self.node.at(path)
        entries = {} if given is None else dict(given.entries)
        self._refuse(path, entries)
        return entries

    def _refuse(self, where: KeyPath, entries: Mapping[str, Node]) -> None:
        """Raise for what no row can have of its own, or what is solved for."""
        problems: list[Problem] = []
        for path in entries:
            if path == STAGE1_SHARE:
                if where[0] == "rows" and not has_stage_one(self.spec):
                    message = "the row has no stage 1"
                    problems.append(self.node.key_problem((*where, path), message, "remove it"))
                continue
            problems += unsettable(self.node, (*where, path), path)
            if path in self.row.solved_paths(self.spec):
                message = "is solved for, so that parameters are equal"
                problems.append(self.node.key_problem((*where, path), message, "remove it"))
        if problems:
            raise SpecError(problems)

    def _has(self, path: str, entries: Mapping[str, Node]) -> bool:
        """Whether the row has this key, and takes what is searched of it."""
        if path == STAGE1_SHARE:
            return has_stage_one(self.spec)
        if any(path.startswith(f"{outer}.") for outer in entries):
            return True
        return self._takes(path, entries[path])

    def _takes(self, path: str, entry: Node) -> bool:
        try:
            values, problems = read_range(entry, path, self.spec)
        except UnknownKey:
            return False
        return values is not None and not problems

    def _default(self) -> Iterator[Parameter]:
        stage = "prior" if self.spec.baseline is None else "baseline"
        rate = self.spec.training.for_stage(stage).learning_rate
        path = f"training.stages.{stage}.learning_rate"
        most = min(rate * NEAR, 10.0)
        yield Parameter(path, path, FloatDistribution(rate / NEAR, most, log=True))
        solved = self.row.solved_paths(self.spec)
        for path in default_paths(self.spec):
            if path not in solved and (declared := self._declared(path)) is not None:
                yield declared
        if has_stage_one(self.spec):
            shares = [s * self.share for s in SHARES if s * self.share <= MOST_SHARE]
            yield Parameter(STAGE1_SHARE, STAGE1_SHARE, CategoricalDistribution(shares))

    def _declared(self, path: str) -> Parameter | None:
        """What is searched of a key path; None where the row takes one value of it, or none."""
        values, problems = read_range(node_of(DEFAULT_WORD, self.node.origin), path, self.spec)
        if values is None or problems or values.distribution.single():
            return None
        return Parameter(path, path, values.distribution, choices=values.choices)

    def _share_values(self, entry: Node, where: KeyPath) -> BaseDistribution:
        """The values of the share of stage 1 in a file; raises SpecError."""
        if isinstance(entry.value, list):
            return CategoricalDistribution(
                _shares([one.value for one in entry.value], entry, where)
            )
        resolver = Resolver(registry())
        ends = resolver.model(RangeSettings, entry, where)
        if not isinstance(ends, RangeSettings):
            raise SpecError(resolver.problems)
        low, high = _shares([ends.low, ends.high], entry, where)
        try:
            return FloatDistribution(low, high, ends.log, ends.step)
        except ValueError as error:
            raise SpecError([Problem(entry.origin, where, str(error))]) from None


def _shares(values: Sequence[object], entry: Node, where: KeyPath) -> list[float]:
    """Values as shares of a budget; raises SpecError for what is none."""
    shares = [float(v) for v in values if isinstance(v, float | int) and 0 < v < 1]
    if not values or len(shares) < len(values):
        raise SpecError([Problem(entry.origin, where, "expected shares between 0 and 1")])
    return shares
