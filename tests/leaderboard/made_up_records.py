"""A board of six rows, three seeds and two budgets, and its records: made up but plausible."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

from colaflex.interfaces.capabilities import LATENT_MODEL
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.record import Record, sealed, write_record
from colaflex.leaderboard.standings import Standings, stand

WORLDS = """\
board: worlds
title: Stories of a known grammar
summary: >
  Stories whose sentences share five hidden factors. A grammar says which of them are valid, and
  which are coherent; no judge is asked.
base: base.yaml
parameters: 1_000_000
budgets: {small: 2e12, large: 8e12}
stage1_flops: 0.2
seeds: [0, 1, 2]
rank: {metric: generation.coherent_documents, better: higher}
show: [generation.valid_sentences, generation.unigram_entropy]
rows:
  flow_matching:
    set: {prior: flow_matching, prior.block_size: 4}
    width: prior.network.width
    tuning: {runs: 3, note: "schedule.loc of 0, 1 and 2"}
  rectified_flow: {set: {prior: rectified_flow}, width: prior.network.width}
  normalizing_flow: {set: {prior: normalizing_flow}, width: prior.width}
  consistency: {set: {prior: consistency}, width: prior.network.width}
  autoregressive_latent: {set: {prior: autoregressive_latent}}
  masked_diffusion: {set: {baseline: masked_diffusion}, width: baseline.width}
