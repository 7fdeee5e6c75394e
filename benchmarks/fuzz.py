"""Specs and run folders out of order: python benchmarks/fuzz.py specs|runs [--examples N].

Hypothesis damages specs that ship with the project, or the files of a small finished run, as text
and as structure. Whatever comes of it, a command ends with an exit code and a message: no
traceback, and no other exception. A counterexample is shrunk and printed.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import json
import math
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ruamel.yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from colaflex.cli.main import main
from colaflex.spec import Spec

ROOT = Path(__file__).parents[1]
EXAMPLES = {"specs": 10_000, "runs": 2_000}
MOST_SECONDS = 30.0

SMALL = {
    "corpus.documents": 120,
    "corpus.validation_documents": 12,
    "corpus.test_documents": 12,
    "tokenizer.vocab_size": 300,
    "representation.latent_dim": 4,
    "representation.width": 16,
    "prior.network.width": 16,
    "prior.network.layers": 1,
    "prior.network.heads": 2,
    "training.stages.representation.steps": 2,
    "training.stages.prior.steps": 4,
    "sampling.max_new_tokens": 20,
    "sampling.steps": 2,
    "evaluation.samples": 4,
    "evaluation.documents": 8,
    "evaluation.sweep_samples": 2,
    "evaluation.bootstrap": 100,
    "evaluation.judge.enabled": False,
}
"""What makes specs/worlds.yaml one that trains in a second."""

NASTY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 1, 2**31, 2**63, 10**12, 10**400, -(10**30)]),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["", "none", "auto", "a" * 300, "../../etc", "~nouser/x", "/dev/zero", "a\0b", "\x1b[2J"]
    ),
    st.just([]),
    st.just({}),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=8), st.integers(), max_size=3),
)

SNIPPETS = (
    b"\x00",
    b"\xff\xfe",
    b"\xc3",
    b"\n",
    b"\t",
    b": ",
    b"- ",
    b"{",
    b"[" * 300,
    b"]",
    b"}",
    b"&a ",
    b"*a",
    b"<<: *a\n",
    b"!!bool 7",
    b"!!int x",
    b"!!python/object:os.system x",
    b"!!binary =",
    b"%YAML 9.9\n",
    b"---\n",
    b"...\n",
    b"? ",
    b"| ",
    b">-\n",
    b"'",
    b'"',
    b"\\x",
    b"\\ud800",
    b"#",
    b"1" * 5_000,
    b"1e999",
    b".nan",
    b".inf",
    b"NaN",
    b"0x",
    b"0o9",
    b"2026-13-45",
    b"extends: .\n",
    b"extends: [/dev/zero]\n",
    b"\xe2\x80\xa8",
    b"\xef\xbb\xbf",
    b"\x1b]0;x\x07",
)

Edit = tuple[float, float, bytes]


def edits() -> st.SearchStrategy[list[Edit]]:
    """Where a text is cut, how far (shares of its length), and what is put there."""
    place = st.floats(0, 1)
    new = st.one_of(st.just(b""), st.sampled_from(SNIPPETS), st.binary(max_size=4))
    return st.lists(
        st.tuples(place, st.sampled_from([0.0, 0.0, 0.001, 0.02, 0.5]), new), max_size=3
    )


def edited(raw: bytes, changes: list[Edit]) -> bytes:
    """A text after its edits."""
    for place, length, new in changes:
        start = int(place * len(raw))
        raw = raw[:start] + new + raw[start + math.ceil(length * len(raw)) :]
    return raw


Change = tuple[float, str, Any]


def changes() -> st.SearchStrategy[list[Change]]:
    """Which nodes of a structure are changed, and how."""
    kind = st.sampled_from(["replace", "replace", "drop", "rename", "twice"])
    return st.lists(st.tuples(st.floats(0, 1), kind, NASTY), min_size=1, max_size=3)


def changed(value: Any, wanted: list[Change]) -> Any:
    """A structure with some of its nodes changed."""
    value = copy.deepcopy(value)
    for place, kind, new in wanted:
        nodes = list(_nodes(value))
        if not nodes:
            return new
        holder, key = nodes[min(int(place * len(nodes)), len(nodes) - 1)]
        if kind == "drop":
            del holder[key]
        elif kind == "rename" and isinstance(holder, dict):
            holder[str(new)[:40]] = holder.pop(key)
        elif kind == "twice" and isinstance(holder, list):
            holder.append(holder[key])
        else:
            holder[key] = new
    return value


def _nodes(value: Any) -> list[tuple[Any, Any]]:
    keys: list[Any] = []
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = list(range(len(value)))
    return [pair for key in keys for pair in [(value, key), *_nodes(value[key])]]


def ends(*arguments: str) -> int:
    """The exit code of a command, which has to end in time, and without a traceback."""
    out, err = io.StringIO(), io.StringIO()
    began = time.monotonic()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(arguments))
    took = time.monotonic() - began
    assert "Traceback" not in err.getvalue(), err.getvalue()
    assert "Traceback" not in out.getvalue(), out.getvalue()
    assert took < MOST_SECONDS, f"{took:.0f} seconds"
    assert code == 0 or err.getvalue().strip(), f"exit code {code} without a word"
    return code


def fuzz_specs(folder: Path, examples: int, codes: Counter[int]) -> Callable[[], None]:
    """Damaged specs, validated."""
    files = sorted((ROOT / "specs").glob("*.yaml"))
    texts = [path.read_bytes() for path in files]
    loader = ruamel.yaml.YAML(typ="safe")
    plain = [loader.load(text.decode()) for text in texts]
    path = folder / "spec.yaml"

    def dump(value: Any) -> bytes:
        return json.dumps(value, allow_nan=True, default=str).encode()  # JSON is YAML

    damaged = st.one_of(
        st.builds(edited, st.sampled_from(texts), edits()),
        st.builds(
            lambda value, wanted: dump(changed(value, wanted)), st.sampled_from(plain), changes()
        ),
        st.builds(
            lambda value, wanted, more: edited(dump(changed(value, wanted)), more),
            st.sampled_from(plain),
            changes(),
            edits(),
        ),
    )

    def specs(raw: bytes, command: str) -> None:
        path.write_bytes(raw)
        code = ends("spec", command, str(path))
        assert code in (0, 2), code
        codes[code] += 1

    commands = st.sampled_from(["validate", "validate", "show"])
    return _many(examples, given(raw=damaged, command=commands), specs)


RUN_FILES = (
    "spec.yaml",
    "run.json",
    "tokenizer.json",
    "environment.json",
    "manifest.json",
    "result.json",
    "items.json",
    "samples.jsonl",
    "metrics.jsonl",
    "checkpoints/*/manifest.json",
    "checkpoints/*/state.json",
    "checkpoints/*/model.safetensors",
)


def fuzz_runs(folder: Path, examples: int, codes: Counter[int]) -> Callable[[], None]:
    """A finished run with a damaged file, mostly without the manifest that would tell."""
    spec, whole, copied = folder / "tiny.yaml", folder / "whole", folder / "copy"
    spec.write_text(Spec.load(ROOT / "specs/worlds.yaml").override(SMALL).to_yaml())
    assert main(["run", str(spec), "--out", str(whole)]) == 0
    contents = {path.relative_to(whole): path.read_bytes() for path in _files(whole)}

    def damage(raw: bytes, wanted: list[Change], more: list[Edit]) -> bytes:
        with contextlib.suppress(ValueError, UnicodeDecodeError):
            value = json.loads(raw)
            raw = json.dumps(changed(value, wanted), default=str).encode() if wanted else raw
        return edited(raw, more)

    def runs(name: str, wanted: list[Change], more: list[Edit], known: bool, command: str) -> None:
        shutil.rmtree(copied, ignore_errors=True)
        shutil.copytree(whole, copied)
        for path in copied.glob(name):
            path.write_bytes(damage(contents[path.relative_to(copied)], wanted, more))
        if not known and name != "manifest.json":
            (copied / "manifest.json").unlink()
        arguments = {
            "generate": ("generate", str(copied), "--prompt", "a", "--max-new-tokens", "4"),
            "compare": ("compare", str(whole), str(copied)),
            "verify": ("verify", str(copied)),
            "evaluate": ("evaluate", str(copied), "--task", "worlds_cloze"),
        }[command]
        codes[ends(*arguments)] += 1

    drawn = given(
        name=st.sampled_from(RUN_FILES),
        wanted=st.one_of(st.just([]), changes()),
        more=st.one_of(st.just([]), edits()),
        known=st.sampled_from([False, False, False, True]),
        command=st.sampled_from(["generate", "compare", "verify", "evaluate"]),
    )
    return _many(examples, drawn, runs)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


Test = Callable[..., None]


def _many(examples: int, given_: Callable[[Test], Test], test: Test) -> Test:
    """As many examples as asked for, always the same ones, shrunk where one fails."""
    chosen = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    made: Test = seed(0)(chosen(given_(test)))
    return made


def command() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=sorted(EXAMPLES))
    parser.add_argument("--examples", type=int, help="by default 10,000 specs or 2,000 runs")
    given_ = parser.parse_args()
    codes: Counter[int] = Counter()
    make = {"specs": fuzz_specs, "runs": fuzz_runs}[given_.what]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), given_.examples or EXAMPLES[given_.what], codes)()
    ended = ", ".join(f"{count} with {code}" for code, count in sorted(codes.items()))
    print(f"{sum(codes.values())} {given_.what} in {time.monotonic() - began:.0f} s: {ended}")
    return 0


if __name__ == "__main__":
    sys.exit(command())
