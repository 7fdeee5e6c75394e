"""Tables of measured figures, put into a page of the documentation between their marks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

__all__ = ["write_table"]


def write_table(page: Path, name: str, lines: Iterable[str]) -> None:
    """Replace what stands between `<!-- table: name -->` and the next `<!-- end -->`."""
    begin, end = f"<!-- table: {name} -->", "<!-- end -->"
    before, mark, rest = page.read_text(encoding="utf-8").partition(begin)
    if not mark:
        raise SystemExit(f"{page} has no line {begin}")
    shown = "\n".join(lines)
    page.write_text(f"{before}{begin}\n{shown}\n{end}{rest.partition(end)[2]}", encoding="utf-8")
