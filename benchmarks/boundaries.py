"""Do learned segments find words? python benchmarks/boundaries.py.

Trains stage 1 on bytes, for each learned segmenter, and compares where segments begin in held-out
text with where words begin: at the byte before the first letter, mostly a space, or at that letter.
Either is a sound convention; each segmenter is held to the one that it agrees with better, and the
table says to which. Fixed patches of the same rate are given the phase that suits them best, too.
Rows are the beginnings of documents, as long as in training; their first byte, with which all
begins, is left out.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from colaflex.experiment.prepared import Prepared, prepare
from colaflex.experiment.run_options import RunOptions
from colaflex.interfaces.corpus import Split
from colaflex.interfaces.metric import Measurement
from colaflex.interfaces.values import TokenBatch
from colaflex.latent.language_model import LatentLanguageModel
from colaflex.spec import Spec
from colaflex.statistics.intervals import Floats, bootstrap
from colaflex.training.trainer import Trainer, TrainerOptions

Starts = frozenset[int]
SHARES = ("f1", "precision", "recall")


def words_begin(text: str, ahead: int) -> Starts:
    """The first letters (or digits) of words, or the byte `ahead` of each; places in bytes."""
    data = text.encode()
    held = [chr(byte).isalnum() or byte >= 0x80 or byte == ord("'") for byte in data]
    first = {i for i in range(len(held)) if held[i] and (i == 0 or not held[i - 1])}
    return frozenset(i - ahead for i in first if i > ahead)


def experiment(
    given: argparse.Namespace, segmenter: Mapping[str, object], folder: Path
) -> Prepared:
    """A run of whose stages only the first is trained."""
    spec = Spec.parse(
        {
            "name": "boundaries",
            "seed": given.seed,
            "corpus": {"type": "bible", "verses": 4},
            "tokenizer": {"vocab_size": 258},
            "segmenter": segmenter,
            "representation": {
                "type": "text_vae",
                "latent_dim": 32,
                "width": given.width,
                "heads": 4,
                "encoder_layers": 1,
                "decoder_layers": 1,
                "embedding_dim": given.token_width,
                "token_layers": given.token_layers,
                "mask_weight": 0,
                "rate_weight": given.beta,
            },
            "prior": {"type": "gaussian", "block_size": 4},
            "training": {
                "max_tokens": given.max_tokens,
                "regime": "frozen",
                "steps": given.steps + 1,
                "stages": {
                    "representation": {
                        "steps": given.steps,
                        "batch_size": given.rows,
                        "learning_rate": given.learning_rate,
                    }
                },
            },
        }
    )
    return prepare(spec, folder, RunOptions(quiet=True))


def trained(run: Prepared, log_every: int = 50) -> LatentLanguageModel:
    """The model after stage 1."""
    model = run.model
    assert isinstance(model, LatentLanguageModel)
    options = TrainerOptions(run.folder.path, "boundaries", run.spec.seed, log_every=log_every)
    run.folder.path.mkdir(parents=True, exist_ok=True)
    Trainer(model, run.plans()[:1], run.order, options, run.processes).train()
    return model.eval()


@torch.no_grad()
def starts_of(model: LatentLanguageModel, documents: Sequence[Sequence[int]]) -> list[Starts]:
    """Where the segments of each document begin."""
    found = []
    for document in documents:
        row = torch.tensor([document])
        batch = TokenBatch(row, torch.tensor([row.shape[1]]), torch.tensor([False]))
        segmentation = model.cut(batch)
        begins = segmentation.starts[0][segmentation.mask[0]].tolist()
        found.append(frozenset(begins) - {0})
    return found


def agreement(found: Sequence[Starts], truth: Sequence[Starts]) -> dict[str, Measurement]:
    """F1, precision and recall, with intervals over documents."""
    counts = np.array([[len(a & b), len(a), len(b)] for a, b in zip(found, truth, strict=True)])

    def share(over: Callable[[Floats], Floats]) -> Measurement:
        def statistic(weights: Floats) -> Floats:
            sums = weights @ counts
            return np.asarray(sums[:, 0] / over(sums))

        return bootstrap(statistic, len(counts), "boundaries")

    return {
        "f1": share(lambda s: (s[:, 1] + s[:, 2]) / 2),
        "precision": share(lambda s: s[:, 1]),
        "recall": share(lambda s: s[:, 2]),
    }


def held_out(
    given: argparse.Namespace, run: Prepared, split: Split
) -> tuple[list[list[int]], list[str]]:
    """The beginnings of documents of the split, as bytes and as text."""
    documents = run.data.index.split(split).first(given.documents)
    rows = [document[: given.max_tokens] for document in documents]
    return rows, [run.data.tokenizer.decode(row) for row in rows]


def learned(given: argparse.Namespace, name: str, split: Split) -> dict[str, Any]:
    """A learned segmenter after stage 1: its rate, and how its segments agree with words."""
    began = time.perf_counter()
    segmenter = {"type": name, "rate": given.rate, "max_tokens": given.longest}
    with TemporaryDirectory() as folder:
        run = experiment(given, segmenter, Path(folder) / "run")
        model = trained(run)
        documents, texts = held_out(given, run, split)
    found = starts_of(model, documents)
    return {
        "segmenter": name,
        **measured(found, texts),
        "seconds": time.perf_counter() - began,
        "example": marked(texts[0], found[0]),
    }


def patches(given: argparse.Namespace, split: Split) -> dict[str, Any]:
    """Fixed patches of the rate, at the phase with the highest F1."""
    segmenter, size = {"type": "fixed_patch", "size": round(1 / given.rate)}, round(1 / given.rate)
    with TemporaryDirectory() as folder:
        run = experiment(given, segmenter, Path(folder) / "run")
        documents, texts = held_out(given, run, split)
    found = []
    for phase in range(size):
        starts = [frozenset(range(phase, len(d), size)) - {0} for d in documents]
        found.append({"segmenter": f"fixed_patch {size}", **measured(starts, texts)})
    return max(found, key=lambda row: row["f1"].value)


def measured(found: Sequence[Starts], texts: Sequence[str]) -> dict[str, Any]:
    """The rate of segments, that of words, and their agreement."""
    judged: list[dict[str, Any]] = []
    for name, ahead in (("space", 1), ("letter", 0)):
        truth = [words_begin(text, ahead) for text in texts]
        judged.append({"words_at": name, **agreement(found, truth)})
    best = max(judged, key=lambda row: row["f1"].value)
    size = sum(len(text.encode()) - 1 for text in texts)
    rates = {"rate": sum(map(len, found)) / size, "words_rate": sum(map(len, truth)) / size}
    return {**rates, **best}


def marked(text: str, starts: Starts, length: int = 160) -> str:
    """The beginning of a text with a bar where segments begin."""
    return "".join(("|" if i in starts else "") + c for i, c in enumerate(text[:length]))


def main() -> None:
    """Measure and print; with --json, print JSON instead."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (
        ("steps", 600), ("rows", 8), ("max-tokens", 128), ("width", 96), ("token-width", 64),
        ("token-layers", 2), ("longest", 12), ("documents", 400), ("seed", 0), ("threads", 2),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--beta", type=float, default=1e-3)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--segmenters", nargs="+", default=["learned_boundary", "entropy"])
    parser.add_argument("--split", choices=["validation", "test"], default="test")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows = [learned(given, name, given.split) for name in given.segmenters]
    rows.append(patches(given, given.split))
    if given.json:
        settings = {k: v for k, v in vars(given).items() if k != "json"}
        print(json.dumps({"settings": settings, "rows": rows}, default=asdict, indent=2))
        return
    print(f"target rate {given.rate}; words begin at {rows[0]['words_rate']:.3f} of the bytes\n")
    print("| segmenter | rate | words at | F1 | precision | recall |\n|---|---|---|---|---|---|")
    for row in rows:
        shares = (f"{m.value:.3f} ({m.low:.3f}-{m.high:.3f})" for m in map(row.__getitem__, SHARES))
        label = f"| {row['segmenter']} | {row['rate']:.3f} | {row['words_at']} | "
        print(label + " | ".join(shares) + " |")
    for row in rows:
        if "example" in row:
            print(f"\n{row['segmenter']}, {row['seconds']:.0f} s: {row['example']}")


if __name__ == "__main__":
    main()
