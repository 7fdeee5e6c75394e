"""The cases of one kind, in one process: hostile_command.py KIND SPEC RUN FOLDER."""

from __future__ import annotations

import contextlib
import io
import json
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from harms import HARMS, JSON_HARMS, LINKS, Harm
from hostile_specs import SPECS
from hostile_tokenizers import TOKENIZERS

from colaflex.cli.main import main

QUICKLY = (
    *("--set", "evaluation.samples=0"),
    *("--set", "evaluation.documents=2"),
    *("--set", "evaluation.judge.enabled=false"),
    *("--set", "training.steps=4"),
)
GENERATE = ("--prompt", "And", "--prompt", "", "--max-new-tokens", "6", "--json")


class Trial:
    """Runs commands, and says what is wrong with how they ended."""

    def __init__(self, folder: Path) -> None:
        self.outside = folder / "outside"
        self.outside.mkdir()
        (self.outside / "precious.txt").write_text("precious\n" * 100)
        (self.outside / "kept").mkdir()
        (self.outside / "kept" / "a.txt").write_text("kept")
        self._before = self._content()
        self.cases: list[dict[str, Any]] = []

    def _content(self) -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in self.outside.rglob("*") if p.is_file()}

    def case(self, name: str, arguments: tuple[str, ...], same: str | None) -> None:
        """One case.

        Args:
            name: of it.
            arguments: of the command.
            same: what it prints where nothing is wrong, which is the only output it may print;
                None where it has to fail.
        """
        began = time.monotonic()
        code, out, err = ran(*arguments)
        fault = self._fault(code, out, err, same)
        seconds = time.monotonic() - began
        self.cases.append({"name": name, "fault": fault, "seconds": seconds, "code": code})

    def _fault(self, code: int, out: str, err: str, same: str | None) -> str:
        if "Traceback" in err + out:
            return err + out
        if self._content() != self._before:
            return "something outside has changed"
        if code == 0:
            return "" if same is not None and out == same else f"exit code 0: {out[:500]} {err}"
        if code not in (1, 2):
            return f"exit code {code}"
        return "" if err.strip() else f"exit code {code} without a word: {out[:500]}"


def ran(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(arguments))
    return code, out.getvalue(), err.getvalue()


def runs(trial: Trial, spec: Path, whole: Path, folder: Path) -> None:
    """Damaged run folders, generated from, compared, and gone on with."""
    generated = ran("generate", str(whole), *GENERATE)[1]
    compared = ran("compare", str(whole), str(whole), "--json")[1]

    def copied(name: str, harm: Harm, known: bool) -> Path:
        copy = folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(whole, copy)
        if not known:
            (copy / "manifest.json").unlink()
        harm(copy / name, trial.outside)
        return copy

    every = {**HARMS, **JSON_HARMS, **LINKS}
    for name in ("spec.yaml", "tokenizer.json", "run.json"):
        for label, harm in every.items():
            copy = copied(name, harm, known=label in HARMS)
            same = generated if label in ("100 MB",) else None
            trial.case(f"{name}, {label}", ("generate", str(copy), *GENERATE), same)
    for label, harm in every.items():
        copy = copied("result.json", harm, known=label in HARMS)
        arguments = ("compare", str(whole), str(copy), "--json")
        trial.case(f"result.json, {label}", arguments, compared if label == "100 MB" else None)
    final = json.loads((whole / "manifest.json").read_text())["weights"][0]
    for name in ("model.safetensors", "state.json", "manifest.json"):
        damaged = {label: HARMS[label] for label in ("empty", "halved", "a flipped bit")}
        for label, harm in {**damaged, **LINKS}.items():
            copy = copied(f"checkpoints/{final}/{name}", harm, known=True)
            trial.case(f"{name}, {label}", ("generate", str(copy), *GENERATE), None)
    for name in ("metrics.jsonl", "checkpoints", "samples.jsonl", "report.html"):
        copy = copied("run.json", lambda path, outside: None, known=False)
        target = copy / name
        shutil.rmtree(target) if target.is_dir() else target.unlink()
        target.symlink_to(trial.outside / ("kept" if name == "checkpoints" else "precious.txt"))
        (copy / "result.json").unlink()
        trial.case(f"{name} is a link", ("run", str(spec), "--out", str(copy), "--resume"), None)


