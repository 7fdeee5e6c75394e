"""The tables: what stands in metrics.jsonl and result.json, one value a line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from colaflex.files.writing import write_atomic

__all__ = ["write_result", "write_steps"]

PLACE = ("step", "stage")
INTERVAL = ("value", "low", "high", "n")


def write_steps(folder: Path) -> None:
    """`tables/steps.csv` of a run folder, from its metrics.jsonl."""
    source = folder / "metrics.jsonl"
    lines = source.read_text(encoding="utf-8").splitlines() if source.is_file() else []
    _write(folder / "tables/steps.csv", (*PLACE, "name", "value"), _values(lines))


def write_result(folder: Path, result: Mapping[str, object]) -> None:
    """`tables/result.csv` of a run folder, from its result."""
    metrics = result.get("metrics")
    named = metrics.items() if isinstance(metrics, Mapping) else ()
    rows = ([name, *(metric.get(key) for key in INTERVAL)] for name, metric in named)
    _write(folder / "tables/result.csv", ("name", *INTERVAL), rows)


def _values(lines: Iterable[str]) -> Iterator[Sequence[object]]:
    for line in lines:
        record = json.loads(line)
        place = [record.get(key) for key in PLACE]
        for name, value in record.items():
            if name not in PLACE:
                yield [*place, name, value]


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, text.getvalue())
