"""The spec that a file of another kind builds on: named by `base`, or written under `spec`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from colaflex.errors import UserError
from colaflex.files.problems import Problem, SpecError
from colaflex.files.reading import resolved, user_path
from colaflex.files.yaml import Node
from colaflex.spec.spec import Spec

__all__ = ["base_problems", "base_spec"]


def base_problems(node: Node, file: Path, what: str) -> Iterator[Problem]:
    """What is wrong with how a file names its base.

    Args:
        node: the file's content, with `base` or `spec`.
        file: its path.
        what: what it is, with its article, e.g. "a board".
    """
    base, inline = (_given(node, key) for key in ("base", "spec"))
    hint = "name a spec file, or write it in place"
    if base is not None and inline is not None:
        yield Problem(inline.origin, ("spec",), "`base` and `spec` are both given", hint)
    elif base is None and inline is None:
        yield Problem(node.origin, ("base",), "required: `base` or `spec`", hint)
    elif base is not None:
        yield from _unfit(base, file, what)


def _unfit(base: Node, file: Path, what: str) -> Iterator[Problem]:
    try:
        named = resolved(file.parent / user_path(str(base.value)))
    except UserError as error:
        yield Problem(base.origin, ("base",), str(error))
        return
    if named == resolved(file):
        message = f"{what} can't be its own base"
        yield Problem(base.origin, ("base",), message, "name a spec file")


def base_spec(node: Node) -> Spec:
    """The spec that a file builds on, with places of its values in the files they stand in.

    Whatever is made of it is compared, so that its judge no longer depends on a run's size.

    Raises:
        SpecError: it is missing, or something is wrong with it.
    """
    inline = _given(node, "spec")
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


def _given(node: Node, key: str) -> Node | None:
    child = node.child(key)
    return None if child is None or child.value is None else child


def _shown(path: Path) -> Path:
    """A path as short as it can be said."""
    try:
        return resolved(path).relative_to(Path.cwd())
    except ValueError:
        return path
