"""Records: what a run comes to, and what is wrong with a stranger's."""

from __future__ import annotations

import copy
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from colaflex.errors import UserError
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.cells import grid
from colaflex.leaderboard.index import write_index
from colaflex.leaderboard.record import MAX_BYTES, Record, write_record
from colaflex.leaderboard.record_checks import KEYS, record_problems
from colaflex.leaderboard.record_of_run import build_record
from colaflex.leaderboard.records import add_records, check_records, load_records
from colaflex.spec.canonical import sha256_of

Change = Callable[[dict[str, Any]], object]


def sealed(data: dict[str, Any]) -> dict[str, Any]:
    """With the digest that the content has."""
    return {**data, "digest": sha256_of({k: v for k, v in data.items() if k != "digest"})}


@pytest.fixture
def data(small_record: Record) -> dict[str, Any]:
    """The data of a valid record, with items."""
    found = copy.deepcopy(small_record.as_json())
    value = found["metrics"]["generation.valid_sentences"]["value"]
    found["items"] = {
        "generation.valid_sentences": {"values": [3 * value, 0.0], "weights": [1.0, 2.0]}
    }
    return sealed(found)


@pytest.fixture
def board(small_board: Board, tmp_path: Path) -> Board:
    """The small board with results of its own."""
    folder = tmp_path / "own/boards"
    folder.mkdir(parents=True)
    for name in ("small.yaml", "base.yaml"):
        (folder / name).write_bytes((small_board.path.parent / name).read_bytes())
    return Board.load(folder / "small.yaml")


def test_a_record_says_what_the_run_folder_says(
    small_board: Board, small_record: Record, run_folder: Path
) -> None:
    result = json.loads((run_folder / "result.json").read_text())
    record = small_record
    assert record.file_name == f"flow_matching-small-s0-{record.digest[:12]}.json"
    assert record.family == "latent" and record.seed == 0 and record.budget == "small"
    data = record.as_json()
    assert record.parameters == result["parameters"] and data["training"] == result["training"]
    assert record.training.flops == result["training"]["flops"]
    assert set(record.metrics) == set(result["metrics"])
    assert all(
        record.metrics[name].value == row["value"] for name, row in result["metrics"].items()
    )
    assert record.matched.ok is True
    assert data["tuning"] == {"runs": 2, "flops": 2 * 3.2e8, "note": "by hand"}
    assert record.tokenizer.vocab_size == 300
    assert record.protocol == small_board.protocol(record.data_digest)
    assert 0 < len(record.samples) <= 8
    assert {sample.source for sample in record.samples} > {"model", "real"}
    assert set(data) == set(KEYS)
    assert record_problems(small_board, json.loads(json.dumps(data))) == []


def test_a_record_is_the_same_whenever_it_is_made(
    small_board: Board, small_record: Record, run_folder: Path
) -> None:
    assert build_record(small_board, grid(small_board)[0], run_folder) == small_record


