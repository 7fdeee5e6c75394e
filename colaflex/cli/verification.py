"""What of a run, a study or a board is as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from colaflex.errors import UserError
from colaflex.experiment.folder import IDENTITY
from colaflex.files.manifest import MANIFEST, RunManifest
from colaflex.files.reading import inside
from colaflex.files.yaml import read_file
from colaflex.leaderboard.board import Board, board_path
from colaflex.leaderboard.records import checked_record, record_files
from colaflex.studies.file.study_file import StudyFile
from colaflex.studies.storage.journal import read_journal
from colaflex.studies.storage.storages import JOURNAL, journal_path, kind_of
from colaflex.studies.study import Where
from colaflex.training import manifests

__all__ = ["FileCheck", "verify"]

State = Literal["whole", "damaged", "unrecorded"]


@dataclass(frozen=True, slots=True)
class FileCheck:
    """Whether one file is as it was written.

    Attributes:
        path: the file, or the folder of a checkpoint.
        state: whole; damaged; or unrecorded, where it was written before digests were.
        reason: what is wrong; "" where nothing is.
    """

    path: Path
    state: State
    reason: str = ""


def verify(path: Path) -> list[FileCheck]:
    """Everything that a result depends on, in the order of its paths.

    Args:
        path: a run folder, or any folder with runs below it, as that of a study; the file of a
            study or of a board, or a board's name.

    Raises:
        UserError: it is none of these.
    """
    if path.is_dir():
        checks = _below(path)
        if not checks:
            raise UserError(f"{path}: there is no run in this folder (no {IDENTITY})")
        return checks
    if not path.exists() and board_path(str(path)).is_file():
        return verify_board(Board.load(str(path)))
    entries = read_file(path).entries
    if "board" in entries:
        return verify_board(Board.load(path))
    if "study" in entries:
        return verify_study(StudyFile.load(path))
    raise UserError(f"{path}: expected a run folder, or the file of a study or of a board")


def verify_run(run: Path) -> list[FileCheck]:
    """The files that a run's manifest names, and its checkpoints."""
    try:
        manifest = RunManifest.of(run)
    except UserError as error:
        return [FileCheck(run / MANIFEST, "damaged", str(error)), *_checkpoints(run, None)]
    if manifest is None:
        return [FileCheck(run / IDENTITY, "unrecorded"), *_checkpoints(run, None)]
    faults = manifest.faults(run)
    files = [_file_check(run / name, faults.get(name, "")) for name in sorted(manifest.files)]
    return [*files, *_checkpoints(run, manifest.weights)]


def _checkpoints(run: Path, final: tuple[str, str] | None) -> Iterator[FileCheck]:
    folder = run / "checkpoints"
    try:
        inside(run, folder.name)
    except UserError as error:
        yield FileCheck(folder, "damaged", str(error))
        return
    names = {path.name for path in folder.glob("[!.]*")} | ({final[0]} if final else set())
    for name in sorted(names):
        try:
            path = inside(folder, name)
            manifests.verify(path, manifests.read_manifest(path))
            if final is not None and name == final[0]:
                manifests.require(path, final[1])
        except UserError as error:
            yield FileCheck(folder / name, "damaged", str(error))
        else:
            yield FileCheck(path, "whole")


def verify_board(board: Board) -> list[FileCheck]:
    """The records of a board, each against its own digest and the board."""
    records = ((path, checked_record(board, path)[1]) for path in record_files(board))
    return [_file_check(path, "; ".join(problems)) for path, problems in records]


def verify_study(file: StudyFile) -> list[FileCheck]:
    """The journal of a study, where it has one, and the runs in its folder."""
    where = Where.of(file)
    checks = _below(where.folder)
    journal = journal_path(where.storage, where.folder)
    if kind_of(where.storage) == "journal" and not journal.is_relative_to(where.folder):
        checks.append(_journal(journal, named=True))
    if not checks:
        raise UserError(f"{file.path}: this study has not begun: {where.folder} is not there")
    return checks


def _below(folder: Path) -> list[FileCheck]:
    """The journals and the runs in a folder."""
    journals = [_journal(path) for path in sorted(folder.rglob(JOURNAL))]
    runs = sorted(path.parent for path in folder.rglob(IDENTITY))
    return [*journals, *(check for run in runs for check in verify_run(run))]


def _journal(path: Path, named: bool = False) -> FileCheck:
    """Whether a journal is whole; one that nobody named stays within its folder."""
    if not path.exists():
        return FileCheck(path, "damaged", f"{path}: there is no such journal")
    try:
        read_journal(path if named else inside(path.parent, path.name))
    except UserError as error:
        return FileCheck(path, "damaged", str(error))
    return FileCheck(path, "whole")


def _file_check(path: Path, fault: str) -> FileCheck:
    return FileCheck(path, "damaged" if fault else "whole", fault)
