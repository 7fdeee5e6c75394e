"""Run folders whose files have changed since: what is named, what is mended, what is read."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import colaflex
from colaflex.errors import UserError
from colaflex.experiment.damage import damage
from colaflex.experiment.experiment import RunOptions
from colaflex.experiment.folder import RunFolder, json_text
from colaflex.files.manifest import MANIFEST, RunManifest
from colaflex.report.run_record import read_run
from colaflex.spec import Spec

RESUME = RunOptions(resume=True, quiet=True)


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def cut_in_half(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])


def change_a_digit(path: Path) -> None:
    text = path.read_text()
    place = max(text.rfind(digit) for digit in "0123456789")
    path.write_text(f"{text[:place]}{(int(text[place]) + 1) % 10}{text[place + 1 :]}")


def swap_two_ids(path: Path) -> None:
    content = json.loads(path.read_text())
    vocab = content["model"]["vocab"]
    first, second = list(vocab)[40:42]
    vocab[first], vocab[second] = vocab[second], vocab[first]
    path.write_text(json.dumps(content))


def flip_a_bit(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) * 2 // 3] ^= 4
    path.write_bytes(raw)


def newest(run: Path) -> Path:
    return max((run / "checkpoints").iterdir(), key=lambda path: path.name.split("-")[::-1])


def final(run: Path) -> Path:
    manifest = RunManifest.of(run)
    assert manifest is not None and manifest.weights is not None
    return run / "checkpoints" / manifest.weights[0]


USED_BY_LOAD = [
    ("spec.yaml", cut_in_half),
    ("spec.yaml", change_a_digit),
    ("tokenizer.json", swap_two_ids),
    ("tokenizer.json", flip_a_bit),
    ("run.json", change_a_digit),
    ("result.json", change_a_digit),
    (MANIFEST, change_a_digit),
    (MANIFEST, cut_in_half),
]


@pytest.mark.parametrize(("name", "harm"), USED_BY_LOAD)
def test_a_damaged_file_is_named_when_it_is_used(
    copy: Path, name: str, harm: Callable[[Path], None]
) -> None:
    harm(copy / name)
    with pytest.raises(UserError, match=name):
        colaflex.load(copy)


@pytest.mark.parametrize("name", ["result.json", "items.json", "samples.jsonl", "metrics.jsonl"])
def test_what_pages_and_comparisons_read_is_checked(copy: Path, name: str) -> None:
    flip_a_bit(copy / name)
    use = RunFolder(copy).read if name == "items.json" else read_run
    with pytest.raises(UserError, match=f"{name}.*has changed since"):
        use(name if name == "items.json" else copy)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "harm",
    [
        shutil.rmtree,
        lambda path: flip_a_bit(path / "model.safetensors"),
        lambda path: cut_in_half(path / "ema.safetensors"),
        lambda path: (path / "state.json").write_text("[]"),
        lambda path: (path / MANIFEST).unlink(),
    ],
)
def test_the_final_weights_are_used_or_none(
    copy: Path, finished: Path, harm: Callable[[Path], object]
) -> None:
    harm(final(copy))
    with pytest.raises(UserError, match=r"weights of this run are damaged.*--resume"):
        colaflex.load(copy)
    spec = Spec.load(finished / "spec.yaml")
    before = json.loads((finished / "result.json").read_text())
    result = colaflex.run(spec, copy, RESUME)
    assert damage(copy, result["spec_digest"]) == {}
    assert result["representation_digest"] == before["representation_digest"]
    prompts = ["", "And"]
    texts = [colaflex.load(run).generate(prompts, seed=1) for run in (copy, finished)]
    assert texts[0] == texts[1]


MENDED_AT_ONCE = ("spec.yaml", "tokenizer.json", "environment.json", "report.html")


@pytest.mark.parametrize("name", MENDED_AT_ONCE)
@pytest.mark.parametrize("harm", [flip_a_bit, Path.unlink])
def test_resume_writes_a_description_anew_and_trains_nothing(
    copy: Path, finished: Path, name: str, harm: Callable[[Path], object]
) -> None:
    harm(copy / name)
    colaflex.run(Spec.load(finished / "spec.yaml"), copy, RESUME)
    for file in (*MENDED_AT_ONCE[:3], "result.json", "items.json"):
        assert (copy / file).read_bytes() == (finished / file).read_bytes(), file
    assert damage(copy, json.loads((copy / "run.json").read_text())["spec_digest"]) == {}


@pytest.mark.parametrize("name", ["items.json", "samples.jsonl", "result.json", MANIFEST])
def test_resume_measures_anew_what_is_damaged(copy: Path, finished: Path, name: str) -> None:
    change_a_digit(copy / name)
    colaflex.run(Spec.load(finished / "spec.yaml"), copy, RESUME)
    assert (copy / "samples.jsonl").read_bytes() == (finished / "samples.jsonl").read_bytes()
    assert damage(copy, json.loads((copy / "run.json").read_text())["spec_digest"]) == {}


def test_a_run_of_before_there_were_manifests_is_read_as_it_is(copy: Path, finished: Path) -> None:
    (copy / MANIFEST).unlink()
    (copy / "report.html").unlink()
    assert colaflex.load(copy).generate([""], seed=3) == colaflex.load(finished).generate(
        [""], seed=3
    )
    assert read_run(copy).result == read_run(finished).result
    colaflex.run(Spec.load(copy / "spec.yaml"), copy, RESUME)
    assert (copy / "report.html").is_file()


def test_a_writer_killed_between_two_files_leaves_no_damage(
    tmp_path: Path, monkeypatch: Any
) -> None:
    folder = RunFolder(tmp_path)
    folder.put({"a.json": json_text({"v": 1}), "b.json": json_text({"v": 1})})

    class Killed(Exception):
        pass

    import colaflex.experiment.folder as module

    real = module.write_atomic

    def dies_at_the_second(path: Path, data: bytes) -> None:
        if path.name == "b.json":
            raise Killed
        real(path, data)

    monkeypatch.setattr(module, "write_atomic", dies_at_the_second)
    with pytest.raises(Killed):
        folder.put({"a.json": json_text({"v": 2}), "b.json": json_text({"v": 2})})
    assert folder.read("a.json") == {"v": 2} and folder.read("b.json") == {"v": 1}
    manifest = RunManifest.of(tmp_path)
    assert manifest is not None and manifest.faults(tmp_path) == {}
    monkeypatch.setattr(module, "write_atomic", real)
    folder.put({"b.json": json_text({"v": 3})})
    (tmp_path / "b.json").write_text(json_text({"v": 1}))
    with pytest.raises(UserError, match="has changed since"):
        folder.read("b.json")


@pytest.mark.parametrize("name", ["metrics.jsonl", "checkpoints", "result.json", "spec.yaml"])
def test_links_out_of_a_run_folder_are_refused_and_their_targets_kept(
    unfinished: Path, finished: Path, tmp_path: Path, name: str
) -> None:
    spec = Spec.load(finished / "spec.yaml")
    precious = tmp_path / "precious"
    path = unfinished / name
    if name == "checkpoints":
        shutil.copytree(path, precious)
        shutil.rmtree(path)
    else:
        precious.write_text("mine, mine, mine\n" * 100)
        path.unlink(missing_ok=True)
    path.symlink_to(precious)

    def content() -> Any:
        files = [precious] if precious.is_file() else sorted(precious.rglob("*"))
        return [(file, file.read_bytes()) for file in files if file.is_file()]

    before = content()
    with pytest.raises(UserError, match=r"link out of its folder"):
        colaflex.run(spec, unfinished, RESUME)
    if name == "metrics.jsonl":
        shutil.copy(finished / "result.json", unfinished)
    use = read_run if name in ("metrics.jsonl", "result.json") else colaflex.load
    with pytest.raises(UserError, match=r"link out of its folder"):
        use(unfinished)
    assert content() == before


@pytest.mark.parametrize(
    "body", [{"files": [1], "weights": None}, {"files": {}}, {"files": {}, "weights": 7}]
)
def test_a_manifest_that_holds_something_else_is_damaged(copy: Path, body: dict[str, Any]) -> None:
    body = {"schema": 1, **body}
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    (copy / "manifest.json").write_text(json.dumps({**body, "sha256": digest}))
    with pytest.raises(UserError, match=r"manifest\.json: expected `files` and `weights`"):
        colaflex.load(copy)


def test_large_files_are_used_unread_where_that_is_asked_for(
    copy: Path, colaflex_command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLAFLEX_NO_VERIFY", raising=False)
    path = final(copy) / "model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1  # the sign of a weight, which leaves it finite
    path.write_bytes(raw)
    arguments = ("generate", copy, "--prompt", "a", "--max-new-tokens", "4")
    told = colaflex_command(*arguments)
    assert told.code == 2 and "weights of this run are damaged" in told.err
    assert colaflex_command(*arguments, "--no-verify").code == 0
    assert colaflex_command(*arguments).code == 2  # of that command alone
