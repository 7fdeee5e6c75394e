"""Write the pages that are generated from the code: `python docs/generate.py [--check]`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from colaflex.host.metadata import Selection
from colaflex.registry import Registry
from colaflex.report.metrics import METRICS, ROWS
from colaflex.spec.document import reference

__all__ = ["main", "pages"]

DOCS = Path(__file__).parent
BETTER = {"higher": "higher", "lower": "lower", "real": "nearer to real text", None: ""}

HEAD = """# Metrics

`result.json` holds a flat map from dotted names to `{"value", "low", "high", "n"}`: the value, its
95 % interval (null where none is known, as of a single timing), and the number of items that it was
taken over. In the names below `*` and `?` stand for what varies, such as the order of an n-gram.

Intervals are over items of one run; results of several seeds are kept apart. Metrics of generated
text carry a row where they are not the model's (`generation.real.distinct_2`) and a point where
they are part of a sweep over steps or guidance (`generation.at_steps.4.distinct_2`); without
either they are the model's, at the spec's `sampling`.

This page is generated from `colaflex.report.metrics`.
"""


def pages() -> dict[Path, str]:
    """The text of every generated page, of colaflex's own components only."""
    own = Registry.discover(Selection(allowed=frozenset()))
    return {DOCS / "spec.md": reference(own), DOCS / "metrics.md": "\n".join(_metrics())}


def _metrics() -> Iterator[str]:
    yield HEAD
    yield "## Rows\n\nThe same metrics stand beside the model's for reference:\n"
    yield "| row | whose text |\n|---|---|"
    yield from (f"| `{row}` | {label} |" for row, label in ROWS.items())
    families = dict.fromkeys(name.partition(".")[0] for name in METRICS)
    for family in families:
        yield f"\n## `{family}`\n"
        yield "| name | what it is | unit | better |\n|---|---|---|---|"
        for name, info in METRICS.items():
            if name.startswith(f"{family}."):
                meaning = info.meaning or f"{info.label[:1].upper()}{info.label[1:]}."
                unit = "fraction" if info.unit == "share" else info.unit
                cells = (f"`{name}`", meaning.replace("{0}", "n"), unit, BETTER[info.better])
                yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def main(arguments: list[str]) -> int:
    """Write the pages, or with --check only tell whether they are current."""
    stale = [
        path
        for path, text in pages().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        print(f"{path.name} is not current; run: python docs/generate.py")
        if "--check" not in arguments:
            path.write_text(pages()[path], encoding="utf-8")
            print(f"wrote {path.name}")
    return int(bool(stale) and "--check" in arguments)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
