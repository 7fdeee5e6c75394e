"""Evaluating against a large corpus takes the memory of evaluating against a small one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# Its own process: the peak of memory is that of a process. The bounds on what is learned from are
# far below the real ones, so that both corpora are beyond them and the test is quick.
EVALUATED = """
import resource, sys
from pathlib import Path
import numpy as np
from colaflex.corpora.token_index import Data, SplitIndex, TokenIndex
from colaflex.corpora.tokenizer import load_tokenizer
from colaflex.evaluation import quality, text_rows
from colaflex.evaluation.plan import EvaluationPlan
from colaflex.evaluation.judge import JudgeSettings

quality.JUDGE_TOKENS, text_rows.NGRAM_TOKENS, quality.TOKENS_AT_ONCE = 30_000, 60_000, 20_000
folder, documents, length = Path(sys.argv[1]), int(sys.argv[2]), 50
tokenizer = load_tokenizer(folder / "tokenizer.json")
held = np.memmap(folder / "tokens", "<u2", "w+", shape=documents * length)
rng = np.random.default_rng(0)
for start in range(0, len(held), 100_000):
    part = held[start : start + 100_000]
    part[:] = rng.integers(0, 256, len(part))
held[length - 1 :: length] = tokenizer.end_of_text
offsets = np.arange(documents + 1) * length
split = SplitIndex(held, offsets, np.full(documents, length))
names = ("train", "validation", "test", "judge")
data = Data(tokenizer, TokenIndex(dict.fromkeys(names, split), tokenizer.end_of_text, ""), "")
judge = JudgeSettings(steps=2, width=8, heads=1, layers=1, max_tokens=64)
plan = EvaluationPlan(documents=64, bootstrap=100, judged_by=judge)
found = text_rows.Sources.__new__(text_rows.Sources)
found.data, found.plan = data, plan
found.options = text_rows.GenerationOptions(max_new_tokens=20)
found.held_out = split
prompts = [[] for _ in range(8)]
rows = {name: found._ngram(order, prompts) for name, order in text_rows.NGRAMS.items()}
rows["real"] = found.real(prompts)
quality.Quality(data, None, plan, lambda text: None).measure(rows)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(folder: Path, documents: int) -> int:
    """KiB of a process that measures n-gram samples and real text against so many documents."""
    command = [sys.executable, "-c", EVALUATED, str(folder), str(documents)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout)


def test_memory_does_not_follow_the_corpus(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((finished / "tokenizer.json").read_bytes())
    few, many = peak(tmp_path, 3_000), peak(tmp_path, 20_000)
    # What is mapped of the index counts as well: two bytes a token, and the document's offsets.
    mapped = 17_000 * (50 * 2 + 3 * 8) >> 10
    assert many - mapped < 1.1 * few, f"{few >> 10} and {many >> 10} MiB"
