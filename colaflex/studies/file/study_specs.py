"""The specs that a study stands on, its space and its points, each error at its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from colaflex.files.problems import KeyPath, Problem, SpecError
from colaflex.files.yaml import Node
from colaflex.spec import Spec
from colaflex.studies.file.study_keys import StudyKeys
from colaflex.studies.objective import Point, Value
from colaflex.studies.space.fields import UnknownKey, field_at
from colaflex.studies.space.space import Space
from colaflex.studies.space.space_reading import UNSEARCHED, default_space, read_space

__all__ = ["study_specs"]

OWN = ("seed", "name")
"""What a study sets itself."""


def study_specs(
    keys: StudyKeys, base: Spec, node: Node
) -> tuple[dict[str, Spec], Space, dict[str, Point]]:
    """Base, trials and fresh runs as specs; the space; and the points of controls.

    Raises:
        SpecError: lists what is wrong with them.
    """
    problems: list[Problem] = []
    specs = {"base": base}
    for name, path in (("trials", ("trials",)), ("fresh", ("fresh", "set"))):
        try:
            specs[name] = _with(base, node, path)
        except SpecError as error:
            problems += error.problems
            specs[name] = base
    space = Space(())
    entry = node.entry("space") or default_space(specs["trials"], node.origin)
    try:
        space = read_space(entry, specs["trials"])
        if keys.fresh.seeds and not problems:
            problems += _refused_afresh(entry, specs["fresh"])
    except SpecError as error:
        problems += error.problems
    points: dict[str, Point] = {}
    for name, control in keys.controls.items():
        if control.point is not None:
            try:
                points[name] = _point(specs["fresh"], node, ("controls", name, "point"), space)
            except SpecError as error:
                problems += error.problems
    if problems:
        raise SpecError(problems)
    return specs, space, points


def _refused_afresh(entry: Node, spec: Spec) -> Iterator[Problem]:
    """What can be found best, and couldn't be run on fresh seeds then."""
    try:
        read_space(entry, spec)
    except SpecError as error:
        for problem in error.problems:
            message = f"on fresh seeds: {problem.message}"
            yield replace(problem, message=message, hint=f"{problem.hint} in `fresh.set`, too")


def _with(base: Spec, node: Node, path: tuple[str, ...]) -> Spec:
    """The base with values of the file set over it."""
    sets = _entries(node, path)
    problems = []
    searched = node.entries["space"].entries if "space" in node.entries else {}
    for key, child in sets.items():
        message, hint = "", ""
        if not all(key.split(".")):
            message, hint = "is no key path", "write it as evaluation.samples"
        elif key.split(".")[0] in OWN:
            message, hint = f"can't be set: {UNSEARCHED[key]}", "leave it out"
        elif any(key == p or key.startswith(f"{p}.") or p.startswith(f"{key}.") for p in searched):
            message, hint = "is searched", "leave it out of one of them"
        if message:
            problems.append(Problem(child.key, (*path, key), message, hint))
    if problems:
        raise SpecError(problems)
    return _override(base, sets, path) if sets else base


def _override(base: Spec, sets: Mapping[str, Node], path: KeyPath) -> Spec:
    try:
        return base.override(sets)
    except SpecError as error:
        raise SpecError([replace(p, path=(*path, *p.path)) for p in error.problems]) from None


def _point(base: Spec, node: Node, path: tuple[str, ...], space: Space) -> Point:
    """A point of the file: labels where a value is one of the choices, else plain values."""
    sets = _entries(node, path)
    for key, child in sets.items():
        if key.split(".")[0] in OWN:
            raise SpecError([Problem(child.key, (*path, key), f"can't be set: {UNSEARCHED[key]}")])
    spec = _override(base, sets, path)
    point: dict[str, Value] = {}
    problems = []
    for key, child in sorted(sets.items(), key=lambda item: item[0].count(".")):
        try:
            value = field_at(spec, key).value
        except UnknownKey as error:
            problems.append(Problem(child.key, (*path, key), "unknown key", error.hint))
            continue
        label = _label(space, point, key, value, child)
        if label is None:
            message = "expected text, a number, or true or false"
            problems.append(Problem(child.origin, (*path, key), message, "or one of the choices"))
        else:
            point[key] = label
    if problems:
        raise SpecError(problems)
    return point


def _label(space: Space, point: Point, key: str, value: object, node: Node) -> Value | None:
    for parameter in space.at(key):
        for label, choice in parameter.choices.items() if parameter.active(point) else ():
            if choice.node.plain == node.plain:
                return label
    if isinstance(value, bool | int | float):
        return value
    return node.value if isinstance(node.value, str) else None


def _entries(node: Node, path: KeyPath) -> dict[str, Node]:
    section = node.at(path)
    return {} if section is None else section.entries
