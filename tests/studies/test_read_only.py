"""A storage is looked at: what is there is told, and nothing is made or changed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from colaflex.errors import UserError
from colaflex.studies.storage.journal import open_journal
from colaflex.studies.storage.read_only import NothingStored, open_read_only
from colaflex.studies.storage.storages import open_storage, without_password

JOURNAL, SQLITE = "journal", "sqlite:///{folder}/study.db"


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder with its digest and time of change."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        + str(path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def add_trials(url: str, folder: Path, count: int) -> None:
    study = optuna.create_study(
        storage=open_storage(url, folder), study_name="s", load_if_exists=True
    )
    for _ in range(count):
        study.tell(study.ask(), 1.0)


def trials_seen(url: str, folder: Path) -> int:
    study = optuna.load_study(study_name="s", storage=open_read_only(url, folder))
    return len(study.get_trials())


@pytest.mark.parametrize("form", [JOURNAL, "journal:{folder}/deep/other.log", SQLITE])
def test_what_is_there_is_seen_and_stays_as_it_is(form: str, tmp_path: Path) -> None:
    url = form.format(folder=tmp_path)
    add_trials(url, tmp_path, 3)
    before = contents(tmp_path)
    assert trials_seen(url, tmp_path) == 3
    assert contents(tmp_path) == before


def test_a_database_that_is_being_written_is_seen_as_it_is_now(tmp_path: Path) -> None:
    url = SQLITE.format(folder=tmp_path)
    storage = open_storage(url, tmp_path)
    study = optuna.create_study(storage=storage, study_name="s")
    study.tell(study.ask(), 1.0)
    assert (tmp_path / "study.db-wal").exists()
    assert trials_seen(url, tmp_path) == 1


@pytest.mark.parametrize(
    "form",
    [
        JOURNAL,
        "journal:{folder}/no/such.log",
        SQLITE,
        "sqlite:///{folder}/no/such.db",
        "sqlite://",
    ],
)
def test_what_is_not_there_is_not_made(form: str, tmp_path: Path) -> None:
    with pytest.raises(NothingStored, match="there is no"):
        open_read_only(form.format(folder=tmp_path), tmp_path / "mistyped")
    assert list(tmp_path.iterdir()) == []


def test_a_torn_tail_is_passed_over_and_left_to_those_who_write(tmp_path: Path) -> None:
    add_trials(JOURNAL, tmp_path, 2)
    with (tmp_path / "journal.log").open("ab") as file:
        file.write(b'{"op_code":4,"stu\nno text \xff\n{"op_code":4')
    before = contents(tmp_path)
    assert trials_seen(JOURNAL, tmp_path) == 2
    assert contents(tmp_path) == before


def other_database(folder: Path) -> str:
    import sqlite3

    with sqlite3.connect(folder / "other.db") as connection:
        connection.execute("CREATE TABLE mine (x INTEGER)")
    connection.close()
    return f"sqlite:///{folder}/other.db"


def no_database(folder: Path) -> str:
    (folder / "notes.txt").write_text("notes " * 1000)
    return f"sqlite:///{folder}/notes.txt"


def no_journal(folder: Path) -> str:
    (folder / "notes.txt").write_text("notes")
    return f"journal:{folder}/notes.txt"


def a_pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe")
    return f"journal:{folder}/pipe"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (other_database, "holds no studies"),
        (no_database, "not a database"),
        (no_journal, "not a journal"),
        (a_pipe, "a pipe"),
        (lambda folder: f"journal:{folder}", "a folder"),
        (lambda folder: "journal:/dev/zero", "a device"),
        (lambda folder: "grpc://127.0.0.1:1", "nobody answers"),
        (lambda folder: "postgresql://u:secret@127.0.0.1:9/d", r"u:\*\*\*@127.0.0.1:9/d can't"),
        (lambda folder: "postgresql://127.0.0.1:9/d?user=u&password=secret", r"password=\*\*\*"),
    ],
)
def test_what_is_something_else_is_told_in_words(
    make: Callable[[Path], str], said: str, tmp_path: Path
) -> None:
    url = make(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match=said) as caught:
        open_read_only(url, tmp_path)
    assert "secret" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p:w@d@h/d", "postgresql://u:***@h/d"),
        ("postgresql://h/d?user=u&password=p%40w&x=1", "postgresql://h/d?user=u&password=***&x=1"),
        ("postgresql://h/d?sslpassword=pw", "postgresql://h/d?sslpassword=***"),
        (
            "postgresql+psycopg://u:pw@h:5432/d?Password=pw",
            "postgresql+psycopg://u:***@h:5432/d?Password=***",
        ),
        ("journal:runs/pass.log", "journal:runs/pass.log"),
        ("sqlite:///study.db", "sqlite:///study.db"),
    ],
)
def test_no_password_is_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown


LINE = {"op_code": 4, "worker_id": "w", "study_id": 0, "datetime_start": "2026-01-01T00:00:00"}


@pytest.mark.parametrize(
    "line",
    [
        {"op_code": 4},
        {"op_code": 99, "worker_id": "w"},
        {"op_code": "4", "worker_id": "w"},
        {"op_code": None},
        {**LINE, "datetime_start": "yesterday"},
        {**LINE, "datetime_start": 7},
        {**LINE, "study_id": [0]},
        {"op_code": 0, "worker_id": "w", "study_name": "t", "directions": ["up"]},
        {"op_code": 0, "worker_id": "w", "study_name": "t", "directions": 1},
        {"op_code": 8, "worker_id": "w", "trial_id": 1, "user_attr": 5},
        {"op_code": 6, "worker_id": "w", "trial_id": 1, "state": 77, "values": None},
        {"op_code": 5, "worker_id": "w", "trial_id": 1, "param_name": "x", "distribution": "{}"},
    ],
)
def test_a_line_with_other_content_is_named_and_left(
    line: dict[str, object], tmp_path: Path
) -> None:
    add_trials(JOURNAL, tmp_path, 1)
    path = tmp_path / "journal.log"
    optuna.load_study(study_name="s", storage=open_journal(path)).ask()  # runs
    number = len(path.read_bytes().splitlines()) + 1
    later = json.dumps({"op_code": 2, "worker_id": "w", "study_id": 0, "user_attr": {"a": 1}})
    text = path.read_text() + json.dumps(line) + "\n" + later + "\n"
    path.write_text(text)
    for open_it in (lambda: open_read_only(JOURNAL, tmp_path), lambda: open_journal(path)):
        with pytest.raises(UserError, match=rf"journal\.log:{number}: no record of a study"):
            open_it()
    assert path.read_text() == text
