"""Reading a run folder, tolerant of what a run has not measured and strict about broken files.

All text is cleaned on the way in: a run's names, prompts and samples may hold anything, and
control characters and lone surrogates belong neither in a page nor in a terminal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from colaflex.errors import UserError
from colaflex.files.manifest import confirmed
from colaflex.files.problems import Origin, SpecError
from colaflex.files.reading import MissingFile, parse_json
from colaflex.files.yaml import read_text
from colaflex.interfaces.metric import Measurement
from colaflex.metrics.measurements import measurements_of

__all__ = ["ComponentRow", "RunRecord", "clean", "components", "read_run"]

_TERM = re.compile(r"^loss[./]")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class ComponentRow:
    """One component of a run."""

    kind: str
    name: str
    distribution: str = ""
    version: str = ""


@dataclass(frozen=True)
class RunRecord:
    """What the files of a run folder hold.

    Attributes:
        result: `result.json`, whole.
        history: records of `metrics.jsonl`, in order, nested numbers flattened to `a/b`.
        samples: records of `samples.jsonl`, in order.
        spec: text of `spec.yaml`, "" if there is none.
    """

    result: Mapping[str, Any]
    history: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    spec: str = ""

    @property
    def measurements(self) -> dict[str, Measurement]:
        """The flat map of metrics."""
        return measurements_of(self.result)

    @property
    def settings(self) -> Any:
        """The spec as plain data; None where its text is no YAML (it is shown all the same)."""
        try:
            return clean(read_text(self.spec, Origin("spec.yaml")).plain)
        except SpecError:
            return None


def clean(value: Any) -> Any:
    """A JSON value with every unprintable character in it replaced by U+FFFD."""
    if isinstance(value, str):
        return _UNPRINTABLE.sub("\ufffd", value.replace("\r\n", "\n"))
    if isinstance(value, Mapping):
        return {clean(str(key)): clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value


def read_run(run_dir: Path) -> RunRecord:
    """Read a run folder; only `result.json` must be there.

    Raises:
        UserError: there is no result, or a file is not what it should be (file and line named).
    """
    path = run_dir / "result.json"
    try:
        result = clean(parse_json(confirmed(run_dir, "result.json"), path))
    except MissingFile:
        raise UserError(
            f"{run_dir} holds no result.json: not a run folder, or not finished"
        ) from None
    if not isinstance(result, dict):
        raise UserError(f"{path}: expected a JSON object, found {type(result).__name__}")
    return RunRecord(
        result=result,
        history=[_flat(record) for record in _lines(run_dir, "metrics.jsonl")],
        samples=list(_lines(run_dir, "samples.jsonl")),
        spec=clean(_text(run_dir, "spec.yaml")),
    )


def components(result: Mapping[str, Any]) -> list[ComponentRow]:
    """The components of a result, listed or keyed; named, described, or [name, version]."""
    raw = result.get("components")
    if isinstance(raw, Mapping):
        pairs = list(raw.items())
    else:
        rows = raw if isinstance(raw, list) else []
        pairs = [(row.get("kind", ""), row) for row in rows if isinstance(row, Mapping)]
    return [_component(str(kind), entry) for kind, entry in pairs]


def _component(kind: str, entry: Any) -> ComponentRow:
    if isinstance(entry, list) and len(entry) == 2:
        entry = {"name": entry[0], "version": entry[1]}
    if not isinstance(entry, Mapping):
        distribution, _, name = str(entry).rpartition(":")
        return ComponentRow(kind, name, distribution)
    name = entry.get("name", entry.get("type", ""))
    distribution, _, short = str(name).rpartition(":")
    return ComponentRow(
        str(entry.get("kind", kind)),
        short,
        str(entry.get("distribution") or distribution),
        str(entry.get("version", "")),
    )


def _text(run_dir: Path, name: str) -> str:
    """The text of a file, whatever its bytes; "" where there is none."""
    try:
        return confirmed(run_dir, name).decode("utf-8", errors="replace")
    except MissingFile:
        return ""


def _lines(run_dir: Path, name: str) -> Iterator[dict[str, Any]]:
    """Records of a JSON-lines file; a last line cut short by a crash is left out."""
    lines = _text(run_dir, name).split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{run_dir / name}, line {number}"
        try:
            record = parse_json(line, place)
        except UserError:
            if number == len(lines):
                return
            raise
        if not isinstance(record, dict):
            raise UserError(f"{place}: expected a JSON object")
        yield clean(record)


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as `outer/inner` keys, and every loss term as `terms/name`."""
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}/"))
        else:
            flat[f"{prefix}{_TERM.sub('terms/', key)}"] = value
    return flat
