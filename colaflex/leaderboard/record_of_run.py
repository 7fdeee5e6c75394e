"""A finished run folder becomes a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from colaflex.corpora.tokenizer import load_tokenizer
from colaflex.errors import UserError
from colaflex.experiment.folder import IDENTITY, RunFolder
from colaflex.experiment.result import require_own
from colaflex.files.manifest import confirmed
from colaflex.files.reading import MissingFile, parse_json
from colaflex.files.yaml import read_file
from colaflex.interfaces.capabilities import LATENT_MODEL, Place
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.cells import Cell, tuning_of
from colaflex.leaderboard.record import LONGEST_TEXT, MOST_SAMPLES, RECORD_SCHEMA, Record, sealed
from colaflex.leaderboard.trials import Winner
from colaflex.spec import Spec

__all__ = ["build_record", "holding"]

OF_OTHERS = 1


def build_record(board: Board, cell: Cell, path: Path, winner: Winner | None = None) -> Record:
    """The record of a finished run; the same whenever it is made.

    Args:
        board: the board.
        cell: which of its cells the run is.
        path: the run folder.
        winner: what the board's tuning has chosen for it, where it tunes its rows.

    Raises:
        UserError: the run is not finished, its files can't be read, or it was measured with other
            settings than its spec's.
    """
    folder = RunFolder(path)
    result, identity = folder.read("result.json"), folder.read(IDENTITY)
    require_own(result, path, "test")
    spec = Spec.of_run(folder.confirmed("spec.yaml"))
    tokenizer = load_tokenizer(folder.confirmed("tokenizer.json"))
    budget = board.budgets[cell.budget]
    return sealed(
        {
            "schema": RECORD_SCHEMA,
            "board": board.board,
            "protocol": board.protocol(identity["data_digest"]),
            "row": cell.row,
            "family": "latent" if spec.baseline is None else "baseline",
            "seed": cell.seed,
            "budget": cell.budget,
            "parameters": result["parameters"],
            "matched": _matched(board, result, cell.budget),
            "tuning": _tuning(board, cell.row, budget) if winner is None else _tuned(board, winner),
            "spec": read_file(path / "spec.yaml").plain,
            "spec_digest": result["spec_digest"],
            "data_digest": identity["data_digest"],
            "tokenizer": {"vocab_size": tokenizer.size, "digest": tokenizer.digest},
            "components": result["components"],
            "place": _place(spec),
            "training": result["training"],
            "metrics": {name: holding(row) for name, row in result["metrics"].items()},
            "items": _items(board, folder),
            "samples": _samples(folder),
            "environment": result["environment"],
        }
    )


def _matched(board: Board, result: Mapping[str, Any], budget: str) -> dict[str, Any]:
    parameters, flops = result["parameters"]["total"], result["training"]["flops"]
    return {
        "parameters": {"asked": board.parameters, "found": parameters},
        "flops": {"asked": board.budgets[budget], "found": flops},
        "ok": board.matches(parameters, flops, board.budgets[budget]),
    }


def _tuning(board: Board, row: str, budget: float) -> dict[str, Any]:
    tuning = board.rows[row].tuning
    flops = tuning.runs * budget if tuning.flops is None else tuning.flops
    return {"runs": tuning.runs, "flops": flops, "note": tuning.note}


def _tuned(board: Board, winner: Winner) -> dict[str, Any]:
    return {
        "runs": winner.trials,
        "flops": winner.flops,
        "note": board.rows[winner.trial.row].tuning.note,
        "fidelity": tuning_of(board).fidelity,
        "settings": dict(winner.settings),
        "trial": winner.trial.digest,
    }


def _place(spec: Spec) -> dict[str, Any] | None:
    place: Place | None = LATENT_MODEL
    if spec.baseline is not None:
        place = getattr(spec.baseline.capabilities(), "place", None)
    return None if place is None else asdict(place)


def holding(row: Mapping[str, Any]) -> dict[str, Any]:
    """A measurement whose interval holds its value: one of a bootstrap need not, by its bias."""
    value, low, high = row["value"], row["low"], row["high"]
    low, high = None if low is None else min(low, value), None if high is None else max(high, value)
    return {**row, "low": low, "high": high}


def _items(board: Board, folder: RunFolder) -> dict[str, Any]:
    """Outcomes of single items, of the metrics that the board ranks and shows."""
    if not (folder.path / "items.json").exists():
        return {}
    known = folder.read("items.json")
    return {name: known[name] for name in board.metrics if name in known}


def _samples(folder: RunFolder) -> list[dict[str, str]]:
    """Some of the model's texts, and one of every other source, in the order of the file."""
    path = folder.path / "samples.jsonl"
    try:
        text = confirmed(folder.path, path.name).decode("utf-8", errors="replace")
    except MissingFile:
        return []
    lines = [parse_json(line, path) for line in text.split("\n") if line.strip()]
    if not all(isinstance(line, dict) for line in lines):
        raise UserError(f"{path}: expected one JSON object a line")
    samples: list[dict[str, str]] = []
    counts: dict[str, int] = {}
    sources = dict.fromkeys(str(line.get("source", "")) for line in lines)
    own = max(1, MOST_SAMPLES - OF_OTHERS * (len(sources) - 1))
    for line in lines:
        source = str(line.get("source", ""))
        counts[source] = counts.get(source, 0) + 1
        most = own if source == "model" else OF_OTHERS
        if counts[source] <= most and len(samples) < MOST_SAMPLES:
            texts = {key: str(line.get(key, "")) for key in ("source", "prompt", "text")}
            samples.append({key: text[:LONGEST_TEXT] for key, text in texts.items()})
    return samples
