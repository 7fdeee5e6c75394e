"""What can be wrong with a record, a stranger's as well."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from colaflex.errors import UserError
from colaflex.hints import hint
from colaflex.host.registry import registry
from colaflex.interfaces.capabilities import Place
from colaflex.leaderboard.board import NAME, Board
from colaflex.leaderboard.record import (
    KEYS,
    LONGEST_TEXT,
    MOST_SAMPLES,
    RECORD_SCHEMA,
    within,
)
from colaflex.spec import Spec
from colaflex.spec.canonical import sha256_of

__all__ = ["record_problems"]

HEX = re.compile(r"[0-9a-f]{64}")
MAPS = (
    *("parameters", "matched", "tuning", "spec", "tokenizer", "components", "training"),
    *("metrics", "items", "environment"),
)
TEXTS = ("board", "protocol", "row", "family", "budget", "spec_digest", "data_digest", "digest")
PLACE = tuple(field.name for field in fields(Place))
STAGE = ("steps", "tokens", "flops", "seconds")
LONGEST_NAME, MOST = 100, 20_000
DEEPEST = 12
SHARED = ("corpus", "tokenizer", "evaluation", "spec_version")
ROUNDING = 1e-6
LARGEST = 1e100


def record_problems(board: Board, data: Any) -> list[str]:
    """`KEY: what is wrong` of everything that is; [] for a valid record of the board."""
    problems = list(_shape(data)) or list(_sizes(data))
    if not problems:
        checks = (_digests(data), _belongs(board, data), _numbers(data))
        problems = [problem for check in checks for problem in check]
        problems += [*_metrics(data), *_items(data)]
    if not problems:
        problems = [*_matched(board, data), *_spec(board, data)]
    return [_printable(problem) for problem in problems]


def _printable(text: str) -> str:
    """A text of a stranger's that does nothing to a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _shape(data: Any) -> Iterator[str]:
    """Keys and types, as far as all that follows relies on them."""
    if not isinstance(data, dict):
        yield "expected a JSON object"
        return
    for key in data:
        if key not in KEYS:
            yield f"{key[:LONGEST_NAME]}: unknown key{hint(key[:LONGEST_NAME], KEYS, 'keys')}"
    for key in KEYS:
        if key not in data:
            yield f"{key}: required"
    for key in (*MAPS, *TEXTS, "seed", "schema", "place", "samples"):
        if key in data and not _is(key, data[key]):
            yield f"{key}: expected {_expected(key)}, got {_brief(data[key])}"


def _is(key: str, value: Any) -> bool:
    if key in MAPS:
        return isinstance(value, dict)
    if key in TEXTS:
        return isinstance(value, str)
    if key == "place":
        return value is None or isinstance(value, dict)
    if key == "samples":
        return isinstance(value, list)
    return _integer(value)


def _expected(key: str) -> str:
    if key in MAPS or key == "place":
        return "an object"
    return "text" if key in TEXTS else "a list" if key == "samples" else "an integer"


def _brief(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:40]}..."


def _integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and _finite(value)


def _finite(value: float) -> bool:
    return -LARGEST <= value <= LARGEST  # NaN is in no range


def _sizes(data: Mapping[str, Any]) -> Iterator[str]:
    """No name, text, list or nesting is so large that it could only do harm; numbers are finite."""

    def walk(value: Any, path: str, depth: int) -> Iterator[str]:
        if depth > DEEPEST:
            yield f"{path}: nested more than {DEEPEST} deep"
        elif isinstance(value, dict):
            if len(value) > MOST:
                yield f"{path}: more than {MOST:,} entries"
            for key, item in value.items():
                if len(key) > LONGEST_NAME:
                    yield f"{path}: a name of more than {LONGEST_NAME} characters: {key[:30]!r}..."
                    continue
                yield from walk(item, f"{path}.{key}" if path else key, depth + 1)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from walk(item, f"{path}.{index}", depth + 1)
        elif isinstance(value, str) and len(value) > LONGEST_TEXT:
            yield f"{path}: more than {LONGEST_TEXT:,} characters"
        elif isinstance(value, int | float) and not _finite(value):
            yield f"{path}: expected a finite number, at most {LARGEST:g}"

    yield from walk(data, "", 0)
    if len(data["samples"]) > MOST_SAMPLES:
        yield f"samples: {len(data['samples'])} are more than {MOST_SAMPLES}"
    for index, sample in enumerate(data["samples"]):
        keys = {"source", "prompt", "text"}
        if not isinstance(sample, dict) or set(sample) != keys:
            yield f"samples.{index}: expected an object with source, prompt and text"
        elif not all(isinstance(text, str) for text in sample.values()):
            yield f"samples.{index}: expected texts"


