from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROWS = ("real", "oracle_latents", "trigram", "bigram", "unigram")
TEXTS = {
    "model": "And the king said to them, Go out from the town, for the day is coming near.",
    "real": "And it came about that the men of the town came out to make war against him.",
    "oracle_latents": "And it came about that the men of the town came out to make war with him.",
    "trigram": "And the Lord said to the people of the land of Egypt in the waste land.",
    "bigram": "And the house of the sons of him who is the men of his brother went up.",
    "unigram": "of the , him And up be not the sons . a in which said",
}
TEXT_METRICS = {
    # metric: (spread, model, real, oracle_latents, trigram, bigram, unigram)
    "judge_nll": (0.04, 3.61, 2.72, 2.74, 3.35, 4.12, 6.48),
    "brier_lm": (0.25, 5.1, 11.8, 11.6, 6.4, 3.9, 0.4),
    "known_words": (0.004, 0.962, 0.996, 0.995, 1.0, 1.0, 1.0),
    "known_bigrams": (0.01, 0.61, 0.91, 0.905, 1.0, 1.0, 0.22),
    "unigram_entropy": (0.02, 5.92, 6.01, 6.0, 6.02, 6.0, 6.05),
    "judge_nll_per_byte": (0.02, 0.98, 0.74, 0.75, 0.91, 1.11, 1.9),
    "brier_1": (0.3, 18.0, 24.0, 23.9, 20.2, 17.0, 5.0),
    "mean_words": (1.2, 48.0, 51.0, 51.0, 47.0, 46.0, 50.0),
    "ended": (0.03, 0.34, 0.31, 0.31, 0.35, 0.36, 0.33),
    "distinct_1": (0.006, 0.121, 0.137, 0.137, 0.12, 0.121, 0.13),
    "distinct_2": (0.008, 0.602, 0.561, 0.56, 0.49, 0.55, 0.83),
    "repetition": (0.003, 0.021, 0.012, 0.012, 0.011, 0.006, 0.0),
    "copying": (0.003, 0.012, 0.041, 0.041, 0.06, 0.001, 0.0),
}
WORLD_METRICS = {
    "coherent_documents": (0.02, 0.644, 1.0, 0.998, 0.11, 0.012, 0.0),
    "valid_documents": (0.012, 0.921, 1.0, 0.999, 0.52, 0.05, 0.0),
    "valid_sentences": (0.006, 0.974, 1.0, 0.9995, 0.87, 0.31, 0.002),
    "oracle_nll": (0.01, 0.62, 0.571, 0.573, 0.71, 1.33, 3.1),
    "kl_factors": (0.003, 0.021, 0.001, 0.001, 0.004, 0.004, 0.01),
    "kl_pairs": (0.006, 0.044, 0.002, 0.002, 0.02, 0.02, 0.03),
    "unigram_entropy": (0.01, 4.31, 4.33, 4.33, 4.32, 4.33, 4.36),
    "distinct_2": (0.004, 0.082, 0.08, 0.08, 0.084, 0.12, 0.51),
}


def _entry(value: float, half: float, n: int = 256) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half, "n": n}


def _metrics(draw: random.Random, worlds: bool) -> dict[str, dict[str, float]]:
    table = WORLD_METRICS if worlds else TEXT_METRICS
    metrics = {}
    for name, (half, model, *others) in table.items():
        metrics[f"generation.{name}"] = _entry(model, half)
        for row, value in zip(ROWS, others, strict=True):
            metrics[f"generation.{row}.{name}"] = _entry(value, half)
        if worlds:
            shuffled = 0.98 if "valid" in name else 0.01 if "coherent" in name else others[0]
            metrics[f"generation.shuffled.{name}"] = _entry(shuffled, half)
        real = others[0]
        for steps in (1, 2, 4, 8, 16, 32):
            lost = 0.9 * math.exp(-steps / 3.5) + 0.02 * draw.random()
            metrics[f"generation.at_steps.{steps}.{name}"] = _entry(
                model + lost * (others[-1] - real) * 0.7, half * 1.5
            )
        for guidance in (1, 1.5, 2, 3, 5, 8):
            lost = 0.1 * (math.log(guidance / 1.8)) ** 2
            metrics[f"generation.at_guidance.{guidance}.{name}"] = _entry(
                model + lost * (others[-1] - real) * 0.7, half * 1.5
            )
    for steps in (1, 2, 4, 8, 16, 32):
        metrics[f"generation.at_steps.{steps}.network_evaluations"] = _entry(2 * steps, 0)
    metrics |= {
        "generation.network_evaluations": _entry(32, 0),
        "reconstruction.token_accuracy": _entry(0.9978, 0.0004, 18_220),
        "reconstruction.nll": _entry(0.0121, 0.002, 18_220),
        "reconstruction.exact_documents": _entry(0.934, 0.02, 400),
        "reconstruction.log_snr": _entry(4.87, 0.02, 400),
        "geometry.straightness": _entry(0.031, 0.003, 64),
        "geometry.latent_drift": _entry(0.012, 0.001, 64),
        "speed.generate_tokens_per_second": _entry(5_312, 120, 8),
        "speed.seconds_per_block": _entry(0.0121, 0.0003, 64),
        "speed.peak_memory_bytes": _entry(1.13e9, 0, 1),
        "likelihood.bits_per_byte": _entry(1.93, 0.03, 128),
    }
    return metrics


