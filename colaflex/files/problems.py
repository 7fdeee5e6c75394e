"""Where a value comes from, what is wrong with it, and the error that lists it all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from colaflex import hints
from colaflex.errors import UserError

__all__ = ["DEFAULT", "KeyPath", "Origin", "Problem", "SpecError", "dotted", "nearest"]

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was given.

    Attributes:
        source: a file as the user named it, "--set", "override", or "default".
        line: from 1, for values of a file.
        column: from 1, for values of a file.
        directory: what relative paths are relative to; None for the working directory.
    """

    source: str
    line: int | None = None
    column: int | None = None
    directory: Path | None = None

    def __str__(self) -> str:
        if self.line is None:
            return self.source
        return f"{self.source}:{self.line}"

    @property
    def place(self) -> str:
        """`file:line:column`, as editors and terminals understand it."""
        return self.source if self.line is None else f"{self}:{self.column}"


DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, at which key, what, and what would be right."""

    origin: Origin
    path: KeyPath
    message: str
    hint: str = ""

    def __str__(self) -> str:
        key = f"{dotted(self.path)}: " if self.path else ""
        hint = f"; {self.hint}" if self.hint else ""
        return f"{self.origin.place}: {key}{self.message}{hint}"


class SpecError(UserError):
    """Everything that is wrong with a spec, one line each."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        sources = list(dict.fromkeys(problem.origin.source for problem in problems))

        def place(problem: Problem) -> tuple[int, int, int]:
            origin = problem.origin
            return sources.index(origin.source), origin.line or 0, origin.column or 0

        self.problems = tuple(sorted(dict.fromkeys(problems), key=place))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def dotted(path: KeyPath) -> str:
    """A key path as users write it: `evaluation.sweep_steps.0`."""
    return ".".join(str(key) for key in path)


def nearest(word: object, choices: Iterable[str]) -> str:
    """A hint that names the nearest choice, or all of them where none is near."""
    known = sorted(set(choices))
    close = hints.nearest(str(word), known)
    if close:
        return f"did you mean `{close}`?"
    return f"choose from {', '.join(known)}" if known else ""
