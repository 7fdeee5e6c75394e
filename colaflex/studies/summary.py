"""All that a study's page says, as a value that a JSON file holds: no storage is needed again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from colaflex.errors import UserError
from colaflex.files.reading import parse_json
from colaflex.report.run_record import clean
from colaflex.studies.explanation.explanation import Explanation
from colaflex.studies.objective import Point, Value
from colaflex.studies.trials import TrialRecord

__all__ = [
    "ArmSummary",
    "FreshRow",
    "Goal",
    "Law",
    "SpaceRow",
    "StudySummary",
    "from_json",
    "tidy",
    "to_json",
]

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Goal:
    """A metric that is searched for, and which way is better."""

    metric: str
    direction: Literal["higher", "lower"] = "higher"

    @property
    def sign(self) -> float:
        """1 where higher is better, -1 where lower is."""
        return 1.0 if self.direction == "higher" else -1.0


@dataclass(frozen=True, slots=True)
class SpaceRow:
    """A key that is searched: its choices, or else its range.

    Attributes:
        path: of the key.
        choices: in the order of the study file; none where there is a range.
        low: end of the range.
        high: end of the range.
        log: whether the range is searched on a logarithmic scale.
        base: the value in the base spec.
        component: that the key belongs to where it is searched with one component only.
    """

    path: str
    choices: tuple[Value, ...] = ()
    low: float | None = None
    high: float | None = None
    log: bool = False
    base: Value | None = None
    component: str = ""


@dataclass(frozen=True, slots=True)
class ArmSummary:
    """One way of spending the budget.

    Attributes:
        records: of its trials, by number.
        sampler: by name.
        counts: state -> number of trials.
        flops: of all training, each stage 1 counted once.
        seconds: that its trials took.
        best: the trial with the best first objective.
    """

    records: Sequence[TrialRecord] = ()
    sampler: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    flops: float = 0.0
    seconds: float = 0.0
    best: TrialRecord | None = None


@dataclass(frozen=True, slots=True)
class FreshRow:
    """A point measured again, on the test split and with seeds that no search has used.

    Attributes:
        arm: whose best point it is, or the name of a control that searches nothing.
        point: what was measured.
        records: one a seed.
    """

    arm: str
    point: Point = field(default_factory=dict)
    records: Sequence[TrialRecord] = ()


@dataclass(frozen=True, slots=True)
class Law:
    """A prediction: the best `of` is `at` + `slope` · ln(`along` / `reference`)."""

    of: str
    along: str
    at: float = 1.0
    slope: float = 0.5
    reference: float = 16.0

    def predicts(self, level: float) -> float:
        """The best value at a level; not a number where the law says nothing."""
        if level <= 0 or self.reference <= 0:
            return math.nan
        return self.at + self.slope * math.log(level / self.reference)


@dataclass(frozen=True, slots=True)
class StudySummary:
    """A study as its page shows it.

    Attributes:
        study: its name.
        title: of the page.
        summary: a paragraph on what it is about.
        path: of the study file, as it is to be shown.
        base: name of the spec that is varied.
        space: the keys that are searched.
        goals: the objectives, the main one first.
        arms: name -> arm; the search that the page is about comes first.
        fresh: the first row is the best point of that search.
        explanation: of the first arm.
        law: that the best of one key follows another.
        facts: further lines of "how it was made": name and text.
    """

    study: str
    title: str = ""
    summary: str = ""
    path: str = ""
    base: str = ""
    space: tuple[SpaceRow, ...] = ()
    goals: tuple[Goal, ...] = ()
    arms: Mapping[str, ArmSummary] = field(default_factory=dict)
    fresh: Sequence[FreshRow] = ()
    explanation: Explanation | None = None
    law: Law | None = None
    facts: tuple[tuple[str, str], ...] = ()


_ADAPTER: TypeAdapter[StudySummary] = TypeAdapter(StudySummary)


def to_json(summary: StudySummary) -> str:
    """As JSON, to be committed; what is no number stands there as text ("nan")."""
    data = {"schema": SCHEMA, **_finite(asdict(tidy(summary)))}
    return json.dumps(data, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def from_json(text: str, source: str = "the summary") -> StudySummary:
    """What `to_json` wrote.

    Raises:
        UserError: it is something else; `source` is named.
    """
    try:
        data = parse_json(text, "its text")
    except UserError as error:
        raise UserError(f"{source}: not JSON ({error})") from None
    if not isinstance(data, dict) or "schema" not in data:
        raise UserError(f"{source}: expected the summary of a study (an object with `schema`)")
    if data["schema"] != SCHEMA:
        raise UserError(
            f"{source}: schema: expected {SCHEMA}, found {data['schema']!r}; "
            "write it again with this version"
        )
    return _validated({key: value for key, value in data.items() if key != "schema"}, source)


def tidy(summary: StudySummary) -> StudySummary:
    """The same summary without unprintable characters, which names and reasons may hold."""
    return _validated(clean(asdict(summary)), summary.study)


def _validated(data: Mapping[str, Any], source: str) -> StudySummary:
    try:
        return _ADAPTER.validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "summary"
        raise UserError(f"{source}: {place}: {first['msg']}") from error


def _finite(value: Any) -> Any:
    """Plain data without numbers that JSON can't hold."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
