"""A trial of a board's tuning, in one immutable JSON file like a run's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from colaflex.leaderboard.record import (
    Amount,
    Closed,
    Component,
    Matched,
    Measured,
    Sealed,
    Training,
)
from colaflex.spec.canonical import sha256_of

__all__ = ["TRIAL_SCHEMA", "SamplingResult", "TrialRecord", "sealed_trial"]

TRIAL_SCHEMA = 1


class SamplingResult(Closed):
    """What a trained model is worth at one setting of its sampling.

    Attributes:
        point: of the search, labels by key path.
        settings: over the row's own recipe, values by key path.
        metrics: on the validation split.
    """

    point: dict[str, bool | int | float | str]
    settings: dict[str, Any]
    metrics: dict[str, Measured]


class TrialRecord(Sealed):
    """One trial of one row at one budget.

    Attributes:
        version: of this format; `schema` in the file.
        board: name of the board.
        row: name of the row.
        budget: name of the budget, of which it took a fraction.
        number: from 0, which is the row's own recipe.
        seed: of weights, order and noise.
        terms: what must be the same for trials to belong to one search.
        point: of the search, labels by key path; as the sampler of the search knows it.
        settings: over the row's own recipe, values by key path.
        state: whether it came to an end.
        reason: why it failed.
        flops: model FLOPs of its training; of one that failed while it ran, those it was to take.
        seconds: of its training.
        matched: how near it came to its FLOPs and to the board's parameters.
        parameters: by part, and `total`.
        spec: resolved, plain data.
        spec_digest: identifies the experiment.
        data_digest: of corpus and tokenizer.
        components: by section.
        training: what it took.
        samplings: what it was measured at; none where it failed.
        environment: machine and versions.
        digest: sha256 of the canonical JSON of all the other keys.
    """

    version: int = Field(alias="schema")
    board: str
    row: str
    budget: str
    number: Annotated[int, Field(ge=0)]
    seed: int
    terms: dict[str, Any]
    point: dict[str, bool | int | float | str]
    settings: dict[str, Any]
    state: Literal["complete", "failed"]
    reason: str
    flops: Amount
    seconds: Amount
    matched: Matched | None
    parameters: dict[str, int]
    spec: dict[str, Any]
    spec_digest: str
    data_digest: str
    components: dict[str, Component]
    training: Training | None
    samplings: list[SamplingResult]
    environment: dict[str, Any]
    digest: str

    @property
    def file_name(self) -> str:
        """The name of its file, in the folder of its row."""
        return f"{self.budget}-{self.number:04d}-{self.digest[:12]}.json"


def sealed_trial(content: Mapping[str, Any]) -> TrialRecord:
    """A record of all keys but the digest, which is added."""
    plain = json.loads(json.dumps(dict(content), allow_nan=False))
    return TrialRecord.model_validate({**plain, "digest": sha256_of(plain)})
