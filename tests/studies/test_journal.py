"""A journal torn anywhere is mended, and all whole lines of it live on."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import optuna
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

from colaflex.errors import UserError
from colaflex.studies.storage.journal import mend, open_journal, torn_path

optuna.logging.set_verbosity(optuna.logging.WARNING)


def add_trial(storage: optuna.storages.BaseStorage, text: str) -> None:
    study = optuna.load_study(study_name="s", storage=storage)
    study.add_trial(create_trial(value=1.0, user_attrs={"text": text}))


def texts(storage: optuna.storages.BaseStorage) -> list[str]:
    trials = optuna.load_study(study_name="s", storage=storage).get_trials()
    assert all(trial.state == TrialState.COMPLETE for trial in trials)
    return [trial.user_attrs["text"] for trial in trials]


def new_journal(path: Path, names: list[str]) -> None:
    storage = open_journal(path)
    optuna.create_study(storage=storage, study_name="s")
    for text in names:
        add_trial(storage, text)


def bytes_beside(path: Path) -> bytes:
    return torn_path(path).read_bytes() if torn_path(path).exists() else b""


line = st.text(max_size=300) | st.just("x" * 9000) | st.just('{"op_code":4}')


@settings(max_examples=40)
@given(st.lists(line, min_size=1, max_size=4), st.data())
def test_a_tail_cut_anywhere_costs_no_whole_line(names: list[str], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.log"
        new_journal(path, names)
        raw = path.read_bytes()
        start = raw[:-1].rfind(b"\n") + 1
        cut = data.draw(st.integers(start, len(raw)))
        path.write_bytes(raw[:cut])
        whole = names if cut == len(raw) else names[:-1]

        storage = open_journal(path)
        assert texts(storage) == whole
        add_trial(storage, "after")
        assert texts(open_journal(path)) == [*whole, "after"]
        assert raw[start:cut] in path.read_bytes() + bytes_beside(path)


@settings(max_examples=40)
@given(st.binary(min_size=1, max_size=200).filter(lambda tail: b"\n" not in tail[:-1]))
@example(b"\x80\n")
@example(b"5\n")
@example(b'{"no": "record"}\n')
def test_an_open_journal_outlives_any_tail(tail: bytes) -> None:
    """While a worker has it open, something leaves bytes at its end."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.log"
        new_journal(path, ["a"])
        worker = open_journal(path)
        with path.open("ab") as file:
            file.write(tail)
        add_trial(worker, "b")
        assert texts(worker) == texts(open_journal(path)) == ["a", "b"]
        assert tail in bytes_beside(path)


@settings(max_examples=40)
@given(st.lists(line, min_size=2, max_size=4), st.data())
def test_a_line_that_others_appended_to_a_torn_tail_is_kept(
    names: list[str], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.log"
        new_journal(path, names)
        lines = path.read_bytes().splitlines(keepends=True)
        broken = data.draw(st.integers(len(lines) - len(names), len(lines) - 2))
        kept = data.draw(st.integers(1, len(lines[broken]) - 2))
        lines[broken] = lines[broken][:kept]
        path.write_bytes(b"".join(lines))
        if broken < len(lines) - 2:
            with pytest.raises(ValueError):
                texts(JournalStorage(JournalFileBackend(str(path))))

        whole = [text for n, text in enumerate(names, len(lines) - len(names)) if n != broken]
        assert texts(open_journal(path)) == whole
        assert lines[broken] in bytes_beside(path)
        assert mend(path) == 0


def test_readers_go_on_after_a_journal_was_mended(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    new_journal(path, ["a", "b"])
    reader = open_journal(path)
    assert texts(reader) == ["a", "b"]
    with path.open("ab") as file:
        file.write(b'{"op_code":4,"wor\n{"op_code":4,"study_id"\n' + b"\0" * 40)
    optuna_alone = JournalFileBackend(str(path))
    record = json.loads(path.read_bytes().splitlines()[-4])
    optuna_alone.append_logs([{**record, "user_attrs": {"text": "c"}}])
    with pytest.raises(ValueError):
        texts(reader)
    assert texts(open_journal(path)) == ["a", "b", "c"]
    assert texts(reader) == ["a", "b", "c"]
    add_trial(reader, "d")
    assert texts(open_journal(path)) == ["a", "b", "c", "d"]


def test_another_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a journal, and no newline")
    with pytest.raises(UserError, match=r"notes\.txt.*not a journal"):
        open_journal(path)
    assert path.read_text() == "not a journal, and no newline"
    with pytest.raises(UserError, match="can't be opened"):
        open_journal(tmp_path)


def test_what_is_torn_goes_nowhere_through_a_link(tmp_path: Path) -> None:
    path, precious = tmp_path / "study" / "journal.log", tmp_path / "precious"
    path.parent.mkdir()
    precious.write_text("kept")
    path.write_bytes(b'{"op_code": 0, "worker_id": "a", "study_')
    torn_path(path).symlink_to(precious)
    with pytest.raises(UserError, match="link out of its folder"):
        open_journal(path)
    assert precious.read_text() == "kept"