def test_items_of_ranked_and_shown_metrics_are_taken(
    small_board: Board, run_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for file in run_folder.iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    items = {"values": [1.0, 0.0], "weights": None}
    known = {"reconstruction.token_accuracy": items, "generation.distinct_2": items}
    (folder / "items.json").write_text(json.dumps(known))
    (folder / "manifest.json").unlink()  # which would tell
    record = build_record(small_board, grid(small_board)[0], folder)
    assert record.as_json()["items"] == {"reconstruction.token_accuracy": items}
    assert record.items["reconstruction.token_accuracy"].values == items["values"]


def test_an_unfinished_run_has_no_record(small_board: Board, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such run folder"):
        build_record(small_board, grid(small_board)[0], tmp_path / "none")


def put(key: str, value: Any) -> Change:
    """Sets the value at a key path."""

    def change(data: dict[str, Any]) -> None:
        *path, last = key.split("/")
        for part in path:
            data = data[part]
        data[last] = value

    return change


def without(key: str) -> Change:
    return lambda data: data.pop(key)


METRIC = "metrics/generation.valid_sentences"
ITEMS = "items/generation.valid_sentences"
WRONG: list[tuple[Change, str]] = [
    (without("samples"), "the key samples is missing"),
    (put("sample", 1), "sample: there is no such key; did you mean 'samples'?"),
    (put("seed", "0"), "seed: expected a whole number, got the text '0'"),
    (put("seed", True), "seed: expected a whole number, got true or false"),
    (put("metrics", []), "metrics: expected a map, got a list"),
    (put("schema", 2), "schema: 2 is not read"),
    (put("board", "other"), "board: 'other' is not 'small'"),
    (put("budget", "smal"), "budget: unknown; did you mean 'small'?"),
    (put("row", "<script>alert(1)</script>"), "row: '<script>alert(1)</script>' is no name"),
    (put("row", "../../up"), "row: '../../up' is no name"),
    (put("family", "other"), "family: expected latent or baseline"),
    (put("family", "baseline"), "family: baseline, but the spec is of the other one"),
    (put("protocol", "0" * 64), "protocol: it was made on other terms"),
    (put("data_digest", "0" * 64), "protocol: it was made on other terms"),
    (put("spec_digest", "xyz"), "spec_digest: expected a sha256 in hex"),
    (put("spec_digest", "0" * 64), "spec_digest: the spec has "),
    (put("spec/seed", 1), "spec.seed: expected 0"),
    (put("spec/prior/block_size", 2), "spec.prior.block_size: 2, but 4 in the row flow_matching"),
    (put("parameters/prior", 1), "parameters.total: its parts add up to"),
    (put("parameters/prior", 0.5), "parameters.prior: expected a whole number, got a number"),
    (put("matched/ok", False), "matched.ok: expected true, by the board's tolerance"),
    (put("matched/flops", {"asked": 3.2e8, "found": 3.2e8}), "matched.flops: expected asked"),
    (put("training/flops", 3.2e8), "training.flops: its stages add up to"),
    (put("training/stages", [{}]), "the key training.stages.0.steps is missing"),
    (put(f"{METRIC}/value", None), "valid_sentences.value: expected a number, got null"),
    (put(f"{METRIC}/high", -1), "expected low <= value <= high"),
    (put(f"{METRIC}/n", -1), "valid_sentences.n: expected a number >= 0, got -1"),
    (put(METRIC, 1.0), "metrics.generation.valid_sentences: expected a map, got a number"),
    (put(f"{METRIC}/value", 1e200), "expected a finite number, at most 1e+100"),
    (put(f"{METRIC}/value", 10**400), "expected a finite number, at most 1e+100"),
    (put(f"{ITEMS}/values", [1.0, 1.0]), "they come to 0.666667, the metric says"),
    (put(f"{ITEMS}/weights", [1.0]), "expected as many weights as values"),
    (put("items/unknown", {"values": [], "weights": None}), "there is no metric of that name"),
    (put("metrics/" + "x" * 101, {}), "metrics: a name of more than 100 characters"),
    (put("samples", [{}] * 9), "samples: 9 are more than 8"),
    (
        put("samples", [{"source": "a", "prompt": "b", "text": 1}]),
        "samples.0.text: expected text, got a number",
    ),
    (put("place", {"path": "x"}), "place: expected state_space, path"),
    (put("tuning/runs", -1), "tuning.runs: expected a number >= 0, got -1"),
    (put("seed", 2**63), "seed: expected an integer from 0 to below 2^63"),
    (put("matched/ok", 1), "matched.ok: expected true or false, got a number"),
    (put("matched/flops/more", 1), "matched.flops.more: there is no such key"),
    (put("matched", {}), "the key matched.parameters is missing"),
    (put("components", {"prior": 5}), "components.prior: expected a map, got a number"),
    (put("training/seconds", "long"), "training.seconds: expected a number, got the text 'long'"),
    (put("training/tokens", -1), "training.tokens: expected a number >= 0, got -1"),
    (put("tuning/note", None), "tuning.note: expected text, got null"),
    (put("tokenizer/digest", "x"), "tokenizer.digest: expected a sha256 in hex"),
    (put(f"{METRIC}/p", 1), "valid_sentences.p: there is no such key"),
    (put(f"{ITEMS}/values", ["1"]), "values.0: expected a number, got the text '1'"),
    (put(f"{ITEMS}/weights", [1.0, -2.0]), "weights.1: expected a number >= 0, got -2"),
    (put("samples", [[]]), "samples.0: expected a map, got a list"),
    (put("place", []), "place: expected a map, got a list"),
    (put("environment/deep", [[[[[[[[[[[[[1]]]]]]]]]]]]]), "nested more than 12 deep"),
    (put("tokenizer/vocab_size", 0), "tokenizer.vocab_size: expected a number > 0, got 0"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[text[:50] for _, text in WRONG])
def test_wrong_records_are_refused_with_file_and_key(
    board: Board, data: dict[str, Any], tmp_path: Path, change: Change, message: str
) -> None:
    change(data)
    path = tmp_path / "their.json"
    path.write_text(json.dumps(sealed(data)))
    with pytest.raises(UserError) as error:
        add_records(board, [path])
    assert message in str(error.value)
    assert str(error.value).startswith(f"{path}: ")
    assert not board.results.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not readable as JSON"),
        ("[]", "expected a JSON object"),
        ('{"seed": NaN}', "NaN is no number of JSON"),
        ('{"seed": 1, "seed": 2}', "the key 'seed' stands twice"),
        ("[" * 100_000, "nested too deeply"),
        ("1" * 5000, "not readable as JSON"),
        (" " * (MAX_BYTES + 1), "4,194,305 bytes, at most 4,194,304 are read"),
        ('{"\\u001b[31m": 1}', r"\x1b[31m: there is no such key"),
    ],
    ids=["torn", "list", "nan", "twice", "deep", "long", "large", "control"],
)
def test_files_that_are_no_records_are_refused(
    board: Board, tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "their.json"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        check_records(board, [path])
    assert message in str(error.value) and "\x1b" not in str(error.value)


def test_a_changed_record_is_told_by_its_digest(board: Board, data: dict[str, Any]) -> None:
    data["metrics"]["generation.valid_sentences"]["n"] += 1
    (problem,) = record_problems(board, data)
    assert problem.startswith("digest: the content has ") and "it was changed" in problem


def test_a_strangers_row_is_taken_on_the_boards_terms(board: Board, data: dict[str, Any]) -> None:
    assert record_problems(board, sealed({**data, "row": "theirs"})) == []
    data["spec"]["evaluation"]["documents"] = 5
    problems = record_problems(board, sealed({**data, "row": "theirs"}))
    assert any("spec.evaluation.documents: 5, but 4 in the board's base" in p for p in problems)


def test_records_are_added_all_or_none_and_never_overwritten(
    board: Board, data: dict[str, Any], tmp_path: Path, colaflex_command: Callable[..., Any]
) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(data))
    bad.write_text("{}")
    done = colaflex_command("bench", "add", board.path, good, bad)
    assert done.code == 2 and f"{bad}: the key schema is missing" in done.err
    assert not board.results.exists()
    assert colaflex_command("bench", "add", board.path, good).code == 0
    (added,) = load_records(board)
    assert added.as_json() == data
    path = board.results / added.file_name
    before = path.stat()
    add_records(board, [good])
    assert write_record(added, board.results) == path
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    assert "1 records of small, all valid" in colaflex_command("bench", "check", board.path).out


def test_two_records_of_a_cell_are_refused(board: Board, data: dict[str, Any]) -> None:
    write_record(Record.model_validate(data), board.results)
    data["environment"]["cores"] = 99
    write_record(Record.model_validate(sealed(data)), board.results)
    with pytest.raises(UserError, match="two records of flow_matching-small-s0"):
        load_records(board)


def test_a_name_that_is_not_the_records_is_refused(board: Board, data: dict[str, Any]) -> None:
    path = write_record(Record.model_validate(data), board.results)
    path.rename(path.with_name("best.json"))
    with pytest.raises(UserError, match=r"best\.json: a record's file is named flow_matching-sm"):
        load_records(board)


def test_the_index_is_made_of_the_records_at_any_time(
    board: Board, data: dict[str, Any], colaflex_command: Callable[..., Any]
) -> None:
    assert write_index(board).exists()  # of none
    record = Record.model_validate(data)
    write_record(record, board.results)
    done = colaflex_command("bench", "index", board.path)
    assert done.out.strip() == str(board.results.with_suffix(".sqlite"))
    base = sqlite3.connect(done.out.strip())
    try:
        rows = base.execute("SELECT digest, row, seed, matched, parameters FROM records")
        assert rows.fetchall() == [
            (record.digest, "flow_matching", 0, 1, record.parameters["total"])
        ]
        query = "SELECT value, n FROM metrics WHERE name = 'generation.valid_sentences'"
        metric = record.metrics["generation.valid_sentences"]
        assert base.execute(query).fetchall() == [(metric.value, metric.n)]
    finally:
        base.close()


def test_all_records_of_the_repository_read_back_as_they_stand() -> None:
    root = Path(__file__).parents[2] / "benchmarks/results"
    files = [*root.glob("bible/*.json"), *root.glob("worlds/*.json")]
    assert len(files) > 50
    for path in files:
        data = json.loads(path.read_text("utf-8"))
        record = Record.model_validate(data)
        assert record.as_json() == data and record.file_name == path.name
        assert record.digest == sha256_of({k: v for k, v in data.items() if k != "digest"})
