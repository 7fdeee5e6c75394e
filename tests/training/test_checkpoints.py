"""Checkpoints: whole or not at all, and never trusted beyond what their manifest confirms."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from colaflex.errors import UserError
from colaflex.training import manifests
from colaflex.training.checkpoints import Checkpoint, CheckpointError, CheckpointStore, Position

MODEL = {"weight": torch.arange(6.0).reshape(2, 3), "scale": torch.ones(3)}


def checkpoint(step: int, stage: str = "prior", index: int = 1, done: bool = False) -> Checkpoint:
    return Checkpoint(
        Position(stage, index, step, done),
        {name: tensor + step for name, tensor in MODEL.items()},
        {"exp_avg:weight": torch.full((2, 3), float(step)), "step:weight": torch.tensor(1.0)},
        {"weight": torch.zeros(2, 3)},
        {"window": [{"loss": 0.1 + 0.2}], "metrics_bytes": 7},
    )


def assert_same(found: Checkpoint | None, expected: Checkpoint) -> None:
    assert found is not None
    assert found.position == expected.position
    assert found.state == expected.state
    for part in ("model", "optimizer", "ema"):
        one, other = getattr(found, part), getattr(expected, part)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints", "digest")


def test_what_is_saved_is_loaded(store: CheckpointStore) -> None:
    assert store.latest(MODEL) is None
    path = store.save(checkpoint(5))
    assert path.name == "prior-00000005"
    assert sorted(f.name for f in path.iterdir()) == sorted([*manifests.FILES, "manifest.json"])
    found = store.latest(MODEL)
    assert_same(found, checkpoint(5))
    assert found is not None
    assert torch.equal(found.averaged()["weight"], torch.zeros(2, 3))
    assert torch.equal(found.averaged()["scale"], MODEL["scale"] + 5)


def test_keeps_the_newest_and_knows_the_order_of_stages(store: CheckpointStore) -> None:
    for index, stage in enumerate(["zebra", "ape"]):
        for step in (9, 10):
            store.save(checkpoint(step, stage, index), keep=3)
    assert store.names() == ["ape-00000009", "ape-00000010", "zebra-00000010"]
    assert_same(store.latest(MODEL), checkpoint(10, "ape"))
    store.save(checkpoint(11, "ape"), keep=1)
    assert store.names() == ["ape-00000011"]


def test_tied_tensors_and_views_keep_their_values(store: CheckpointStore) -> None:
    base = torch.arange(12.0)
    model = {
        "embedding": base,
        "head": base,
        "part": base[3:9].view(2, 3),
        "turned": base.view(3, 4).T,
        "empty": torch.zeros(0),
        "empty_too": torch.zeros(0),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "count": torch.tensor(3),
    }
    path = store.save(Checkpoint(Position("s", 0, 1), model))
    assert json.loads((path / "state.json").read_text())["tied"] == {"head": "embedding"}
    found = store.latest(model)
    assert found is not None
    assert found.model.keys() == model.keys()
    assert all(torch.equal(found.model[name], model[name]) for name in model)
    assert found.state == {}
    found = dataclasses.replace(found, ema={"embedding": base + 1})
    averaged = found.averaged()
    assert torch.equal(averaged["head"], base + 1) and torch.equal(averaged["embedding"], base + 1)
    assert torch.equal(averaged["part"], model["part"])


def test_sweeps_what_killed_writers_leave(store: CheckpointStore) -> None:
    store.sweep()
    path = store.save(checkpoint(1))
    shutil.copytree(path, store.root / ".prior-00000002.tmp")
    (store.root / "notes.txt").write_text("mine")
    assert_same(store.latest(MODEL), checkpoint(1))
    store.sweep()
    assert sorted(p.name for p in store.root.iterdir()) == ["notes.txt", "prior-00000001"]


# The zoo: every way to damage a checkpoint, and what is said about it.


def _edit(path: Path, change: Callable[[dict[str, object]], object], seal: bool = True) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    change(manifest)
    manifest.pop("sha256")
    data = manifests.canonical_json(manifest)
    sealed = {**manifest, "sha256": manifests._own_hash(manifest)} if seal else manifest
    (path / "manifest.json").write_bytes(manifests.canonical_json(sealed) if seal else data)


def _reseal(path: Path, name: str, data: bytes) -> None:
    """Replace a file and correct the manifest: damage that the hashes cannot see."""
    (path / name).write_bytes(data)
    contents = {n: (path / n).read_bytes() for n in manifests.FILES}
    manifest = manifests.read_manifest(path)
    sealed = manifests.Manifest.of(manifest.position, manifest.spec_digest, contents)
    (path / "manifest.json").write_bytes(manifests.canonical_json(sealed.as_json()))


def _cut(path: Path, name: str) -> None:
    data = (path / name).read_bytes()
    (path / name).write_bytes(data[: len(data) // 2])


def _flip(path: Path, name: str) -> None:
    data = bytearray((path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (path / name).write_bytes(data)


def _file_becomes_folder(path: Path) -> None:
    size = (path / "state.json").stat().st_size
    (path / "state.json").unlink()
    (path / "state.json").mkdir()
    actual = (path / "state.json").stat().st_size

    def change(manifest: dict[str, object]) -> None:
        files = manifest["files"]
        assert isinstance(files, dict) and files["state.json"]["size"] == size
        files["state.json"]["size"] = actual

    _edit(path, change)


ZOO: dict[str, tuple[Callable[[Path], object], str]] = {
    "weights cut short": (
        lambda p: _cut(p, "model.safetensors"),
        r"model\.safetensors: has \d+ bytes, expected \d+",
    ),
    "weights bit-flipped": (
        lambda p: _flip(p, "model.safetensors"),
        r"model\.safetensors: is damaged",
    ),
    "state bit-flipped": (lambda p: _flip(p, "state.json"), r"state\.json: is damaged"),
    "optimizer missing": (
        lambda p: (p / "optimizer.safetensors").unlink(),
        r"optimizer\.safetensors: cannot be read \(No such file",
    ),
    "a folder for a file": (_file_becomes_folder, r"state\.json: cannot be read \(Is a directory"),
    "no manifest": (
        lambda p: (p / "manifest.json").unlink(),
        r"manifest\.json: missing, so the checkpoint was never completed",
    ),
    "manifest cut short": (
        lambda p: _cut(p, "manifest.json"),
        r"manifest\.json: not readable as JSON",
    ),
    "manifest is a list": (
        lambda p: (p / "manifest.json").write_text("[]"),
        r"manifest\.json: expected a JSON object with an integer `format`",
    ),
    "manifest not UTF-8": (
        lambda p: (p / "manifest.json").write_bytes(b"\xff\xfe\x00{"),
        r"manifest\.json: not readable as JSON",
    ),
    "manifest edited": (
        lambda p: _edit(p, lambda m: m.update(step=9), seal=False),
        r"manifest\.json: is damaged",
    ),
    "newer format": (
        lambda p: _edit(p, lambda m: m.update(format=2)),
        r"written in format 2 by a newer colaflex; this one reads formats up to 1",
    ),
    "an entry is missing": (
        lambda p: _edit(p, lambda m: m.pop("stage")),
        r"manifest\.json: lacks an entry of format 1 \(KeyError\('stage'\)\)",
    ),
    "a file too many": (
        lambda p: _edit(p, lambda m: m["files"].update({"../x": {"size": 1, "sha256": ""}})),  # type: ignore[attr-defined]
        r"expected the files .*; it lists \.\./x",
    ),
    "another experiment": (
        lambda p: _edit(p, lambda m: m.update(spec_digest="other")),
        r"belongs to another experiment \(spec digest other, expected digest\)",
    ),
    "pickle for weights": (
        lambda p: _reseal(p, "model.safetensors", b"\x80\x04cos\nsystem\n(S'false'\ntR."),
        r"model\.safetensors: expected a safetensors file",
    ),
}


@pytest.mark.parametrize("damage", ZOO)
def test_damage_is_named_and_the_older_one_used(
    store: CheckpointStore, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    harm, message = ZOO[damage]
    store.save(checkpoint(1))
    path = store.save(checkpoint(2))
    harm(path)
    with caplog.at_level(logging.WARNING, "colaflex"):
        assert_same(store.latest(MODEL), checkpoint(1))
    assert str(path) in caplog.text
    shutil.rmtree(store.root / "prior-00000001")
    with pytest.raises(CheckpointError, match=message) as error:
        store.latest(MODEL)
    assert str(store.root) in str(error.value)
    store.save(checkpoint(1))
    store.save(checkpoint(2))  # the damaged one gives way
    assert_same(store.latest(MODEL), checkpoint(2))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({**MODEL, "scale": torch.ones(4)}, r"scale is float32 \(3,\), expected float32 \(4,\)"),
        ({**MODEL, "scale": torch.ones(3).double()}, r"expected float64 \(3,\)"),
        ({**MODEL, "more": torch.ones(1)}, r"more is missing, expected float32 \(1,\)"),
        ({"weight": MODEL["weight"]}, r"scale is float32 \(3,\), expected missing"),
    ],
)
def test_weights_of_another_model_are_refused(
    store: CheckpointStore, model: dict[str, torch.Tensor], message: str
) -> None:
    store.save(checkpoint(1))
    with pytest.raises(CheckpointError, match=message):
        store.latest(model)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_is_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    store = CheckpointStore(tmp_path_factory.mktemp("flip"), "digest")
    store.save(checkpoint(1))
    path = store.save(checkpoint(2))
    name = data.draw(st.sampled_from([*manifests.FILES, "manifest.json"]))
    raw = bytearray((path / name).read_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (path / name).write_bytes(raw)
    assert_same(store.latest(MODEL), checkpoint(1))


def test_one_that_does_not_read_back_is_removed(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save(checkpoint(1))
    real = os.rename

    def spoil(source: Path, target: Path) -> None:
        real(source, target)
        if Path(target).name == "prior-00000002":
            _flip(Path(target), "ema.safetensors")

    monkeypatch.setattr(os, "rename", spoil)
    with pytest.raises(CheckpointError, match=r"ema\.safetensors: is damaged"):
        store.save(checkpoint(2), keep=1)
    assert store.names() == ["prior-00000001"]
    assert_same(store.latest(MODEL), checkpoint(1))


# Faults: the N-th operation on the disk fails, or is the last one, for N = 1, 2, 3, ...


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The layer below knows what is synced; really waiting for the disk proves nothing more."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class Faults:
    """A layer over the disk that counts operations and lets the N-th go wrong.

    It also knows what a power cut may take back: content not yet synced, renames whose directory
    is not yet synced.
    """

    def __init__(
        self, patch: pytest.MonkeyPatch, at: int, go_wrong: Callable[[Faults], None]
    ) -> None:
        self.at, self.go_wrong, self.count = at, go_wrong, 0
        self.unsynced: set[str] = set()
        self.renamed: list[tuple[str, str]] = []
        self.real_rename, self.real_sync, self.real_open = os.rename, os.fsync, Path.open
        for name in ("mkdir", "unlink", "rmdir", "listdir", "open"):
            patch.setattr(os, name, self._counted(getattr(os, name)))
        patch.setattr(os, "rename", self._rename)
        patch.setattr(os, "fsync", self._fsync)
        layer = self
        patch.setattr(Path, "open", lambda path, mode="r": layer._open(path, mode))

    def operation(self) -> None:
        self.count += 1
        if self.count == self.at:
            self.go_wrong(self)

    def _counted(self, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **options: object) -> object:
            self.operation()
            return real(*args, **options)  # type: ignore[arg-type]

        return call

    def _rename(self, source: Path, target: Path) -> None:
        self.operation()
        self.real_rename(source, target)
        self.renamed.append((str(source), str(target)))
        self.unsynced = {name.replace(str(source), str(target)) for name in self.unsynced}

    def _fsync(self, descriptor: int) -> None:
        self.operation()
        self.real_sync(descriptor)
        place = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        self.unsynced.discard(place)
        self.renamed = [pair for pair in self.renamed if str(Path(pair[1]).parent) != place]

    def _open(self, path: Path, mode: str) -> object:
        self.operation()
        file = self.real_open(path, mode)
        return TornFile(file, path, self) if mode == "xb" else file

    def power_cut(self) -> None:
        for name in self.unsynced:
            os.truncate(name, Path(name).stat().st_size // 2)
        for source, target in reversed(self.renamed):
            if Path(target).exists() and not Path(source).exists():
                self.real_rename(Path(target), Path(source))


class TornFile:
    """A file whose write may stop half-way."""

    def __init__(self, file: Any, path: Path, layer: Faults) -> None:
        self.file, self.layer = file, layer
        layer.unsynced.add(str(path))

    def write(self, data: bytes) -> None:
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        self.layer.operation()
        self.file.write(data[len(data) // 2 :])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> TornFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()


def fail_with(number: int) -> Callable[[Faults], None]:
    def go_wrong(layer: Faults) -> None:
        raise OSError(number, os.strerror(number))

    return go_wrong


def die(layer: Faults) -> None:
    os._exit(77)


def lose_power(layer: Faults) -> None:
    layer.power_cut()
    os._exit(77)


def assert_old_or_new(store: CheckpointStore) -> None:
    """One of the two states loads, and the store works on."""
    store.sweep()
    found = store.latest(MODEL)
    assert found is not None
    assert_same(found, checkpoint(found.position.step))
    assert found.position.step in (1, 2)
    store.save(checkpoint(3), keep=1)
    assert_same(store.latest(MODEL), checkpoint(3))
    assert store.names() == ["prior-00000003"]


@pytest.mark.usefixtures("quick_disk")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("in_the_way", [False, True])
def test_any_failing_operation_leaves_a_good_state(
    tmp_path: Path, number: int, in_the_way: bool
) -> None:
    for at in range(1, 200):
        store = CheckpointStore(tmp_path / str(at), "digest")
        store.save(checkpoint(1))
        if in_the_way:
            (store.root / "prior-00000002").mkdir()  # invalid, of an earlier crash
        with pytest.MonkeyPatch.context() as patch:
            layer = Faults(patch, at, fail_with(number))
            with contextlib.suppress(OSError, CheckpointError):
                store.save(checkpoint(2), keep=1)
        if layer.count < at:
            assert store.names() == ["prior-00000002"]
            break
        if in_the_way and (store.root / "prior-00000002" / "manifest.json").exists() is False:
            shutil.rmtree(store.root / "prior-00000002", ignore_errors=True)
        assert_old_or_new(store)
    else:
        pytest.fail("the writer never came to its end")
    assert at > 30


@pytest.mark.usefixtures("quick_disk")
@pytest.mark.parametrize("end", [die, lose_power])
def test_dying_at_any_operation_leaves_a_good_state(
    tmp_path: Path, end: Callable[[Faults], None]
) -> None:
    for at in range(1, 200):
        store = CheckpointStore(tmp_path / str(at), "digest")
        store.save(checkpoint(1))
        child = os.fork()
        if child == 0:
            with pytest.MonkeyPatch.context() as patch:
                Faults(patch, at, end)
                store.save(checkpoint(2), keep=1)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0:
            break
        assert status == 77
        assert_old_or_new(store)
    else:
        pytest.fail("the writer never came to its end")
    assert at > 30


def test_an_old_one_that_cannot_be_deleted_is_reported(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store.save(checkpoint(1))
    real = os.rename

    def refuse(source: Path, target: Path) -> None:
        if Path(source).name == "prior-00000001":
            raise OSError(errno.EACCES, "Permission denied")
        real(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    store.save(checkpoint(2), keep=1)
    assert "an old checkpoint could not be deleted" in caplog.text
    assert_same(store.latest(MODEL), checkpoint(2))


@pytest.mark.parametrize("put", [os.mkfifo, lambda path: path.symlink_to("/etc/passwd")])
def test_weights_that_are_a_pipe_or_a_link_are_refused_where_nothing_is_compared(
    store: CheckpointStore, put: Callable[[Path], None]
) -> None:
    path = store.save(checkpoint(3)) / "model.safetensors"
    known = store.newest()
    assert known is not None
    assert_same(store.named(*known, MODEL, whole=False), checkpoint(3))
    path.unlink()
    put(path)
    with pytest.raises(UserError, match=r"cut short|link out of"):
        store.named(*known, MODEL, whole=False)
    path.unlink()
    path.symlink_to("nowhere")
    assert store.size() == 0
