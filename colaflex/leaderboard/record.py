"""A record: what one run of a board came to, in one immutable JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from colaflex.errors import UserError
from colaflex.files.reading import read_text
from colaflex.files.writing import write_atomic
from colaflex.spec.canonical import sha256_of

__all__ = [
    "KEYS",
    "LONGEST_TEXT",
    "MAX_BYTES",
    "MOST_SAMPLES",
    "RECORD_SCHEMA",
    "Record",
    "read_record",
    "sealed",
    "within",
    "write_record",
]

RECORD_SCHEMA = 1
MAX_BYTES = 4 << 20
LONGEST_TEXT = 20_000
MOST_SAMPLES = 8


@dataclass(frozen=True)
class Record:
    """One run of one row at one budget with one seed; mappings are as in the file.

    Attributes:
        schema: version of this format.
        board: name of the board.
        protocol: sha256 of what must be equal for rows to compare.
        row: name of the row.
        family: "latent" or "baseline".
        seed: of weights, order and noise.
        budget: name of the budget.
        parameters: by part, and `total`.
        matched: `parameters` and `flops`, each `asked` and `found`, and whether both are `ok`.
        tuning: `runs`, `flops` and `note` of what it took to choose the row's options.
        spec: resolved, plain data.
        spec_digest: identifies the experiment.
        data_digest: of corpus and tokenizer.
        tokenizer: `vocab_size` and `digest`.
        components: by section: name, distribution and versions.
        place: the fields of `interfaces.capabilities.Place`, or None.
        training: tokens, steps, flops, seconds, tokens_per_second and stages.
        metrics: by name: value, low, high, n.
        items: by metric: values and weights (or None) of single items.
        samples: source, prompt and text of a few.
        environment: machine and versions.
        digest: sha256 of the canonical JSON of all the other keys.
    """

    schema: int
    board: str
    protocol: str
    row: str
    family: str
    seed: int
    budget: str
    parameters: Mapping[str, int]
    matched: Mapping[str, Any]
    tuning: Mapping[str, Any]
    spec: Mapping[str, Any]
    spec_digest: str
    data_digest: str
    tokenizer: Mapping[str, Any]
    components: Mapping[str, Mapping[str, str]]
    place: Mapping[str, Any] | None
    training: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, Any]]
    items: Mapping[str, Mapping[str, Any]]
    samples: Sequence[Mapping[str, str]]
    environment: Mapping[str, Any]
    digest: str

    @property
    def cell(self) -> str:
        """`ROW-BUDGET-sSEED`."""
        return f"{self.row}-{self.budget}-s{self.seed}"

    @property
    def file_name(self) -> str:
        """The name of its file."""
        return f"{self.cell}-{self.digest[:12]}.json"

    def as_json(self) -> dict[str, Any]:
        """Plain data, as in the file."""
        return asdict(self)


KEYS = tuple(field.name for field in fields(Record))


def within(found: float, asked: float, tolerance: float) -> bool:
    """Whether a number is as near to what a board asks for as it must be."""
    return abs(found - asked) <= tolerance * asked


def sealed(content: Mapping[str, Any]) -> Record:
    """A record of all keys but the digest, which is added."""
    return Record(**content, digest=sha256_of(dict(content)))


def write_record(record: Record, folder: Path) -> Path:
    """Write a record into a folder; one that is there already is left as it is."""
    path = folder / record.file_name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(record.as_json(), ensure_ascii=False, allow_nan=False, sort_keys=True)
        write_atomic(path, text + "\n")
    return path


def read_record(path: Path) -> Any:
    """The JSON of a record's file, unchecked.

    Raises:
        UserError: it is too large, or no JSON as JSON is defined (NaN, a key twice).
    """
    text = read_text(path, MAX_BYTES)
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not readable as JSON: {error}") from None


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in names if names.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands twice")
    return found
