"""What can't be run is one clear message, the right exit code, and nothing half-written."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from colaflex.corpora.token_index import prepare_data
from colaflex.host.registry import registry
from colaflex.spec import Spec

Command = Callable[..., Any]
QUICK = ("--set", "evaluation.samples=0", "--set", "evaluation.documents=2")


def passages(path: Path, count: int = 200) -> Path:
    """So many short documents, one a line."""
    lines = [
        f"Document {i} tells of {i % 7} red hens and {i % 5} blue boats.\n" for i in range(count)
    ]
    path.write_text("".join(lines))
    return path


def refused(done: Any, message: str) -> None:
    assert done.code == 2, done.err
    assert message in done.err and done.err.count("Error: ") == 1
    assert "Traceback" not in done.err and done.out == ""


CORPORA: dict[str, tuple[bytes | None, str, str]] = {
    "an empty file": (b"", "", "the corpus is empty, no text in it"),
    "white space": (b" \n\n \n", "", "the corpus is empty, no text in it"),
    "Latin-1": (b"fine\n" * 100 + b"caf\xe9\n", "", "not UTF-8"),
    "one document": (b"One.\n", "tokenizer.vocab_size=258", "are fewer than a batch of 4"),
    "no test split": (None, "corpus.test=0", "the test split has no documents"),
    "no judge split": (None, "corpus.judge=0", "a judge needs 20 or more"),
    "a large vocabulary": (
        None,
        "tokenizer.vocab_size=3000",
        "3000 is more than the text supports",
    ),
    "few rows": (None, "training.batch_size=5000", "are fewer than a batch of 5000"),
}


def text_files(path: Path) -> list[str]:
    """The setting that takes the lines of a file as documents."""
    corpus = {"type": "text_files", "path": str(path), "documents": "line"}
    return ["--set", f"corpus={json.dumps(corpus)}"]


@pytest.mark.parametrize("name", CORPORA)
def test_a_corpus_that_cannot_be_used_is_refused_before_anything_is_written(
    name: str, tiny: Path, tmp_path: Path, colaflex_command: Command
) -> None:
    content, change, message = CORPORA[name]
    text = passages(tmp_path / "text.txt")
    if content is not None:
        text.write_bytes(content)
    sets = [*text_files(text), *(["--set", change] if change else [])]
    refused(colaflex_command("run", tiny, *sets, "--out", tmp_path / "out"), message)
    refused(colaflex_command("run", tiny, *sets, "--dry-run"), message)
    assert not (tmp_path / "out").exists()


def test_the_place_of_a_file_counts_from_the_spec_and_is_no_part_of_the_digest(
    tiny: Path, tmp_path: Path, colaflex_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for place in ("here", "there"):
        (tmp_path / place / "data").mkdir(parents=True)
        passages(tmp_path / place / "data/text.txt")
        spec = tmp_path / place / "spec.yaml"
        spec.write_text(
            f"extends: {tiny}\nname: text\n"
            "corpus: {type: text_files, path: data/*.txt, documents: line}\n"
            "evaluation: {samples: 2, documents: 4, judge: {steps: 2, width: 8, heads: 1}}\n"
        )
        monkeypatch.chdir(tmp_path)
        done = colaflex_command("run", spec, "--out", tmp_path / place / "run", "--json")
        assert done.code == 0, done.err
        found.append(done.json)
    assert found[0]["spec_digest"] == found[1]["spec_digest"]
    assert found[1]["training"]["stages"][0]["reused"] is True
    # Real text is measured by a judge, which says how good it is itself.
    assert {"judge.held_out_nll", "generation.judge_nll", "generation.real.judge_nll"} <= set(
        found[0]["metrics"]
    )
    # The saved spec finds its corpus from anywhere.
    monkeypatch.chdir("/")
    done = colaflex_command("evaluate", tmp_path / "here/run", "--json")
    assert done.code == 0, done.err
    (tmp_path / "here/data/text.txt").unlink()
    refused(colaflex_command("evaluate", tmp_path / "here/run"), "data/*.txt: no such file")


def test_a_line_of_megabytes_takes_little_memory(
    tiny: Path, tmp_path: Path, colaflex_command: Command
) -> None:
    text = passages(tmp_path / "text.txt", 400)
    with text.open("a") as file:
        for _ in range(100):
            file.write("word after word, " * 6000)
    assert text.stat().st_size > 10_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = colaflex_command("run", tiny, "--dry-run", *text_files(text))
    assert done.code == 0, done.err
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Files can't grow beyond a size, as on a disk that is full."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


@pytest.mark.parametrize(
    ("size", "message", "left"),
    [
        (100, "run.json: can't be written: File too large", set()),
        (2000, "spec.yaml: can't be written: File too large", {"manifest.json", "run.json"}),
        (15_000, "its end could not be saved", None),
    ],
)
def test_a_full_disk_ends_a_run_that_can_be_resumed(
    size: int,
    message: str,
    left: set[str] | None,
    tiny: Path,
    finished: Path,
    tmp_path: Path,
    colaflex_command: Command,
) -> None:
    arguments = ["run", tiny, "--out", tmp_path / "out"]
    spec = Spec.load(tiny)
    prepare_data(registry().build(spec.corpus), spec.tokenizer.vocab_size)  # into the cache
    with largest_file(size):
        done = colaflex_command(*arguments)
    assert done.code == 1
    assert message in done.err and done.err.count("Error: ") == 1
    assert "Traceback" not in done.err and done.out == ""
    found = {path.name for path in (tmp_path / "out").iterdir()}
    if left is not None:
        assert found == left
    assert not list((tmp_path / "out").rglob("*.tmp"))
    resume = ["--resume"] if found else []
    assert ("resume" in done.err) == bool(found)
    done = colaflex_command(*arguments, *resume, "--json")
    assert done.code == 0, done.err
    own, theirs = (
        json.loads((folder / "result.json").read_text())["metrics"]
        for folder in (tmp_path / "out", finished)
    )
    for name, row in theirs.items():
        assert name.startswith("speed.") or own[name] == row, name


def test_a_cache_that_cannot_be_filled_ends_a_run_before_it_begins(
    tiny: Path, tmp_path: Path, colaflex_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLAFLEX_CACHE", str(tmp_path / "cache"))
    for size in (100, 7000):  # the tokenizer, the token index
        with largest_file(size):
            done = colaflex_command("run", tiny, "--out", tmp_path / "out")
        assert done.code == 1
        assert "File too large" in done.err and done.err.count("Error: ") == 1
        assert "Traceback" not in done.err and done.out == ""
        assert not (tmp_path / "out").exists()
        assert not [p for p in (tmp_path / "cache").rglob("*") if p.name.startswith(".")]


BAD_PRIOR = """
    import math
    from dataclasses import replace

    from colaflex.priors.flow_matching import FlowMatching

    class Bad(FlowMatching):
        def losses(self, latents, noise=None):
            factor = math.nan if noise.step == 7 else 1.0
            terms = super().losses(latents, noise)
            return {name: replace(term, total=term.total * factor) for name, term in terms.items()}