def _digests(data: Mapping[str, Any]) -> Iterator[str]:
    for key in ("protocol", "spec_digest", "data_digest", "digest"):
        if not HEX.fullmatch(data[key]):
            yield f"{key}: expected a sha256 in hex, got {_brief(data[key])}"
    try:
        found = sha256_of({key: value for key, value in data.items() if key != "digest"})
    except (ValueError, RecursionError, UnicodeEncodeError):
        yield "digest: the content has no canonical JSON"
        return
    if found != data["digest"]:
        yield f"digest: the content has {found[:12]}, not {data['digest'][:12]}: it was changed"


def _belongs(board: Board, data: Mapping[str, Any]) -> Iterator[str]:
    """Whether it was made for this board, on its terms."""
    if data["schema"] != RECORD_SCHEMA:
        yield f"schema: {data['schema']} is not read; this colaflex writes {RECORD_SCHEMA}"
    if data["board"] != board.board:
        yield f"board: {_brief(data['board'])} is not {board.board!r}"
    if data["budget"] not in board.budgets:
        yield f"budget: unknown{hint(data['budget'][:LONGEST_NAME], board.budgets, 'budgets')}"
    if not NAME.fullmatch(data["row"]):
        yield f"row: {_brief(data['row'])} is no name: use at most 64 letters, digits and _ ."
    if data["family"] not in ("latent", "baseline"):
        yield f"family: expected latent or baseline, got {_brief(data['family'])}"
    if not 0 <= data["seed"] < 2**63:
        yield "seed: expected an integer from 0 to below 2^63"
    if data["protocol"] != board.protocol(data["data_digest"]):
        yield (
            "protocol: it was made on other terms (corpus, tokenizer, evaluation, limits, "
            "parameters, budgets or tolerances) than the board has now"
        )


def _numbers(data: Mapping[str, Any]) -> Iterator[str]:
    """Counts of parameters, tokens, steps, FLOPs; place; tokenizer."""
    for name, count in data["parameters"].items():
        if not _integer(count) or count < 0:
            yield f"parameters.{name}: expected an integer >= 0, got {_brief(count)}"
    counts = [n for name, n in data["parameters"].items() if name != "total" and _integer(n)]
    if data["parameters"].get("total") != sum(counts):
        yield f"parameters.total: its parts add up to {sum(counts)}"
    training = data["training"]
    for key in STAGE:
        if not _number(training.get(key)) or training[key] < 0:
            yield f"training.{key}: expected a number >= 0, got {_brief(training.get(key))}"
    stages = training.get("stages")
    if not isinstance(stages, list) or not all(
        isinstance(stage, dict) and all(_number(stage.get(key)) for key in STAGE)
        for stage in stages
    ):
        yield f"training.stages: expected a list of objects with {', '.join(STAGE)}"
    else:
        for key in ("steps", "tokens", "flops"):
            total = sum(stage[key] for stage in stages)
            if _number(training.get(key)) and not within(training[key], total, ROUNDING):
                yield f"training.{key}: its stages add up to {total}"
    size = data["tokenizer"].get("vocab_size")
    if not _integer(size) or size < 1:
        yield f"tokenizer.vocab_size: expected an integer > 0, got {_brief(size)}"
    if not HEX.fullmatch(str(data["tokenizer"].get("digest"))):
        yield "tokenizer.digest: expected a sha256 in hex"
    if data["place"] is not None and set(data["place"]) != set(PLACE):
        yield f"place: expected {', '.join(PLACE)}"
    tuning = data["tuning"]
    if not _integer(tuning.get("runs")) or not _number(tuning.get("flops")):
        yield "tuning: expected the integer `runs`, the number `flops` and the text `note`"
    elif tuning["runs"] < 0 or tuning["flops"] < 0 or not isinstance(tuning.get("note"), str):
        yield "tuning: expected `runs` and `flops` >= 0 and the text `note`"


