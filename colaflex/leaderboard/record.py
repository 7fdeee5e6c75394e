"""A record: what one run of a board came to, in one immutable JSON file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    model_validator,
)

from colaflex.files.reading import parse_json, read_text
from colaflex.files.writing import write_atomic
from colaflex.interfaces.metric import Items, Measurement
from colaflex.spec.canonical import sha256_of

__all__ = [
    "LONGEST_TEXT",
    "MAX_BYTES",
    "MOST_SAMPLES",
    "RECORD_SCHEMA",
    "Amount",
    "Closed",
    "Component",
    "Matched",
    "Measured",
    "Record",
    "Sealed",
    "Training",
    "read_record",
    "sealed",
    "within",
    "write_record",
]

RECORD_SCHEMA = 1
MAX_BYTES = 4 << 20
LONGEST_TEXT = 20_000
MOST_SAMPLES = 8

Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0)]


class _Part(BaseModel):
    """A part of a record; what it holds besides its fields stays in the file."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")


class Closed(_Part):
    """A part of a record that holds its fields and nothing else."""

    model_config = ConfigDict(extra="forbid")


class Nearness(Closed):
    """What a board asks for, and what a run came to."""

    asked: float
    found: float


class Matched(_Part):
    """How near a run comes to what its board asks for."""

    parameters: Nearness
    flops: Nearness
    ok: bool


class Tuning(_Part):
    """What it took to choose the row's options.

    Where the board tunes all rows alike: `settings` are what was chosen over the row's own, by key
    path, and `trial` is the digest of the trial's record that they stood in.
    """

    runs: Count
    flops: Amount
    note: str
    fidelity: Amount | None = None
    settings: dict[str, Any] | None = None
    trial: str = ""


class Tokenizer(_Part):
    """The tokenizer's size, and its sha256."""

    vocab_size: Annotated[int, Field(gt=0)]
    digest: str


class Component(_Part):
    """A component by name, and what made the record."""

    name: str = ""
    distribution: str = ""
    version: str = ""
    component_version: str = ""


class Cost(_Part):
    """What training took."""

    steps: Amount
    tokens: Amount
    flops: Amount
    seconds: Amount


class Stage(Cost):
    """What a stage took, and whether another run's was taken."""

    name: str = ""
    reused: bool = False


class Training(Cost):
    """What training took, in all and by stage."""

    stages: list[Stage]


class Measured(Closed):
    """A metric's value with its interval, where one is known, over n items."""

    value: float
    low: float | None
    high: float | None
    n: Count

    @property
    def measurement(self) -> Measurement:
        """With NaN for bounds that are not known."""
        low, high = (math.nan if each is None else each for each in (self.low, self.high))
        return Measurement(self.value, low, high, self.n)


class Outcomes(Closed):
    """A metric's values and weights of single items; without weights each counts the same."""

    values: list[float]
    weights: list[Amount] | None

    @model_validator(mode="after")
    def _weigh_each(self) -> Self:
        if self.weights is not None and len(self.weights) != len(self.values):
            raise ValueError("expected as many weights as values")
        return self

    @property
    def items(self) -> Items:
        """For tests and intervals."""
        return Items.of(self.values, self.weights)


class Sample(Closed):
    """A text, what stood before it, and where it is from."""

    source: str
    prompt: str
    text: str


class Sealed(Closed):
    """What a file holds with the digest of all the rest of it."""

    _json: dict[str, Any] = PrivateAttr()

    @model_validator(mode="wrap")
    @classmethod
    def _with_json(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        record = handler(data)
        record._json = data
        return record

    @property
    def file_name(self) -> str:
        """The name of its file."""
        raise NotImplementedError

    def as_json(self) -> dict[str, Any]:
        """Plain data, exactly as in the file."""
        return self._json


class Record(Sealed):
    """One run of one row at one budget with one seed.

    Attributes:
        version: of this format; `schema` in the file.
        board: name of the board.
        protocol: sha256 of what must be equal for rows to compare.
        row: name of the row.
        family: "latent" or "baseline".
        seed: of weights, order and noise.
        budget: name of the budget.
        parameters: by part, and `total`.
        matched: how near it comes to what the board asks for.
        tuning: what it took to choose the row's options.
        spec: resolved, plain data.
        spec_digest: identifies the experiment.
        data_digest: of corpus and tokenizer.
        tokenizer: its size and digest.
        components: by section.
        place: the fields of `interfaces.capabilities.Place`, or None.
        training: what it took.
        metrics: by name.
        items: outcomes of single items, by metric.
        samples: a few texts.
        environment: machine and versions.
        digest: sha256 of the canonical JSON of all the other keys.
    """

    version: int = Field(alias="schema")
    board: str
    protocol: str
    row: str
    family: str
    seed: int
    budget: str
    parameters: dict[str, Count]
    matched: Matched
    tuning: Tuning
    spec: dict[str, Any]
    spec_digest: str
    data_digest: str
    tokenizer: Tokenizer
    components: dict[str, Component]
    place: dict[str, Any] | None
    training: Training
    metrics: dict[str, Measured]
    items: dict[str, Outcomes]
    samples: Annotated[list[Sample], Field(max_length=MOST_SAMPLES)]
    environment: dict[str, Any]
    digest: str

    @property
    def cell(self) -> str:
        """`ROW-BUDGET-sSEED`."""
        return f"{self.row}-{self.budget}-s{self.seed}"

    @property
    def file_name(self) -> str:
        """The name of its file."""
        return f"{self.cell}-{self.digest[:12]}.json"

    @property
    def measurements(self) -> dict[str, Measurement]:
        """The metrics, for people and tables."""
        return {name: measured.measurement for name, measured in self.metrics.items()}


def within(found: float, asked: float, tolerance: float) -> bool:
    """Whether a number is as near to what a board asks for as it must be."""
    return abs(found - asked) <= tolerance * asked


def sealed(content: Mapping[str, Any]) -> Record:
    """A record of all keys but the digest, which is added."""
    return Record.model_validate({**content, "digest": sha256_of(dict(content))})


def write_record(record: Sealed, folder: Path) -> Path:
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
    return parse_json(read_text(path, MAX_BYTES), path, pairs=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in names if names.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands twice")
    return entries
