"""What can be wrong with a record, a stranger's as well."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from pydantic import ValidationError

from colaflex.errors import UserError
from colaflex.files.json_problems import json_problems
from colaflex.hints import hint
from colaflex.host.registry import registry
from colaflex.interfaces.capabilities import Place
from colaflex.leaderboard.board import NAME, Board
from colaflex.leaderboard.record import (
    LONGEST_TEXT,
    RECORD_SCHEMA,
    Component,
    Nearness,
    Outcomes,
    Record,
    within,
)
from colaflex.leaderboard.row import is_shared
from colaflex.leaderboard.tuning_plan import spec_settings
from colaflex.spec import Spec
from colaflex.spec.canonical import sha256_of

__all__ = ["excesses", "record_problems"]

HEX = re.compile(r"[0-9a-f]{64}")
KEYS = tuple(field.alias or name for name, field in Record.model_fields.items())
PLACE = tuple(field.name for field in fields(Place))
LONGEST_NAME, MOST = 100, 20_000
DEEPEST = 12
ROUNDING = 1e-6
LARGEST = 1e100


def record_problems(board: Board, data: Any) -> list[str]:
    """`KEY: what is wrong` of everything that is; [] for a valid record of the board."""
    # A stranger's text must not do anything to a terminal.
    return [
        "".join(c if c.isprintable() else ascii(c)[1:-1] for c in problem)
        for problem in _problems(board, data)
    ]


def _problems(board: Board, data: Any) -> list[str]:
    if not isinstance(data, dict):
        return ["expected a JSON object"]
    if too_much := list(excesses(data)):
        return too_much
    try:
        record = Record.model_validate(data)
    except ValidationError as error:
        return list(json_problems(error, KEYS))
    problems = [*_digests(record), *_belongs(board, record), *_sums(record), *_metrics(record)]
    return problems or [
        *_matched(board, record),
        *(_tuned(board, record) or _spec(board, record)),
    ]


def _brief(value: str) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:40]}..."


def excesses(value: Any, path: str = "", depth: int = 0) -> Iterator[str]:
    """What is so large, so long or so deep that it could only do harm."""
    if depth > DEEPEST:
        yield f"{path}: nested more than {DEEPEST} deep"
    elif isinstance(value, dict):
        if len(value) > MOST:
            yield f"{path}: more than {MOST:,} entries"
        for key, item in value.items():
            if len(key) > LONGEST_NAME:
                yield f"{path}: a name of more than {LONGEST_NAME} characters: {key[:30]!r}..."
                continue
            yield from excesses(item, f"{path}.{key}" if path else key, depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from excesses(item, f"{path}.{index}", depth + 1)
    elif isinstance(value, str) and len(value) > LONGEST_TEXT:
        yield f"{path}: more than {LONGEST_TEXT:,} characters"
    elif isinstance(value, int | float) and not -LARGEST <= value <= LARGEST:  # NaN as well
        yield f"{path}: expected a finite number, at most {LARGEST:g}"


def _digests(record: Record) -> Iterator[str]:
    for key in ("protocol", "spec_digest", "data_digest", "digest"):
        if not HEX.fullmatch(getattr(record, key)):
            yield f"{key}: expected a sha256 in hex, got {_brief(getattr(record, key))}"
    if not HEX.fullmatch(record.tokenizer.digest):
        yield "tokenizer.digest: expected a sha256 in hex"
    content = {key: value for key, value in record.as_json().items() if key != "digest"}
    try:
        digest = sha256_of(content)
    except (ValueError, RecursionError, UnicodeEncodeError):
        yield "digest: the content has no canonical JSON"
        return
    if digest != record.digest:
        yield f"digest: the content has {digest[:12]}, not {record.digest[:12]}: it was changed"


def _belongs(board: Board, record: Record) -> Iterator[str]:
    """Whether it was made for this board, on its terms."""
    if record.version != RECORD_SCHEMA:
        yield f"schema: {record.version} is not read; this colaflex writes {RECORD_SCHEMA}"
    if record.board != board.board:
        yield f"board: {_brief(record.board)} is not {board.board!r}"
    if record.budget not in board.budgets:
        yield f"budget: unknown{hint(record.budget[:LONGEST_NAME], board.budgets, 'budgets')}"
    if not NAME.fullmatch(record.row):
        yield f"row: {_brief(record.row)} is no name: use at most 64 letters, digits and _ ."
    if record.family not in ("latent", "baseline"):
        yield f"family: expected latent or baseline, got {_brief(record.family)}"
    if not 0 <= record.seed < 2**63:
        yield "seed: expected an integer from 0 to below 2^63"
    if record.place is not None and set(record.place) != set(PLACE):
        yield f"place: expected {', '.join(PLACE)}"
    if record.protocol != board.protocol(record.data_digest):
        yield (
            "protocol: it was made on other terms (corpus, tokenizer, evaluation, limits, "
            "parameters, budgets or tolerances) than the board has now"
        )


def _sums(record: Record) -> Iterator[str]:
    """Whether parts and stages add up to the whole."""
    parts = sum(count for name, count in record.parameters.items() if name != "total")
    if record.parameters.get("total") != parts:
        yield f"parameters.total: its parts add up to {parts}"
    for key in ("steps", "tokens", "flops"):
        total = sum(getattr(stage, key) for stage in record.training.stages)
        if not within(getattr(record.training, key), total, ROUNDING):
            yield f"training.{key}: its stages add up to {total:.12g}"


def _metrics(record: Record) -> Iterator[str]:
    """Whether values lie in their intervals, and items come to their metric's value."""
    for name, metric in record.metrics.items():
        value, low, high = metric.value, metric.low, metric.high
        if (low is not None and low > value) or (high is not None and high < value):
            yield f"metrics.{name}: expected low <= value <= high, got {low}, {value}, {high}"
    for name, outcomes in record.items.items():
        if name not in record.metrics:
            yield f"items.{name}: there is no metric of that name"
        elif problem := _untrue(outcomes, record.metrics[name].value):
            yield f"items.{name}: {problem}"