"""
WORLDS_BASE = """\
name: board
corpus: {type: worlds, documents: 400, validation_documents: 40, test_documents: 40}
tokenizer: {vocab_size: 300}
segmenter: {type: fixed_patch, size: 4}
representation: {type: text_vae, latent_dim: 4, width: 16, heads: 2}
prior: {type: flow_matching, block_size: 4}
"""
BUDGETS = {"small": 2e12, "large": 8e12}
QUALITY = {  # row: share of coherent documents at the small and the large budget
    "flow_matching": (0.52, 0.70),
    "rectified_flow": (0.53, 0.71),
    "normalizing_flow": (0.35, 0.44),
    "consistency": (0.41, 0.55),
    "autoregressive_latent": (0.60, 0.69),
    "masked_diffusion": (0.74, 0.86),
}
BASELINES = ("masked_diffusion",)
STEPPED = tuple(row for row in QUALITY if row not in ("autoregressive_latent", "normalizing_flow"))
REFERENCES = {  # row: coherent documents, valid sentences, unigram entropy
    "real": (1.0, 1.0, 4.33),
    "oracle_latents": (0.985, 0.998, 4.33),
    "trigram": (0.08, 0.87, 4.32),
    "bigram": (0.01, 0.31, 4.33),
    "unigram": (0.0, 0.002, 4.36),
}
ITEMS = 160
DATA = "da7a" * 16
TEXT = (
    "The fox lives by the river. It is the river where the fox eats. "
    "In winter the fox is red. A red fox, seen in winter, eats berries."
)
Plain = dict[str, Any]


def entry(value: float, half: float, n: int = ITEMS) -> dict[str, float | int]:
    return {"value": value, "low": value - half, "high": value + half, "n": n}


def share_entry(wins: list[float]) -> dict[str, float | int]:
    share = sum(wins) / len(wins)
    half = 1.96 * math.sqrt(max(share * (1 - share), 0.002) / len(wins))
    return {"value": share, "low": max(0.0, share - half), "high": min(1.0, share + half),
            "n": len(wins)}  # fmt: skip


def make_record(
    board: Board, row: str, seed: int, budget: str, quality: float | None = None
) -> dict[str, Any]:
    """One record; items have difficulties and mostly luck that all rows share, so pairs correlate
    and trainings of one row hardly differ.
    """
    if quality is None:
        quality = QUALITY[row][list(BUDGETS).index(budget)]
    draw = random.Random(f"{row} {seed} {budget}")
    common = random.Random("items")
    chance = [min(1.0, max(0.0, quality + 0.25 * common.gauss(0, 1))) for _ in range(ITEMS)]
    luck = [common.random() for _ in range(ITEMS)]
    luck = [draw.random() if draw.random() < 0.1 else each for each in luck]
    coherent = [float(u < share) for u, share in zip(luck, chance, strict=True)]
    valid = [4 - float(draw.random() < 0.5 * (1 - share)) for share in chance]
    metrics: dict[str, Any] = {
        "generation.coherent_documents": share_entry(coherent),
        "generation.valid_sentences": entry(sum(valid) / (4 * ITEMS), 0.006),
        "generation.unigram_entropy": entry(4.25 + 0.05 * quality, 0.01),
        "speed.generation_tokens_per_second": entry(900.0 if row in BASELINES else 2400, 0),
    }
    reference_draw = random.Random(f"references {seed} {budget}")
    for reference, values in REFERENCES.items():
        names = ("coherent_documents", "valid_sentences", "unigram_entropy")
        for name, value in zip(names, values, strict=True):
            nudge = 0.002 * reference_draw.random() if reference == "oracle_latents" else 0.0
            metrics[f"generation.{reference}.{name}"] = entry(value - nudge, 0.004)
    if row in STEPPED:
        metrics |= _sweeps(quality, draw)
    baseline = row in BASELINES
    kinds = {"corpus": "worlds"}
    kinds |= (
        {"baseline": row}
        if baseline
        else {"segmenter": "fixed_patch", "representation": "text_vae", "prior": row}
    )
    flops = BUDGETS[budget] * (1 + 0.01 * draw.uniform(-1, 1))
    parameters = round(1e6 * (1 + 0.01 * draw.uniform(-1, 1)))
    parts = (
        {"baseline": parameters} if baseline else
        {"representation": 400_000, "prior": parameters - 400_000}
    )  # fmt: skip
    tokens = int(flops / 6 / parameters * (1.0 if baseline else 0.8))
    spec = board.specs[row].override({"seed": seed})
    return {
            "schema": 1,
            "board": "worlds",
            "protocol": board.protocol(DATA),
            "row": row,
            "family": "baseline" if baseline else "latent",
            "seed": seed,
            "budget": budget,
            "parameters": {**parts, "total": parameters},
            "matched": {
                "parameters": {"asked": 1_000_000, "found": parameters},
                "flops": {"asked": BUDGETS[budget], "found": flops},
                "ok": True,
            },
            "tuning": {"runs": 3, "flops": 6e12, "note": "schedule.loc of 0, 1 and 2"},
            "spec": spec.resolved(),
            "spec_digest": spec.digest(DATA),
            "data_digest": DATA,
            "tokenizer": {"vocab_size": 300, "digest": "70ce" * 16},
            "components": {
                kind: {"name": name, "distribution": "colaflex", "version": "0.1.0",
                       "component_version": "1"}
                for kind, name in kinds.items()
            },
            "place": asdict(spec.baseline.capabilities().place if baseline else LATENT_MODEL),
            "training": {
                "tokens": tokens, "steps": tokens // 2048, "flops": flops, "seconds": 171.5,
                "tokens_per_second": tokens / 171.5,
                "stages": [
                    {"name": "language_model" if baseline else "prior", "steps": tokens // 2048,
                     "tokens": tokens, "flops": flops, "seconds": 171.5, "reused": False}
                ],
            },
            "metrics": metrics,
            "items": {
                "generation.coherent_documents": {"values": coherent, "weights": None},
                "generation.valid_sentences": {"values": valid, "weights": [4.0] * ITEMS},
            },
            "samples": [
                {"source": "model", "prompt": "", "text": TEXT},
                {"source": "model", "prompt": "The fox", "text": " eats berries in winter."},
            ],
            "environment": {"colaflex": "0.1.0", "torch": "2.13.0", "device": "cpu", "threads": 2},
    }  # fmt: skip


def _sweeps(quality: float, draw: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for steps in (1, 2, 4, 8, 16):
        lost = 0.9 * math.exp(-steps / 3.0)
        at = f"at_steps.{steps}"
        found[f"generation.{at}.coherent_documents"] = entry(quality * (1 - lost), 0.04, 64)
        found[f"generation.{at}.unigram_entropy"] = entry(4.3 - 0.1 * lost, 0.02, 64)
        rate = 26_000 / (1 + steps) * (1 + 0.05 * draw.random())
        found[f"speed.{at}.tokens_per_second"] = entry(rate, 0, 1)
    for guidance in (1, 1.5, 2, 3):
        for temperature in (0.0, 0.5, 1.0):
            at = f"at_guidance.{guidance}.at_temperature.{temperature}"
            sharp = math.log(guidance) - 0.4 * temperature
            found[f"generation.{at}.coherent_documents"] = entry(
                min(0.99, quality * (1 + 0.25 * sharp) + 0.01 * draw.random()), 0.04, 64
            )
            found[f"generation.{at}.unigram_entropy"] = entry(
                4.3 - 0.12 * sharp - 0.05 * sharp**2 + 0.01 * draw.random(), 0.02, 64
            )
        found[f"generation.at_guidance.{guidance}.coherent_documents"] = entry(
            min(0.99, quality * (1 + 0.25 * math.log(guidance))), 0.04, 64
        )
        found[f"generation.at_guidance.{guidance}.unigram_entropy"] = entry(
            4.3 - 0.12 * math.log(guidance), 0.02, 64
        )
    return found


@dataclass
class Bench:
    """A folder as a bench leaves it: a board's file and its records, to be changed by tests."""

    board: Board
    records: list[Plain]

    def change(self, change: Callable[[Plain], Any], **where: Any) -> Bench:
        """Change the records whose keys have these values."""
        for record in self.records:
            if all(record[key] == value for key, value in where.items()):
                change(record)
        return self

    def keep(self, **where: Any) -> Bench:
        """Keep the records whose keys have these values."""
        self.records = [r for r in self.records if all(r[k] == v for k, v in where.items())]
        return self

    def drop(self, **where: Any) -> Bench:
        """Drop the records whose keys have these values."""
        self.records = [r for r in self.records if any(r[k] != v for k, v in where.items())]
        return self

    def add(self, row: str, seed: int, budget: str, quality: float | None = None) -> Bench:
        """Add a record."""
        self.records.append(make_record(self.board, row, seed, budget, quality))
        return self

    @property
    def sealed(self) -> list[Record]:
        """The records with the digests of their contents."""
        return [sealed(record) for record in self.records]

    def stand(self) -> Standings:
        """Ranked."""
        return stand(self.board, self.sealed)

    def write(self) -> Path:
        """Write the records; returns the board's file."""
        for record in self.sealed:
            write_record(record, self.board.results)
        return self.board.path


