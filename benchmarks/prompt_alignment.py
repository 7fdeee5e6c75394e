"""Does it matter where in a patch a prompt ends? python benchmarks/prompt_alignment.py --out DIR.

Two models of the same stories, patches of two tokens, one with segments aligned to the end of the
prompt and one on a fixed grid. Held-out stories are cut behind an even and behind the following odd
number of tokens, and continued. Reported: the share of stories that are coherent with their
continuation, by parity, and the mean of the difference, story by story, with its 95 % interval.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import colaflex
from colaflex.corpora.token_index import prepare_data
from colaflex.host.registry import registry
from colaflex.statistics.intervals import mean

ROOT = Path(__file__).parent.parent
RECORDS = ROOT / "benchmarks" / "results" / "prompt_alignment.json"
SPEC = ROOT / "specs" / "patches.yaml"
ARMS = {"aligned": True, "fixed grid": False}


def measure(run: Path, stories: int) -> dict[str, Any]:
    """Coherence of continued stories by the parity of the prompt's length, and the difference."""
    loaded: Any = colaflex.load(run)
    corpus: Any = registry().build(loaded.spec.corpus)
    held_out = prepare_data(corpus, path=str(run / "tokenizer.json")).index.split("test")
    world = corpus.truth().world
    coherent: dict[int, list[bool]] = {0: [], 1: []}
    for parity, found in coherent.items():
        # Story i is cut behind 2 to 2 + half its length tokens: at all depths, as often odd.
        texts = [
            loaded.tokenizer.decode(row[: 2 * (1 + i % max(1, len(row) // 4)) + parity])
            for i, row in enumerate(held_out.first(stories))
        ]
        for prompt, made in zip(texts, loaded.generate(texts), strict=True):
            found.append(world.document_judgement(prompt + made.text).coherent)
    even, odd = (np.array(coherent[parity], dtype=float) for parity in (0, 1))
    shown = {"even": mean(even), "odd": mean(odd), "odd_minus_even": mean(odd - even)}
    return {
        name: {"value": m.value, "low": m.low, "high": m.high, "n": m.n}
        for name, m in shown.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--stories", type=int, default=500)
    parser.add_argument("--set", action="append", default=[], metavar="K=V", dest="sets")
    given = parser.parse_args()
    records = {}
    for name, aligned in ARMS.items():
        folder = given.out / name.replace(" ", "-")
        if not (folder / "result.json").exists():
            sets = [f"segmenter.align_prompts={str(aligned).lower()}", *given.sets]
            options = [part for item in sets for part in ("--set", item)]
            resume = ["--resume"] if folder.exists() else []
            command = [sys.executable, "-m", "colaflex", "run", str(SPEC), *options]
            command += ["--out", str(folder), *resume]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        records[name] = measure(folder, given.stories)
    RECORDS.parent.mkdir(exist_ok=True)
    RECORDS.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    print("| segments | even prompts, % | odd prompts, % | odd less even |\n|---|---|---|---|")
    for name, found in records.items():
        cells = [
            f"{100 * m['value']:.1f} [{100 * m['low']:.1f}, {100 * m['high']:.1f}]"
            for m in found.values()
        ]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
