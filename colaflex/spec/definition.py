"""Files that say what is made of a spec, boards and studies: all are read in the same way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, PrivateAttr

from colaflex.errors import UserError
from colaflex.files.problems import Problem, SpecError
from colaflex.files.reading import resolved, user_path
from colaflex.files.yaml import Node, read_map
from colaflex.host.registry import registry
from colaflex.spec.resolve import Resolver
from colaflex.spec.spec import Spec
from colaflex.spec.training import Section

__all__ = ["Definition"]


class Definition(Section):
    """What such a file says; make one with `load`, which checks all of it.

    A kind of file is a subclass with its keys, its `KIND`, and what `_problems` and `_complete`
    add.
    """

    KIND: ClassVar[str]
    """What it is, with its article, e.g. "a board"."""
    EXPECTED: ClassVar[str]
    """What such a file holds, in words."""

    title: str = Field("", max_length=200, description="Title, for people.")
    summary: str = Field("", max_length=10_000, description="A paragraph on what it is about.")
    base: Path | None = Field(None, description="Spec that it builds on.")
    spec: dict[str, Any] | None = Field(None, description="That spec, in place.")

    _path: Path = PrivateAttr(default=Path())

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file.

        Raises:
            SpecError: lists everything that is wrong, with its place.
            UserError: the file can't be read.
        """
        path = Path(path)
        node = cls._full_form(read_map(path, cls.EXPECTED))
        resolver = Resolver(registry())
        read = resolver.model(cls, node)
        problems = [*map(cls._as_written, resolver.problems), *_base_problems(node, path, cls.KIND)]
        if isinstance(read, cls):
            problems += read._problems(node)
        if problems or not isinstance(read, cls):
            raise SpecError(problems)
        read._path = path
        return read._complete(_base_spec(node), node)

    @classmethod
    def _full_form(cls, node: Node) -> Node:
        """The file's content with its short forms written out."""
        return node

    @classmethod
    def _as_written(cls, problem: Problem) -> Problem:
        """A problem of the full form as one of the file."""
        return problem

    def _problems(self, node: Node) -> Iterator[Problem]:
        """What is wrong with what it says, the spec aside."""
        raise NotImplementedError

    def _complete(self, base: Spec, node: Node) -> Self:
        """It with what follows from the spec that it builds on; raises SpecError."""
        raise NotImplementedError


def _base_problems(node: Node, file: Path, kind: str) -> Iterator[Problem]:
    """What is wrong with how a file names the spec that it builds on."""
    base, inline = (node.entry(key) for key in ("base", "spec"))
    hint = "name a spec file, or write it in place"
    if base is not None and inline is not None:
        yield Problem(inline.origin, ("spec",), "`base` and `spec` are both given", hint)
    elif base is None and inline is None:
        yield Problem(node.origin, ("base",), "required: `base` or `spec`", hint)
    elif base is not None:
        try:
            if resolved(file.parent / user_path(str(base.value))) == resolved(file):
                message = f"{kind} can't be its own base"
                yield Problem(base.origin, ("base",), message, "name a spec file")
        except UserError as error:
            yield Problem(base.origin, ("base",), str(error))


def _base_spec(node: Node) -> Spec:
    """The spec that a file builds on, with places of its values in the files they stand in.

    Whatever is made of it is compared, so that its judge no longer depends on a run's size.

    Raises:
        SpecError: something is wrong with it.
    """
    inline = node.entry("spec")
    if inline is not None:
        return _with_one_judge(Spec.parse(inline, inline.origin.source))
    base = node.entries["base"]
    try:
        path = (base.origin.directory or Path.cwd()) / user_path(str(base.value))
        return _with_one_judge(Spec.load(_shown(path)))
    except SpecError:
        raise
    except UserError as error:
        raise SpecError([Problem(base.origin, ("base",), str(error))]) from None


def _with_one_judge(spec: Spec) -> Spec:
    judge = spec.evaluation.judge
    steps, rows = judge.size()
    if (judge.steps, judge.batch_size) == (steps, rows):
        return spec
    return spec.override({"evaluation.judge.steps": steps, "evaluation.judge.batch_size": rows})


def _shown(path: Path) -> Path:
    """A path as short as it can be said."""
    try:
        return resolved(path).relative_to(Path.cwd())
    except ValueError:
        return path
