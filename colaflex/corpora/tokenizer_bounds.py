"""What a tokenizer.json from others may hold, so that reading it can't hang or fill the memory.

The library runs its patterns by backtracking and its steps without bound: a repeated group that
repeats inside takes exponential time on some text, and sixty steps that each double a text make
2^60 characters of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colaflex.errors import UserError

__all__ = ["LARGEST", "check_bounds", "library_failures", "repeats_inside"]

LARGEST = 256 << 20  # bytes; ten times the largest vocabularies that are published
DEEPEST = 32
MOST_STEPS = 64
LARGEST_GROWTH = 64.0
LONGEST_PATTERN = 10_000
MOST_REPEATS = 3  # in a row
LARGEST_BOUND = 64

STEPS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")


def check_bounds(content: Any, path: Path) -> None:
    """Raise UserError for a tokenizer.json that nests, repeats or grows without measure."""
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: expected a tokenizer.json, an object with a `model`")
    for part in STEPS:
        steps = list(_steps(content.get(part), path, part))
        if len(steps) > MOST_STEPS:
            raise UserError(f"{path}: {part}: {len(steps)} steps, at most {MOST_STEPS} are run")
        growth = 1.0
        for step in steps:
            growth *= _growth(step)
            _check_pattern(step, path, part)
        if growth > LARGEST_GROWTH:
            raise UserError(
                f"{path}: {part}: could make a text {growth:.3g} times as long, at most "
                f"{LARGEST_GROWTH:.0f} times is allowed"
            )


def _steps(node: Any, path: Path, part: str, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """Every step of a part, those of sequences in their order."""
    if depth > DEEPEST:
        raise UserError(f"{path}: {part}: nested deeper than {DEEPEST}")
    if isinstance(node, Mapping):
        yield node
        for value in node.values():
            yield from _steps(value, path, part, depth + 1) if isinstance(value, list) else ()
    elif isinstance(node, list):
        for item in node:
            if isinstance(item, Mapping | list):
                yield from _steps(item, path, part, depth + 1)


def _growth(step: Mapping[str, Any]) -> float:
    """How many times as long a step can make a text; every match has a character or more."""
    added = step.get("content") if step.get("type") == "Replace" else step.get("prepend")
    return float(max(1, len(added))) if isinstance(added, str) else 1.0


def _check_pattern(step: Mapping[str, Any], path: Path, part: str) -> None:
    pattern = step.get("pattern")
    regex = pattern.get("Regex") if isinstance(pattern, Mapping) else None
    if not isinstance(regex, str):
        return
    if len(regex) > LONGEST_PATTERN:
        raise UserError(f"{path}: {part}: a pattern of {len(regex):,} characters")
    if repeats_inside(regex):
        shown = regex if len(regex) <= 80 else f"{regex[:80]}…"
        raise UserError(
            f"{path}: {part}: the pattern {shown!r} repeats a group that repeats or chooses "
            "inside, which can take time without end; write it without"
        )


def repeats_inside(pattern: str) -> bool:
    """Whether a pattern repeats, without bound, a group that itself repeats or has alternatives.

    So does one with more than three repeats in a row. Groups that never give back what they took,
    `(?>...)`, and possessive repeats are harmless.
    """
    groups = [_Group(atomic=False)]
    closed = False  # whether what was just read is a group with a choice in it
    place = 0
    while place < len(pattern):
        step, character = 1, pattern[place]
        choice = False
        if character == "\\":
            step = 2
        elif character == "[":
            step = _class_length(pattern, place)
        elif character == "(":
            groups.append(_Group(atomic=pattern.startswith("(?>", place)))
            step = 2 if pattern.startswith("(?", place) else 1
        elif character == ")" and len(groups) > 1:
            ended = groups.pop()
            choice = ended.choice and not ended.atomic
        elif character == "|":
            groups[-1].choice, groups[-1].repeats = True, 0
        elif match := _REPEAT.match(pattern, place):
            step = match.end() - place
            endless, possessive = _endless(match.group()), match.group("mode") == "+"
            groups[-1].repeats += endless and not possessive
            if groups[-1].repeats > MOST_REPEATS or (closed and endless and not possessive):
                return True
            groups[-1].choice |= not possessive
        groups[-1].choice |= choice
        closed, place = choice, place + step
    return False


@dataclass
class _Group:
    """An open group: whether it gives nothing back, can match in several ways, and repeats."""

    atomic: bool
    choice: bool = False
    repeats: int = 0


_REPEAT = re.compile(r"(?:[*+?]|\{\d*,\d*\})(?P<mode>[+?]?)")


def _endless(repeat: str) -> bool:
    """Whether a repeat has no bound, or one that helps nobody."""
    if repeat[0] != "{":
        return repeat[0] in "*+"
    high = repeat[1 : repeat.index("}")].partition(",")[2]
    return not high or int(high) > LARGEST_BOUND


def _class_length(pattern: str, place: int) -> int:
    """The length of the character class that begins at a place."""
    depth, at = 0, place
    while at < len(pattern):
        if pattern[at] == "\\":
            at += 1
        elif pattern[at] == "[":
            depth += 1
        elif pattern[at] == "]" and pattern[at - 1 : at + 1] not in ("[]", "^]"):
            depth -= 1
        at += 1
        if depth == 0:
            break
    return at - place


@contextmanager
def library_failures(what: str) -> Iterator[None]:
    """Turn what the tokenizers library raises, its panics too, into a UserError."""
    try:
        yield
    except (UserError, KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
        raise
    except BaseException as error:  # the library raises plain Exception, and panics are none
        raise UserError(
            f"{what}: {str(error).splitlines()[0] if str(error) else error!r}"
        ) from None