def specs(trial: Trial, spec: Path, whole: Path, folder: Path) -> None:
    """Hostile specs, validated and run; of each, nothing is to be run."""
    del whole
    text = spec.read_text()
    path = folder / "hostile.yaml"
    for name, content in SPECS(text, folder).items():
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        out = ("--out", str(folder / "run"))
        trial.case(name, ("run", str(path), *out), None)
    for name, harm in LINKS.items():
        harm(path, trial.outside)
        trial.case(name, ("spec", "validate", str(path)), None)
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def inputs(trial: Trial, spec: Path, whole: Path, folder: Path) -> None:
    """Hostile prompts, corpora and tokenizers."""
    path = folder / "prompts.jsonl"
    content = {name: HARMS[name] for name in ("empty", "NULs", "no UTF-8", "UTF-16", "100 MB")}
    for name, harm in {**content, **JSON_HARMS, **LINKS}.items():
        path.write_bytes(b'{"prompt": "And"}\n')
        harm(path, trial.outside)
        same = (
            ran("generate", str(whole), "--prompt", "And", "--json")[1] if "bit" in name else None
        )
        trial.case(f"prompts, {name}", ("generate", str(whole), "--prompts", str(path)), same)
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    corpus = folder / "corpus.jsonl"
    for name, harm in {**content, **JSON_HARMS, **LINKS}.items():
        corpus.write_bytes(b'{"text": "a document"}\n')
        harm(corpus, trial.outside)
        sets = ("--set", "corpus.type=text_files", "--set", f"corpus.path={corpus}")
        out = ("--out", str(folder / "run"))
        trial.case(f"corpus, {name}", ("run", str(spec), *sets, *out), None)
        corpus.rmdir() if corpus.is_dir() and not corpus.is_symlink() else corpus.unlink()
    tokenizer = folder / "tokenizer.json"
    for name, content in TOKENIZERS.items():
        tokenizer.write_bytes(content)
        arguments = ("run", str(spec), "--set", f"tokenizer.path={tokenizer}", "--out")
        trial.case(f"tokenizer, {name}", (*arguments, str(folder / "run")), None)


def caches(trial: Trial, spec: Path, whole: Path, folder: Path) -> None:
    """Damaged caches: what a run makes of them is what it makes of none."""
    del whole
    cache, kept = folder / "cache", folder / "kept"

    def made() -> tuple[int, str]:
        shutil.rmtree(folder / "run", ignore_errors=True)
        code, _, err = ran("run", str(spec), *QUICKLY, "--out", str(folder / "run"))
        assert "Traceback" not in err, err
        text = ran("generate", str(folder / "run"), *GENERATE)[1] if code == 0 else err
        return code, text

    code, expected = made()
    assert code == 0, expected
    shutil.copytree(cache, kept)
    places = {
        "index": "index/*/index.json",
        "tokens": "index/*/train.tokens",
        "offsets": "index/*/train.offsets",
        "stage 1": "stage1/*.safetensors",
        "tokenizer": "tokenizers/*/tokenizer.json",
    }
    for part, pattern in places.items():
        for label in ("halved", "a flipped bit", "a link to somebody's file"):
            shutil.rmtree(cache)
            shutil.copytree(kept, cache)
            found = sorted(cache.glob(pattern))
            assert found, pattern
            for path in found:
                {**HARMS, **LINKS}[label](path, trial.outside)
            began = time.monotonic()
            code, text = made()
            fault = "" if (code, text) == (0, expected) or code in (1, 2) else text
            if trial._content() != trial._before:
                fault = "something outside has changed"
            row = {"name": f"{part}, {label}", "fault": fault, "code": code}
            trial.cases.append({**row, "seconds": time.monotonic() - began})


KINDS: dict[str, Callable[[Trial, Path, Path, Path], None]] = {
    "runs": runs,
    "specs": specs,
    "inputs": inputs,
    "caches": caches,
}


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def command(kind: str, spec: str, run: str, folder: str) -> Iterator[str]:
    import torch  # its libraries are no case's

    torch.manual_seed(0)
    before = peak()
    trial = Trial(Path(folder))
    KINDS[kind](trial, Path(spec), Path(run), Path(folder))
    yield json.dumps({"cases": trial.cases, "peak": peak(), "peak_before": before})


if __name__ == "__main__":
    print(*command(*sys.argv[1:]))