def _history(draw: random.Random) -> list[dict[str, Any]]:
    stages = {
        "representation": (900, {"realisation": 8.1, "kl": 2.3, "mask": 6.4}),
        "prior": (2400, {"flow": 1.9, "realisation": 0.05, "negative_entropy": 1.1}),
    }
    records, clock = [], 0.0
    for stage, (steps, terms) in stages.items():
        for step in range(0, steps, 10):
            clock += 1.2
            share = step / steps
            values = {
                name: first * (0.04 + 0.96 * math.exp(-9 * share)) * (1 + 0.1 * draw.gauss(0, 1))
                for name, first in terms.items()
            }
            warm = min(1.0, (step + 1) / 100)
            records.append(
                {
                    "stage": stage,
                    "step": step,
                    "time": clock,
                    "loss": sum(values.values()),
                    "terms": values,
                    "learning_rate": 2e-3 * warm * (0.55 + 0.45 * math.cos(math.pi * share)),
                    "tokens_per_second": 41_000 * (1 + 0.02 * draw.gauss(0, 1)),
                    "gradient_norm": 0.3 + math.exp(-5 * share) + 0.05 * abs(draw.gauss(0, 1)),
                    "latent/log_snr": 4.9 - 4.5 * math.exp(-6 * share)
                    if stage == "representation"
                    else 4.9 + 0.02 * draw.gauss(0, 1),
                    "latent/mean_square": 1.0 + 0.02 * draw.gauss(0, 1),
                }
            )
    return records


def _samples(worlds: bool) -> list[dict[str, Any]]:
    worlds_text = (
        "The fox lives by the river. It is the river where the fox eats. "
        "In winter the fox is red. A red fox, seen in winter, eats berries."
    )
    return [
        {
            "source": source,
            "prompt": "" if number % 2 == 0 or worlds else "In the beginning",
            "text": " " * (number % 2)
            + (worlds_text if worlds and source != "unigram" else text)
            + " And so it was." * (number % 3),
            "tokens": 40,
            "finish": "end" if number % 3 else "length",
            "settings": {"steps": 16, "guidance": 2.0, "temperature": 0.0},
        }
        for source, text in TEXTS.items()
        for number in range(8)
    ]


def make_result(worlds: bool = False, seed: int = 0) -> dict[str, Any]:
    def component(name: str) -> dict[str, str]:
        return {"name": name, "distribution": "colaflex", "version": "1"}

    return {
        "schema": 1,
        "name": "worlds" if worlds else "quickstart",
        "status": "complete",
        "spec_digest": "3f9a" * 16,
        "seed": seed,
        "components": {
            "corpus": component("worlds" if worlds else "bible"),
            "segmenter": component("fixed_patch"),
            "representation": component("text_vae"),
            "prior": component("flow_matching"),
            "network": component("block_causal"),
            "solver": component("euler"),
        },
        "parameters": {"representation": 2_712_320, "prior": 3_145_728, "total": 5_858_048},
        "training": {
            "tokens": 12_582_912,
            "steps": 3300,
            "flops": 3.1e14,
            "seconds": 371.2,
            "tokens_per_second": 33_900,
            "stages": {
                "representation": {
                    "tokens": 3.6e6, "steps": 900, "flops": 0.7e14, "seconds": 84,
                    "tokens_per_second": 42_800, "reused": False,
                },
                "prior": {
                    "tokens": 9.0e6, "steps": 2400, "flops": 2.4e14, "seconds": 287,
                    "tokens_per_second": 31_300, "reused": False,
                },
            },
        },
        "metrics": _metrics(random.Random(seed), worlds),
        "environment": {
            "colaflex": "0.1.0", "python": "3.11.2", "torch": "2.13.0+cpu",
            "platform": "Linux x86_64", "threads": 2, "device": "cpu", "precision": "fp32",
        },
    }  # fmt: skip


SPEC = """\
spec_version: 1
name: quickstart
seed: 0
corpus: {type: bible, translation: bbe}
tokenizer: {vocab_size: 4096}
segmenter: {type: fixed_patch, size: 2}
representation:
  type: text_vae
  latent_dim: 16
  log_snr: learned
prior:
  type: flow_matching
  block_size: 16
  schedule: {type: "colaflex:logit_normal", loc: 1.0, scale: 1.0}
"""


def write_run(
    folder: Path,
    worlds: bool = False,
    change: Callable[[dict[str, Any]], None] = lambda result: None,
    samples: list[dict[str, Any]] | None = None,
    history: list[dict[str, Any]] | None = None,
    small: bool = False,
) -> Path:
    """A run folder as `colaflex run` writes it, with made-up but plausible numbers.

    A small one makes few figures, which are what takes the time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    result = make_result(worlds)
    if small:
        keep = ("judge_nll", "unigram_entropy", "reconstruction.", "geometry.", "speed.")
        names = [name for name in result["metrics"] if any(part in name for part in keep)]
        result["metrics"] = {name: result["metrics"][name] for name in names}
    change(result)
    history = _history(random.Random(1))[:: 40 if small else 1] if history is None else history
    samples = _samples(worlds) if samples is None else samples
    (folder / "result.json").write_text(json.dumps(result), "utf-8")
    for name, records in (("metrics.jsonl", history), ("samples.jsonl", samples)):
        text = "".join(json.dumps(record) + "\n" for record in records)
        (folder / name).write_text(text, "utf-8")
    (folder / "spec.yaml").write_text(SPEC, "utf-8")
    return folder


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    return lambda **options: write_run(tmp_path / "run", **{"small": True, **options})