def _metrics(data: Mapping[str, Any]) -> Iterator[str]:
    for name, row in data["metrics"].items():
        path = f"metrics.{name}"
        if not isinstance(row, dict) or set(row) != {"value", "low", "high", "n"}:
            yield f"{path}: expected an object with value, low, high and n"
            continue
        value, low, high, n = (row[key] for key in ("value", "low", "high", "n"))
        if not _number(value):
            yield f"{path}.value: expected a finite number, got {_brief(value)}"
        elif not all(bound is None or _number(bound) for bound in (low, high)):
            yield f"{path}: expected finite bounds, or null where they are not known"
        elif (low is not None and low > value) or (high is not None and high < value):
            yield f"{path}: expected low <= value <= high, got {low}, {value}, {high}"
        if not _integer(n) or n < 0:
            yield f"{path}.n: expected an integer >= 0, got {_brief(n)}"


def _items(data: Mapping[str, Any]) -> Iterator[str]:
    """Items of single metrics, and whether they come to the metric's value."""
    for name, items in data["items"].items():
        path = f"items.{name}"
        if not isinstance(items, dict) or set(items) != {"values", "weights"}:
            yield f"{path}: expected an object with values and weights"
            continue
        values, weights = items["values"], items["weights"]
        lists = [values] if weights is None else [values, weights]
        if not all(isinstance(x, list) and all(_number(y) for y in x) for x in lists):
            yield f"{path}: expected lists of finite numbers"
        elif weights is not None and (len(weights) != len(values) or min(weights, default=0) < 0):
            yield f"{path}: expected as many weights as values, none below 0"
        elif name not in data["metrics"]:
            yield f"{path}: there is no metric of that name"
        else:
            whole = math.fsum(weights) if weights is not None else len(values)
            row = data["metrics"][name]
            value: Any = row.get("value") if isinstance(row, dict) else None
            found = math.fsum(values) / whole if whole else None
            if found is not None and _number(value) and not _close(found, float(value)):
                yield f"{path}: they come to {found:.6g}, the metric says {float(value):.6g}"


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=ROUNDING, abs_tol=1e-9)


def _matched(board: Board, data: Mapping[str, Any]) -> Iterator[str]:
    """Whether it says truly how near it comes to what the board asks for."""
    truth = {
        "parameters": (board.parameters, data["parameters"]["total"]),
        "flops": (board.budgets[data["budget"]], data["training"]["flops"]),
    }
    near = True
    for key, (asked, found) in truth.items():
        said = data["matched"].get(key)
        if not isinstance(said, dict) or said != {"asked": asked, "found": found}:
            yield f"matched.{key}: expected asked {asked} and found {found}"
        near = near and within(found, asked, getattr(board.tolerance, key))
    if data["matched"].get("ok") is not near:
        yield f"matched.ok: expected {str(near).lower()}, by the board's tolerance"


def _spec(board: Board, data: Mapping[str, Any]) -> Iterator[str]:
    """Whether the spec is one for this board, and has the digest that is named."""
    spec = data["spec"]
    if spec.get("seed") != data["seed"]:
        yield f"spec.seed: expected {data['seed']}, the record's"
    if (spec.get("baseline") is not None) != (data["family"] == "baseline"):
        yield f"family: {data['family']}, but the spec is of the other one"
    if _has_paths(spec) or not _same_versions(data["components"]):
        return  # what it leads to, or what made it, is not here to be held against
    try:
        found = Spec.of_record(spec)
    except UserError as error:
        yield f"spec: {str(error).splitlines()[0]}"
        return
    digest = found.digest(data["data_digest"])
    if digest != data["spec_digest"]:
        yield f"spec_digest: the spec has {digest[:12]}, not {data['spec_digest'][:12]}"
    row = board.specs.get(data["row"])
    ours = board.base_spec if row is None else row
    solved = _solved(board, data["row"])
    for each in Spec.diff(ours, found):
        section = each.path.partition(".")[0]
        shared = section in SHARED or each.path == "sampling.max_new_tokens"
        if (shared or row is not None) and not solved.fullmatch(each.path):
            whose = "the board's base" if row is None else f"the row {data['row']}"
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


def _same_versions(components: Mapping[str, Any]) -> bool:
    """Whether every component is installed, in the version that made the record."""
    for path, named in components.items():
        if not isinstance(named, dict):
            return False
        kind, name = path.rpartition(".")[2], named.get("name")
        try:
            entry = registry().find(kind, f"{named.get('distribution')}:{name}")
        except UserError:
            return False
        made = (named.get("version"), named.get("component_version"))
        if made != (entry.version, entry.component.version):
            return False
    return True
