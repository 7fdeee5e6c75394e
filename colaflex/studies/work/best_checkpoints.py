"""Checkpoints take the room: of trials that have ended, only those of the best one stay."""

from __future__ import annotations

import shutil
from pathlib import Path

from colaflex.studies.file.study_file import FRESH
from colaflex.studies.study import Study

__all__ = ["keep_best_checkpoints"]


def keep_best_checkpoints(study: Study, arm: str) -> None:
    """Remove the checkpoints of all trials of an arm that have ended but for the best one's.

    No trial ends meanwhile: it could be the best, and its checkpoints would be lost.
    """
    about = study.about(arm)
    with about.lock:
        records = study.records(arm)  # first: what ends from here on, elsewhere, is not touched
        best = None if arm == FRESH else study.best(arm)
        for record in records:
            ended = record.state in ("complete", "pruned", "failed")
            if ended and (best is None or record.number != best.number):
                _remove_checkpoints(about.trial_folder(record.number))


def _remove_checkpoints(folder: Path) -> None:
    """Of one trial's runs; what is a link stays, and what it leads to."""
    for path in (folder / "checkpoints", *folder.glob("seed-*/checkpoints")):
        parts = (folder.parent, folder, path.parent, path)
        if path.is_dir() and not any(part.is_symlink() for part in parts):
            shutil.rmtree(path, ignore_errors=True)
