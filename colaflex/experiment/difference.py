"""In what the run of a folder differs from the one that is asked for, in words."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from colaflex.errors import UserError
from colaflex.spec import Difference, Spec

__all__ = ["MEASURING", "difference"]

MEASURING = ("evaluation", "sampling")
"""Sections that say how a model is measured, not what it is."""

MOST = 12
LONGEST = 60


def difference(
    folder: Path, known: Mapping[str, Any], spec: Spec, identity: Mapping[str, Any]
) -> UserError:
    """What is said of a folder that holds another run.

    Args:
        folder: it.
        known: the identity that stands there.
        spec: what is asked for.
        identity: that of what is asked for.
    """
    one, other = (str(each.get("spec_digest"))[:12] for each in (known, identity))
    digests = f"(digest {one}, this one's is {other})"
    try:
        theirs = Spec.of_run(folder / "spec.yaml")
    except UserError as error:
        return UserError(
            f"{folder}: holds a run of another spec {digests}, whose spec.yaml can't be compared "
            f"({error}); choose another folder with --out"
        )
    changed = Spec.changes(theirs, spec)
    what = [_line(each) for each in changed]
    what += _versions(known.get("components", {}), identity["components"])
    holds = "a run of another spec" if what else "a run of this spec on other data"
    if known.get("data_digest") != identity["data_digest"]:
        one, other = (str(each.get("data_digest"))[:12] for each in (known, identity))
        what.append(f"the data, documents or tokenizer, is not the same: {one} -> {other}")
    if not what:
        holds = "a run of another spec"
        what = ["its spec reads the same: a component has changed since, or colaflex itself"]
    listed = "".join(f"\n  {line}" for line in _first(what))
    return UserError(f"{folder}: holds {holds} {digests}:{listed}\n{_advice(folder, changed)}")


def _first(lines: Sequence[str]) -> Iterator[str]:
    yield from lines[:MOST]
    if len(lines) > MOST:
        yield f"and {len(lines) - MOST} more"


def _line(changed: Difference) -> str:
    if changed.left == changed.right:
        return f"{changed.path}: what it leads to has another content than before"
    return f"{changed.path}: {_short(changed.left)} -> {_short(changed.right)}"


def _short(value: Any) -> str:
    text = _inline(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _inline(value: Any) -> str:
    """As it can stand behind `--set KEY=`."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _versions(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The same components in other versions; others are told as values of the spec."""
    return [
        f"{path}: version {before[path][1]} -> {version} of {name}"
        for path, (name, version) in now.items()
        if path in before and before[path][0] == name and before[path][1] != version
    ]


def _advice(folder: Path, changed: Sequence[Difference]) -> str:
    if changed and all(each.path.split(".")[0] in MEASURING for each in changed):
        sets = " ".join(
            f"--set {shlex.quote(f'{each.path}={_inline(each.right)}')}" for each in changed
        )
        return (
            "these say only how a model is measured; measure the finished run so: "
            f"colaflex evaluate {shlex.quote(str(folder))} {sets}"
        )
    return (
        "choose another folder with --out, or go on with what is there: colaflex run "
        f"{shlex.quote(str(folder / 'spec.yaml'))} --out {shlex.quote(str(folder))} --resume"
    )