def _untrue(outcomes: Outcomes, value: float) -> str:
    """In which the items don't come to a value; or nothing."""
    weights = outcomes.weights
    whole = math.fsum(weights) if weights is not None else len(outcomes.values)
    mean = math.fsum(outcomes.values) / whole if whole else value
    if math.isclose(mean, value, rel_tol=ROUNDING, abs_tol=1e-9):
        return ""
    return f"they come to {mean:.6g}, the metric says {value:.6g}"


def _matched(board: Board, record: Record) -> Iterator[str]:
    """Whether it says truly how near it comes to what the board asks for."""
    matched = record.matched
    parameters, flops = record.parameters["total"], record.training.flops
    budget = board.budgets[record.budget]
    truth = {
        "parameters": Nearness(asked=board.parameters, found=parameters),
        "flops": Nearness(asked=budget, found=flops),
    }
    for key, nearness in truth.items():
        if getattr(matched, key) != nearness:
            asked, found = nearness.asked, nearness.found
            yield f"matched.{key}: expected asked {asked:.12g} and found {found:.12g}"
    near = board.matches(parameters, flops, budget)
    if matched.ok is not near:
        yield f"matched.ok: expected {str(near).lower()}, by the board's tolerance"


def _tuned(board: Board, record: Record) -> list[str]:
    """Whether its options were chosen as the board chooses them."""
    plan, tuning = board.tuning, record.tuning
    if plan is None:
        return [] if tuning.settings is None else ["tuning.settings: the board tunes no row"]
    if tuning.settings is None:
        return ["tuning: the board tunes every row alike, and this one was not"]
    if (tuning.runs, tuning.fidelity) != (plan.trials, plan.fidelity):
        return [f"tuning: expected {plan.trials} trials of {plan.fidelity:g} of the budget"]
    searched = board.spaces[record.row].paths if record.row in board.rows else tuning.settings
    return [
        f"tuning.settings: {path} is not searched in the row {record.row}"
        for path in tuning.settings
        if path not in searched
    ]


def _spec(board: Board, record: Record) -> Iterator[str]:
    """Whether the spec is one for this board, and has the digest that is named."""
    if record.spec.get("seed") != record.seed:
        yield f"spec.seed: expected {record.seed}, the record's"
    if (record.spec.get("baseline") is not None) != (record.family == "baseline"):
        yield f"family: {record.family}, but the spec is of the other one"
    if _has_paths(record.spec) or not _same_versions(record.components):
        return  # what it leads to, or what made it, is not here to be held against
    try:
        spec = Spec.of_record(record.spec)
    except UserError as error:
        yield f"spec: {str(error).splitlines()[0]}"
        return
    digest = spec.digest(record.data_digest)
    if digest != record.spec_digest:
        yield f"spec_digest: the spec has {digest[:12]}, not {record.spec_digest[:12]}"
    row = board.specs.get(record.row)
    if row is not None and record.tuning.settings:
        row = row.override(spec_settings(record.tuning.settings))
    solved = _solved(board, record.row)
    for each in Spec.diff(board.base_spec if row is None else row, spec):
        if (row is not None or is_shared(each.path)) and not solved.fullmatch(each.path):
            whose = "the board's base" if row is None else f"the row {record.row}"
            yield f"spec.{each.path}: {each.right}, but {each.left} in {whose}"


def _solved(board: Board, row: str) -> re.Pattern[str]:
    """The key paths in which a run may differ from its row."""
    paths = [r"name", r"seed", r"training\.stages\.[a-z0-9_]+\.steps"]
    if row in board.rows:
        paths += map(re.escape, board.rows[row].solved_paths(board.specs[row]))
    return re.compile("|".join(paths))


def _has_paths(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_paths(item) for item in value.values())
    if isinstance(value, list):
        return any(_has_paths(item) for item in value)
    return isinstance(value, str) and any(mark in value for mark in "/\\~")


def _same_versions(components: Mapping[str, Component]) -> bool:
    """Whether every component is installed, in the version that made the record."""
    for path, named in components.items():
        kind = path.rpartition(".")[2]
        try:
            entry = registry().find(kind, f"{named.distribution}:{named.name}")
        except UserError:
            return False
        if (named.version, named.component_version) != (entry.version, entry.component.version):
            return False
    return True