"""
BAD_CONFIG = """
    from colaflex.priors.flow_config import FlowMatchingConfig

    class Config(FlowMatchingConfig):
        pass
"""
BAD_HOOKS = """
    import colaflex

    @colaflex.hookimpl
    def colaflex_components():
        return [colaflex.Component(
            "prior", "bad", target="bad.prior:Bad", config="bad.config:Config", summary="Turns NaN."
        )]
"""


def test_a_loss_that_turns_nan_is_named_and_the_last_good_checkpoint_kept(
    site: Any, tiny: Path, tmp_path: Path, colaflex_command: Command
) -> None:
    registry()  # of this process, which is not to find the plugin
    site.add_plugin("bad", BAD_HOOKS, prior=BAD_PRIOR, config=BAD_CONFIG)
    out = tmp_path / "out"
    for more in ([], ["--resume"]):
        done = site.run("run", str(tiny), "--set", "prior=bad", "--out", str(out), *more)
        assert done.returncode == 1, done.stderr
        assert "Error: stage prior, step 8: loss.flow is nan; training stops" in done.stderr
        assert "Traceback" not in done.stderr and done.stdout == ""
        kept = sorted(path.name for path in (out / "checkpoints").iterdir())
        assert kept == ["prior-00000003", "prior-00000006"]
        assert {path.name for path in out.iterdir()} == {
            "checkpoints",
            "environment.json",
            "manifest.json",
            "metrics.jsonl",
            "run.json",
            "spec.yaml",
            "tokenizer.json",
        }
    # Here the plugin is not installed: the message names the package to install.
    refused(colaflex_command("generate", out), "colaflex-bad")
    refused(colaflex_command("evaluate", out), "colaflex-bad")
