"""Storages by URL: Optuna's own tests of a storage on our journal, and errors that help."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.storages import BaseStorage
from optuna.testing.pytest_storages import StorageTestCase

from colaflex.errors import UserError
from colaflex.studies.storage.storages import JOURNAL, open_storage


class TestJournal(StorageTestCase):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> BaseStorage:
        return open_storage("journal", tmp_path)


def test_a_journal_is_in_the_folder_of_the_study_or_where_it_is_said(tmp_path: Path) -> None:
    open_storage("journal", tmp_path)
    assert (tmp_path / JOURNAL).exists()
    open_storage(f"journal:{tmp_path}/deeper/other.log", tmp_path)
    assert (tmp_path / "deeper" / "other.log").exists()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgre://u:secret@h/d", "unknown kind of storage 'postgre'; did you mean 'postgresql'"),
        ("mysql://u:secret@h/d", "unknown kind of storage 'mysql'; give `journal`"),
        ("postgresql://u:secret@127.0.0.1:9/d", r"u:\*\*\*@127.0.0.1:9/d can't be opened: conn"),
        ("postgresql://u:secret@h:port/d", "not a valid URL; give"),
        ("grpc://localhost", "has the form grpc://HOST:PORT"),
        ("grpc://localhost:port", "has the form grpc://HOST:PORT"),
        ("sqlite:////proc/no/study.db", "can't be made"),
        ("journal:/proc/no/study.log", "can't be opened"),
    ],
)
def test_errors_say_what_to_write_and_no_password(url: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        open_storage(url, tmp_path)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("notes " * 1000)
    with pytest.raises(UserError, match="not a database"):
        open_storage(f"sqlite:///{path}", tmp_path)
    assert path.read_text() == "notes " * 1000


def test_the_journal_of_a_folder_is_no_link_out_of_it(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "study", tmp_path / "elsewhere.log"
    folder.mkdir()
    (folder / "journal.log").symlink_to(elsewhere)
    with pytest.raises(UserError, match="link out of its folder"):
        open_storage("journal", folder)
    assert not elsewhere.exists()
    open_storage(f"journal:{folder / 'journal.log'}", folder)  # asked for by name
    assert elsewhere.exists()
