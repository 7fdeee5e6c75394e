"""The Hugging Face corpus: real where the library is installed, clear where it is not."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

import pytest

from colaflex.corpora.datasets import Datasets, DatasetsConfig
from colaflex.errors import UserError

installed = pytest.mark.skipif(
    importlib.util.find_spec("datasets") is None, reason="the package datasets is not installed"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    path = tmp_path / "data"
    path.mkdir()
    (path / "a.jsonl").write_text('{"text": "hello there"}\n{"text": " "}\n{"text": "you"}\n')
    return path


@installed
@pytest.mark.parametrize("streaming", [True, False])
def test_rows_become_documents(folder: Path, streaming: bool):
    config = DatasetsConfig(path=str(folder), streaming=streaming)
    corpus = Datasets(config)
    found = list(corpus.documents())
    assert [d.text for d in found] == ["hello there", "you"]
    assert [d.split for d in found] == [config.split_of(d.text) for d in found]
    assert corpus.fingerprint() == Datasets(config).fingerprint()
    first = Datasets(config.model_copy(update={"max_documents": 1}))
    assert [d.text for d in first.documents()] == ["hello there"]


@installed
def test_a_null_is_no_text(folder: Path):
    (folder / "a.jsonl").write_text('{"text": "hello"}\n{"text": null}\n')
    with pytest.raises(UserError, match=r"row 1 .*expected text, got null; leave the row out"):
        list(Datasets(DatasetsConfig(path=str(folder))).documents())


@installed
def test_wrong_options_are_named(folder: Path):
    with pytest.raises(UserError, match=r"the field 'body' is missing \(the row has: text"):
        list(Datasets(DatasetsConfig(path=str(folder), field="body")).documents())
    with pytest.raises(UserError, match="can't be loaded"):
        list(Datasets(DatasetsConfig(path=str(folder), split="other")).documents())
    with pytest.raises(UserError, match="can't be loaded"):
        Datasets(DatasetsConfig(path=str(folder / "absent"))).fingerprint()


def test_a_missing_library_names_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "datasets", raising=False)
    monkeypatch.setattr(sys, "path", [])
    importlib.invalidate_caches()
    with pytest.raises(UserError, match=r"pip install 'colaflex\[hf\]'"):
        Datasets(DatasetsConfig(path="any")).fingerprint()
