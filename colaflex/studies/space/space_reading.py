"""From the `space` of a study file to a Space: every key looked up, every choice tried alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from colaflex.errors import UserError
from colaflex.files.problems import KeyPath, Origin, Problem, SpecError
from colaflex.files.yaml import Node, node_of
from colaflex.spec import Spec
from colaflex.studies.space.fields import UnknownKey, field_at
from colaflex.studies.space.parameters import Combination, Parameter
from colaflex.studies.space.ranges import DEFAULT_WORD, KeyValues, read_range
from colaflex.studies.space.space import Space

__all__ = ["KNOBS", "UNSEARCHED", "default_space", "read_space"]

KNOBS = (
    "representation.latent_dim",
    "representation.log_snr",
    "prior.schedule.loc",
    "prior.block_size",
)
"""The options that are calibrated together, searched where a file says nothing."""

UNSEARCHED: Mapping[str, str] = {
    **dict.fromkeys(("seed", "name"), "the study sets it itself, in every trial"),
    **dict.fromkeys(("corpus", "evaluation"), "trials that differ in it don't compare"),
    **dict.fromkeys(("spec_version", "requires", "extends"), "it is no option of the experiment"),
}
"""Sections that no trial differs in, and why."""

Variant = tuple[Combination, Spec]


def read_space(space: Node | Mapping[str, Any], spec: Spec) -> Space:
    """The space that a map of key paths stands for, over a spec.

    Raises:
        SpecError: lists everything that is wrong with it, with its place.
    """
    node = space if isinstance(space, Node) else node_of(space, Origin("space"))
    reader = _Reader(node, spec)
    reader.read()
    if reader.problems:
        raise SpecError(reader.problems)
    return Space(tuple(reader.parameters))


def default_space(spec: Spec, origin: Origin) -> Node:
    """The four knobs, as far as a spec has them, each with its own range."""
    entries = {}
    for path in KNOBS:
        try:
            field_at(spec, path)
        except UnknownKey:
            continue
        entries[path] = Node(DEFAULT_WORD, origin, origin)
    return Node(entries, origin, origin)


class _Reader:
    """Reads the keys, outer ones first, so that components are known before what is in them."""

    def __init__(self, node: Node, spec: Spec) -> None:
        self.node, self.spec = node, spec
        self.parameters: list[Parameter] = []
        self.components: set[str] = set()
        self.problems: list[Problem] = []

    def read(self) -> None:
        entries = self.node.entries
        if not entries:
            message = "expected a map of key paths, each with choices, a range, or `default`"
            self.problems.append(Problem(self.node.origin, ("space",), message))
        by_path: dict[str, list[Parameter]] = {}
        for path in sorted(entries, key=lambda path: path.count(".")):
            problem = self._refusal(path)
            if problem is not None:
                self.problems.append(problem)
                continue
            by_path[path] = self._parameters(path)
            self.parameters += by_path[path]
        # As in the file, but components first: what they have depends on them.
        order = [*(p for p in by_path if p in self.components)]
        order += [p for p in entries if p in by_path and p not in self.components]
        self.parameters = [parameter for path in order for parameter in by_path[path]]

    def _refusal(self, path: str) -> Problem | None:
        """Why a key can't be searched, whatever its values."""
        place = self.node.entries[path].key
        where: KeyPath = ("space", path)
        keys = path.split(".")
        if not all(keys):
            return Problem(place, where, "is no key path", "write it as prior.block_size")
        if keys[0] in UNSEARCHED:
            return Problem(
                place, where, f"can't be searched: {UNSEARCHED[keys[0]]}", "leave it out"
            )
        if keys[-1] == "type" and len(keys) > 1:
            component = ".".join(keys[:-1])
            hint = f"search `{component}`"
            return Problem(place, where, "a component is searched as a whole", hint)
        for outer in self._outer(path):
            if outer not in self.components:
                message = f"is searched within `{outer}`, which is searched as a whole"
                return Problem(place, where, message, "leave one of them out")
            for index, choice in enumerate(self.node.entries[outer].value or ()):  # type: ignore[arg-type]
                if isinstance(choice, Node) and _says(choice, path[len(outer) + 1 :]):
                    message = f"is set by choice {index + 1} of `{outer}`, and searched, too"
                    return Problem(place, where, message, "leave one of them out")
        return None

    def _outer(self, path: str) -> list[str]:
        """The searched keys that hold this one, outer ones first."""
        entries = [key for key in self.node.entries if path.startswith(f"{key}.")]
        return sorted(entries, key=len)

    def _variants(self, path: str) -> Iterator[Variant]:
        """The spec with each choice of the components that hold a key."""
        variants: list[Variant] = [((), self.spec)]
        for outer in self._outer(path):
            grown: list[Variant] = []
            for chosen, spec in variants:
                at = (p for p in self.parameters if p.path == outer and p.active(dict(chosen)))
                parameter = next(at, None)
                if parameter is None:
                    grown.append((chosen, spec))
                    continue
                for label, choice in parameter.choices.items():
                    try:
                        variant = spec.override({outer: choice.node})
                    except UserError:
                        continue  # refused together with the components around it
                    grown.append(((*chosen, (outer, label)), variant))
            variants = grown
        yield from variants

    def _parameters(self, path: str) -> list[Parameter]:
        node = self.node.entries[path]
        groups: list[tuple[KeyValues, list[Combination]]] = []
        problems: list[tuple[Combination, list[Problem]]] = []
        missing: list[UnknownKey] = []
        for chosen, spec in self._variants(path):
            try:
                searched, wrong = read_range(node, path, spec)
                if field_at(spec, path).shape.slot is not None:
                    self.components.add(path)
            except UnknownKey as error:
                missing.append(error)
                continue
            problems.append((chosen, wrong))
            if searched is not None:
                _group(groups, searched, chosen)
        if not problems and missing:
            self._unknown(path, missing)
        self._report(problems)
        return _named(path, groups, bool(missing))

    def _unknown(self, path: str, missing: list[UnknownKey]) -> None:
        place, outer = self.node.entries[path].key, self._outer(path)
        of = f"none of the choices of {' and '.join(outer)} has it" if outer else "unknown key"
        hint = next((e.hint for e in missing if e.hint.startswith("did")), missing[0].hint)
        if outer and not hint.startswith("did"):
            hint = "leave it out, or list a component that has it"
        self.problems.append(Problem(place, ("space", path), of, hint))

    def _report(self, problems: list[tuple[Combination, list[Problem]]]) -> None:
        everywhere = all(wrong for _, wrong in problems)
        for chosen, wrong in problems[:1] if everywhere else problems:
            with_ = ", ".join(f"{path} {label}" for path, label in chosen)
            for problem in wrong:
                message = problem.message
                if not everywhere:
                    message = f"with {with_}: {message}"
                self.problems.append(replace(problem, message=message))


def _says(choice: Node, path: str) -> bool:
    """Whether a choice's options set a key, as a whole or in part."""
    node: Node | None = choice
    for key in path.split("."):
        node = None if node is None else node.child(key)
    return node is not None


def _group(
    groups: list[tuple[KeyValues, list[Combination]]], searched: KeyValues, chosen: Combination
) -> None:
    for known, combinations in groups:
        if known == searched:
            combinations.append(chosen)
            return
    groups.append((searched, [chosen]))


def _named(
    path: str, groups: list[tuple[KeyValues, list[Combination]]], partial: bool
) -> list[Parameter]:
    """A parameter for each of the ranges that a key has."""
    if len(groups) == 1 and not partial:
        searched = groups[0][0]
        return [Parameter(path, path, searched.distribution, choices=searched.choices)]
    parameters = []
    for searched, combinations in groups:
        labels = [",".join(str(label) for _, label in chosen) for chosen in combinations]
        component = "+".join(dict.fromkeys(labels))
        name = path if len(groups) == 1 else f"{path}@{component}"
        when = frozenset(combinations)
        parameters.append(
            Parameter(path, name, searched.distribution, component, when, searched.choices)
        )
    return parameters
