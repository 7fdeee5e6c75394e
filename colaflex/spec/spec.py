"""Spec: an experiment, read from YAML, overridden, resolved, compared and identified."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from pydantic import PrivateAttr, model_validator

from colaflex.errors import UserError, WrongKind
from colaflex.files.problems import DEFAULT, KeyPath, Origin, Problem, SpecError, dotted
from colaflex.files.reading import user_path
from colaflex.files.yaml import Node, node_of, write_yaml
from colaflex.host.registry import registry
from colaflex.spec.canonical import canonical, components_of, plain, sha256_of, stage1_of_run
from colaflex.spec.checks import OriginOf, misfits, missing_requirements, refusals, warnings
from colaflex.spec.layers import LATENT_SECTIONS, Layers, read_set
from colaflex.spec.resolve import Resolver, SavedResolver, type_of
from colaflex.spec.sections import Document
from colaflex.spec.swap import Swap

__all__ = ["Difference", "Spec"]

STAGE1 = ("corpus", "tokenizer", "segmenter", "representation")
TAKEN = ("tokenizer", "segmenter", "representation")
UNIDENTIFYING = ("name", "requires")


@dataclass(frozen=True, slots=True)
class Difference:
    """A value in which two specs differ; None on the side that lacks the key."""

    path: str
    left: Any
    right: Any


class Spec(Document):
    """A resolved spec; make one with `Spec.load`, `Spec.parse` or `override`.

    Its sections are attributes: `corpus`, `tokenizer`, `segmenter`, `representation`, `prior` or
    `baseline`, `training`, `sampling`, `evaluation`, beside `name` and `seed`.

    Example:
        >>> spec = Spec.load("spec.yaml")
        >>> spec.prior.type, spec.training.steps
        ('flow_matching', 15)
    """

    _given: Node = PrivateAttr(default=Node({}, DEFAULT, DEFAULT))
    _tree: Node = PrivateAttr(default=Node({}, DEFAULT, DEFAULT))
    _stage1_run: Path | None = PrivateAttr(default=None)
    _swaps: tuple[Swap, ...] = PrivateAttr(default=())

    @model_validator(mode="before")
    @classmethod
    def _know_components(cls, data: Any) -> Any:
        registry()
        return data

    @classmethod
    def load(cls, path: str | Path, sets: Sequence[str] = ()) -> Self:
        """Read a spec file.

        Args:
            path: the file; what it extends is relative to it.
            sets: `a.b.c=VALUE` settings on top, as of `--set`.

        Raises:
            SpecError: lists everything that is wrong, with its place.
            UserError: the file can't be read.

        Example:
            >>> Spec.load("spec.yaml", sets=["prior.block_size=2"]).prior.block_size
            2
        """
        file = user_path(path)
        if isinstance(sets, str) or not all(isinstance(each, str) for each in sets):
            raise WrongKind(f"sets: expected a list of texts such as a.b=VALUE, got {sets!r:.60}")
        layers = Layers(registry())
        tree = layers.load(file)
        if "name" not in tree.entries:
            place = replace(tree.origin, line=None)
            named = Node(file.stem, place, place)
            tree = tree.with_entries({"name": named, **tree.entries})
        return cls._of(tree, layers, [read_set(argument) for argument in sets])

    @classmethod
    def of_run(cls, path: str | Path, sets: Sequence[str] = ()) -> Self:
        """The spec that a run was trained by, whatever speaks against training by it by now.

        Args:
            path: of the run's spec.yaml.
            sets: as of `load`.

        Raises:
            SpecError, UserError: as `load`.
        """
        layers = Layers(registry())
        tree = layers.load(Path(path))
        overrides = [read_set(argument) for argument in sets]
        return cls._of(tree, layers, overrides, misfits, SavedResolver(registry()))

    @classmethod
    def of_record(cls, mapping: Mapping[str, Any]) -> Self:
        """The spec that a record says its run was trained by, from plain data, as of `parse`."""
        layers, tree = Layers(registry()), node_of(mapping, Origin("spec"))
        saved = SavedResolver(registry())
        return cls._of(layers.extended(tree), layers, [], refusals, saved)

    @classmethod
    def parse(cls, mapping: Mapping[str, Any] | Node, source: str = "spec") -> Self:
        """A spec from plain data; `source` is named where something is wrong.

        What was read from a file keeps its places.

        Example:
            >>> Spec.parse({"corpus": "bible", "baseline": "plaid"})
            Spec(name='unnamed', corpus='bible', baseline='plaid')
        """
        layers = Layers(registry())
        tree = node_of(mapping, Origin(source))
        return cls._of(layers.extended(tree), layers, [])

    def override(self, values: Mapping[str, Any]) -> Self:
        """Another spec with values set by key path: `{"prior": "rectified_flow"}`.

        Changing a component keeps what means the same to the new one; `swap_report` tells.

        Example:
            >>> spec = Spec.load("spec.yaml").override({"prior": "mean_flow", "training.steps": 50})
            >>> print(spec.swap_report[0])
            prior: flow_matching -> mean_flow
              kept      block_size=4, network={...}
              defaulted ...
        """
        origin = Origin("override")
        if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
            raise WrongKind(f"expected a map of values by key path, got {values!r:.60}")
        sets = []
        for name, value in values.items():
            path: KeyPath = tuple(name.split("."))
            if not all(path):
                raise SpecError([Problem(origin, (), f"{name!r} is no key path")])
            sets.append((path, node_of(value, origin, path)))
        tree = self._given if self._given.entries else node_of(self.resolved(), Origin("spec"))
        return self._of(tree, Layers(registry()), sets)

    @classmethod
    def _of(
        cls,
        tree: Node,
        layers: Layers,
        sets: Sequence[tuple[KeyPath, Node]],
        rules: Callable[[Document, OriginOf], Iterable[Problem]] = refusals,
        resolver: Resolver | None = None,
    ) -> Self:
        # Outer keys first, so that the order in which settings are given changes nothing.
        for path, value in sorted(sets, key=lambda item: len(item[0])):
            tree = layers.assign(tree, path, value)
        given = tree
        tree, run = _stage1_source(given, layers)
        complete = tree
        if type_of(tree.child("baseline")) is not None:
            absent = dict.fromkeys(LATENT_SECTIONS, Node(None, DEFAULT, DEFAULT))
            complete = tree.with_entries({**absent, **tree.entries})
        resolver = resolver or Resolver(registry())

        def origin_of(path: KeyPath) -> Origin:
            return _origin(tree, path)

        requires = tree.child("requires")
        required = None if requires is None else requires.plain
        resolver.problems.extend(missing_requirements(required, origin_of))
        spec = resolver.model(cls, complete)
        if isinstance(spec, cls):
            resolver.problems.extend(rules(spec, origin_of))
        if resolver.problems or not isinstance(spec, cls):
            raise SpecError(resolver.problems)
        for path, value in resolver.added.items():
            given = layers.assign(given, path, Node(value, DEFAULT, DEFAULT))
        spec._given, spec._tree, spec._stage1_run = given, tree, run
        spec._swaps = tuple(layers.swaps)
        spec._check_stage1_run()
        return spec

    @property
    def swap_report(self) -> list[Swap]:
        """What became of sections whose component was changed on the way to this spec."""
        return list(self._swaps)

    @property
    def warnings(self) -> list[str]:
        """What will work, but hardly as meant."""
        lines = list(warnings(self))
        run = self._stage1_run
        if run is not None and not (run / "spec.yaml").is_file():
            lines.append(f"representation.from: there is no run in {run}")
        return lines

    @property
    def stage1_run(self) -> Path | None:
        """The run whose stage 1 is taken (`representation.from`), or None."""
        return self._stage1_run

    def resolved(self) -> dict[str, Any]:
        """Everything in plain data, defaults filled in, components as distribution:name.

        Example:
            >>> Spec.load("spec.yaml").resolved()["segmenter"]
            {'type': 'colaflex:fixed_patch', 'size': 4, 'align_prompts': True}
        """
        full = {key: value for key, value in plain(self, registry()).items() if value is not None}
        if self._stage1_run is not None:
            full["representation"]["from"] = str(self._stage1_run)
        return full

    def to_yaml(self) -> str:
        """`resolved` as YAML; loading it gives an equal spec with the same digest."""
        return write_yaml(self.resolved())

    def digest(self, data_digest: str = "") -> str:
        """Identifies the experiment: what it does to which data, not its name or its places."""
        content = {
            **self._identifying(),
            "spec_version": self.spec_version,
            "data": data_digest,
            "components": components_of(self, registry()),
        }
        if self._stage1_run is not None:
            content["stage1"] = stage1_of_run(self._stage1_run)
        return sha256_of(content)

    def _identifying(self) -> dict[str, Any]:
        """The sections as they stand in the digest."""
        reduced = canonical(self, registry())
        return {
            **{key: value for key, value in reduced.items() if key not in UNIDENTIFYING},
            "corpus": canonical(self.corpus, registry(), contents=False),
        }

    def stage1_digest(self, data_digest: str = "") -> str:
        """Identifies stage 1: the same for every prior and regime.

        One that is taken from a run counts by its weights.

        Raises:
            ValueError: a baseline has no stage 1.
        """
        if self.representation is None:
            raise ValueError("a baseline has no stage 1")
        taken = None if self._stage1_run is None else stage1_of_run(self._stage1_run)
        if taken is not None:
            return taken
        parts = {name: getattr(self, name) for name in STAGE1}
        known = registry()
        named = {
            name: canonical(part, known, contents=name != "corpus") for name, part in parts.items()
        }
        for option in self.representation.for_priors:
            named["representation"].pop(option, None)
        content = {
            **named,
            "training": plain(self.training.for_stage("representation"), known),
            "seed": self.seed,
            "spec_version": self.spec_version,
            "data": data_digest,
            "components": components_of(parts, known),
        }
        return sha256_of(content)

    def origin(self, path: str) -> Origin:
        """Where the value at a key path (`prior.block_size`) was given."""
        tree = self._given if path == "representation.from" else self._tree
        return _origin(tree, tuple(path.split(".")), exact=True)

    def values(self) -> Iterator[tuple[str, Any, Origin]]:
        """Every value with its key path and its origin, lists as a whole."""
        for path, node in node_of(self.resolved(), DEFAULT).leaves():
            yield dotted(path), node.plain, self.origin(dotted(path))

    @staticmethod
    def diff(left: Spec, right: Spec) -> list[Difference]:
        """The values in which two specs differ.

        Example:
            >>> spec = Spec.load("spec.yaml")
            >>> Spec.diff(spec, spec.override({"seed": 1}))
            [Difference(path='seed', left=0, right=1)]
        """
        one, two = ({path: value for path, value, _ in s.values()} for s in (left, right))
        paths = [*one, *(path for path in two if path not in one)]
        return [
            Difference(path, one.get(path), two.get(path))
            for path in paths
            if one.get(path) != two.get(path)
        ]

    @staticmethod
    def changes(left: Spec, right: Spec) -> list[Difference]:
        """The values that make two specs other experiments, so no names and no places.

        Both sides are equal where the same path leads to another content.
        """
        one, two = (s.identifying() for s in (left, right))
        here, there = ({path: value for path, value, _ in s.values()} for s in (left, right))
        return [
            Difference(path, here.get(path), there.get(path))
            for path in {**here, **there, **one, **two}
            if one.get(path) != two.get(path)
        ]

    def identifying(self) -> dict[str, Any]:
        """The values by key path that make it the experiment it is: no names and no places."""
        content = self._identifying()
        if self._stage1_run is not None:
            content["representation"]["from"] = stage1_of_run(self._stage1_run)
        return {dotted(path): node.plain for path, node in node_of(content, DEFAULT).leaves()}

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        yield "name", self.name
        for section, config in self.components().items():
            yield section, config.type

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spec) and self.resolved() == other.resolved()

    def __hash__(self) -> int:
        return hash(sha256_of(self.resolved()))

    def _check_stage1_run(self) -> None:
        run = self._stage1_run
        if run is not None and self.training.regime == "scratch":
            path: KeyPath = ("representation", "from")
            message = "nothing is taken from a run where training.regime is scratch"
            hint = "leave it out, or choose another regime"
            raise SpecError([Problem(_origin(self._given, path), path, message, hint)])
        saved = None if run is None else run / "spec.yaml"
        if saved is None or not saved.is_file():
            return
        layers = Layers(registry())
        theirs = type(self)._of(_without_from(layers.load(saved)), layers, [], misfits)
        problems = []
        for each in Spec.diff(self, theirs):
            path = tuple(each.path.split("."))
            if path[0] in TAKEN and path[1] != "from":
                message = f"{each.left} here, {each.right} in {run}, whose stage 1 is taken"
                problems.append(Problem(_origin(self._tree, path), path, message, "leave it out"))
        if problems:
            raise SpecError(problems)


def _stage1_source(tree: Node, layers: Layers) -> tuple[Node, Path | None]:
    """Take `representation.from` out of the tree; the run's own sections come in below."""
    section = tree.child("representation")
    named = None if section is None else section.child("from")
    if section is None or named is None:
        return tree, None
    path = ("representation", "from")
    if not isinstance(named.value, str) or not named.value:
        raise SpecError([Problem(named.origin, path, "expected the path of a run folder")])
    try:
        run = (named.origin.directory or Path.cwd()) / user_path(named.value)
    except UserError as error:
        raise SpecError([Problem(named.origin, path, str(error))]) from None
    tree = _without_from(tree)
    saved = run / "spec.yaml"
    if saved.is_file():
        theirs = _without_from(layers.load(saved))
        below = {key: node for key, node in theirs.entries.items() if key in TAKEN}
        tree = layers.merge(theirs.with_entries(below), tree)
    return tree, run


def _without_from(tree: Node) -> Node:
    section = tree.child("representation")
    if section is None or "from" not in section.entries:
        return tree
    rest = {key: node for key, node in section.entries.items() if key != "from"}
    return tree.with_entries({**tree.entries, "representation": section.with_entries(rest)})


def _origin(tree: Node, path: KeyPath, *, exact: bool = False) -> Origin:
    """Of the value at a path; of what holds it, or `default`, where it was not given."""
    node = tree
    for index, key in enumerate(path):
        child = node.child(int(key) if str(key).isdigit() else key)
        if child is None:
            short = index == len(path) - 1 and key == "type" and isinstance(node.value, str)
            return node.origin if short or not exact else DEFAULT
        node = child
    return node.origin