def write_worlds(folder: Path, text: str = WORLDS) -> Board:
    """A board's file and its base in `folder`/benchmarks/boards."""
    boards = folder / "benchmarks/boards"
    boards.mkdir(parents=True)
    (boards / "base.yaml").write_text(WORLDS_BASE, "utf-8")
    (boards / "worlds.yaml").write_text(text, "utf-8")
    return Board.load(boards / "worlds.yaml")


HOSTILE: Mapping[str, str] = {
    "script": "</script><script>alert(1)</script>",
    "image": '"><img src=x onerror=alert(2)>',
    "quotes": '\' onmouseover=\'alert(3)\' " onfocus="alert(4)" autofocus x="',
    "address": "javascript:alert(5)",
    "bidi": "\u202egnp.exe\u2066 \u200f",
    "template": "{{ 7919 * 7 }}{% raw %}${7919 * 7}",
    "comment": "--><!-- ]]> <svg onload=alert(6)>",
    "style": "</style><style>*{display:none}</style>",
    "long": "x" * 4000,
}
"""Text that does harm where it isn't escaped."""


def spoil(value: Any, texts: Iterator[str]) -> Any:
    """Every text within a value with something harmful behind it, keys of maps included."""
    if isinstance(value, str):
        return value + next(texts)
    if isinstance(value, Mapping):
        return {key + next(texts): spoil(item, texts) for key, item in value.items()}
    if isinstance(value, list):
        return [spoil(item, texts) for item in value]
    return value


def make_hostile(record: Plain) -> None:
    """Make every text of a record harmful that a stranger could choose."""
    texts = cycle(HOSTILE.values())
    for key in ("spec", "environment", "tuning", "training", "samples", "tokenizer"):
        kept = {"runs", "note", "tokens", "seconds", "vocab_size", "digest"}
        if isinstance(record[key], dict):
            record[key] |= {k: spoil(v, texts) for k, v in record[key].items() if k in kept}
            record[key] |= {next(texts): spoil(k, texts) for k in list(record[key])}
    stages = record["training"].pop("stages")
    record["training"]["stages"] = [
        {**stage, **spoil(stage, texts), "name": stage["name"] + next(texts)} for stage in stages
    ]
    *some, last, one = HOSTILE.values()
    record["samples"] = [
        *({"source": text, "prompt": text, "text": text} for text in some),
        {"source": last, "prompt": one, "text": last + one},
    ]
    record["row"] = "".join(HOSTILE.values())
    record["family"] = HOSTILE["image"]
    for kind, component in record["components"].items():
        record["components"][kind] = {key: v + next(texts) for key, v in component.items()}
    record["parameters"] |= {HOSTILE["script"]: 5, HOSTILE["image"]: 7}
    record["place"] = {text: text for text in HOSTILE.values()}
    for text in HOSTILE.values():
        record["metrics"][f"generation.{text}.coherent_documents"] = entry(0.5, 0.1)
        record["metrics"][f"generation.at_steps.3.{text}"] = entry(0.5, 0.1)
        record["metrics"][text] = entry(0.5, 0.1)
