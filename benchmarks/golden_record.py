"""A commit against the working tree, to the bit: python benchmarks/golden_record.py COMMIT.

Every spec in golden/ is trained for 20 steps a stage in fp32 with one thread, by both trees
on this machine; a board and a study are run as well. Compared are digests, every step's losses, the
final weights, texts, and results but for their times. Weights differ between processors, so that
what is committed (golden/golden.json, by --write) is only what does not depend on them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from beside import ROOT, checked_out, installed

GOLDEN = Path(__file__).resolve().parent / "golden"
KEPT = GOLDEN / "golden.json"
DRAWN_HERE = ("autoregressive_latent", "hybrid")
"""Specs whose encoder is drawn on the spot: its weights, and so the digest, differ by processor."""
PROMPTS = ("", "The", "In the morning", "")
TIMED = re.compile("seconds|per_second|minutes|peak_memory|^environment$|^created$")
"""Keys whose values differ between two runs of the same experiment."""
ENCODERS = """
import sys
from pathlib import Path
from colaflex.corpora.worlds import Worlds, WorldsConfig
from colaflex.representations import small_encoders
texts = [document.text for document in Worlds(WorldsConfig(documents=60)).documents()]
small_encoders.small_bert(Path(sys.argv[1]) / "bert", texts)
small_encoders.small_t5(Path(sys.argv[1]) / "t5", texts)
"""


class Tree:
    """A version of the package, installed in a folder of its own, with a cache of its own."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(GOLDEN, folder / "golden")
        one = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        self._environment = {**installed(source, folder), **one}

    def python(self, *arguments: str) -> str:
        """What it prints; its working folder is that of the tree, so that paths are alike."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(arguments)}:\n{done.stderr[-4000:]}")
        return done.stdout

    def colaflex(self, *arguments: str) -> str:
        """The command line."""
        return self.python("-m", "colaflex", *arguments)

    def run(self, spec: Path) -> dict[str, Any]:
        """What is known of a spec's run."""
        out = f"runs/{spec.stem}"
        self.colaflex("run", f"golden/specs/{spec.name}", "--out", out, "--precision", "fp32")
        folder = self.folder / out
        prompts = [part for prompt in PROMPTS for part in ("--prompt", prompt)]
        texts = json.loads(self.colaflex("generate", out, *prompts, "--seed", "3", "--json"))
        return {"texts": timeless(texts), **run_files(folder)}

    def board(self) -> dict[str, Any]:
        """The records of the board's cells."""
        options = ("--out", "runs/board", "--precision", "fp32")
        self.colaflex("bench", "run", "golden/board.yaml", *options)
        # A record's own digest, in its name as well, is that of its times too.
        records = {
            path.stem.rpartition("-")[0]: json.loads(path.read_text())
            for path in sorted((self.folder / "results" / "golden").glob("*.json"))
        }
        assert records, "the board has left no record"
        return {
            name: timeless({key: value for key, value in record.items() if key != "digest"})
            for name, record in records.items()
        }

    def study(self) -> dict[str, Any]:
        """The trials of the study and what they sum up to."""
        options = ("--out", "runs/study", "--precision", "fp32", "--json")
        summary = json.loads(self.colaflex("study", "run", "golden/study.yaml", *options))
        return {"summary": timeless(summary)}


def run_files(folder: Path) -> dict[str, Any]:
    """Losses of every step, the weights' digests, and the result of a run."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    weights = sorted((folder / "checkpoints").glob("*/model.safetensors"))
    return {
        "steps": [timeless(json.loads(line)) for line in lines],
        "weights": {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in weights
        },
        "data_digest": json.loads((folder / "run.json").read_text())["data_digest"],
        "result": timeless(json.loads((folder / "result.json").read_text())),
    }


def timeless(value: Any) -> Any:
    """A JSON value without what differs between two runs of the same experiment."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if not TIMED.search(k)}
        return {key: timeless(each) for key, each in kept.items()}
    return [timeless(each) for each in value] if isinstance(value, list) else value


def made(tree: Tree, only: list[str]) -> dict[str, Any]:
    """The record of a tree; progress on stderr."""
    found: dict[str, Any] = {}
    for spec in sorted((GOLDEN / "specs").glob("*.yaml")):
        if spec.stem in only:
            print(f"{tree.folder.name}: {spec.stem}", file=sys.stderr)
            found[spec.stem] = tree.run(spec)
    for name, part in (("board", tree.board), ("study", tree.study)):
        if name in only:
            print(f"{tree.folder.name}: {name}", file=sys.stderr)
            found[name] = part()
    return found


def both(commit: str, work: Path, only: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The records of a commit and of the working tree."""
    with checked_out(commit) as tree:
        before, after = Tree(tree, work / "before"), Tree(ROOT, work / "after")
        encoders = before.folder / "encoders"
        before.python("-c", ENCODERS, str(encoders))
        shutil.copytree(encoders, after.folder / "encoders")
        with ThreadPoolExecutor(2) as pool:
            first, second = (pool.submit(made, each, only) for each in (before, after))
            return first.result(), second.result()


def differences(before: Any, after: Any, at: str = "") -> Iterator[str]:
    """Where two JSON values are not equal, with both."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            then, now = before.get(key, "nothing"), after.get(key, "nothing")
            yield from differences(then, now, f"{at}/{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, pair in enumerate(zip(before, after, strict=True)):
            yield from differences(*pair, f"{at}/{index}")
    elif before != after or type(before) is not type(after):
        yield f"{at}: {json.dumps(before)[:200]} -> {json.dumps(after)[:200]}"


def portable(found: Mapping[str, Any]) -> dict[str, Any]:
    """What of the runs is the same on every processor: digests, parameters, steps and FLOPs."""
    return {
        name: {
            "data_digest": run["data_digest"],
            "spec_digest": run["result"]["spec_digest"],
            "stage1_digest": run["result"].get("stage1_digest"),
            "parameters": run["result"]["parameters"],
            "stages": [
                {key: stage[key] for key in ("name", "steps", "flops")}
                for stage in run["result"]["training"]["stages"]
            ],
        }
        for name, run in found.items()
        if "result" in run and name not in DRAWN_HERE
    }


def main() -> None:
    """Compare, or write what is committed."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("commit", nargs="?", default="HEAD")
    names = [*sorted(path.stem for path in (GOLDEN / "specs").glob("*.yaml")), "board", "study"]
    parser.add_argument("--only", nargs="+", default=names, choices=names, metavar="NAME")
    parser.add_argument("--write", action="store_true", help="the committed part, by this tree")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="golden-") as work:
        before, after = both(given.commit, Path(work), given.only)
    wrong = list(differences(before, after))
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    now = portable(after)
    if not given.write:
        wrong += differences({name: kept.get(name) for name in now}, now, "/golden.json")
    print("\n".join(wrong) or f"equal to the bit: {', '.join(after)}")
    if given.write:
        KEPT.write_text(
            json.dumps({**kept, **now}, indent=1, sort_keys=True) + "\n", encoding="utf-8"
        )
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
