"""What all trials of an arm share beside its identity: their data, precision and folder."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any

import optuna

from colaflex.errors import UserError
from colaflex.experiment.prepared import data_of
from colaflex.experiment.settings import chosen_precision
from colaflex.files.reading import MissingFile, read_json
from colaflex.files.writing import write_atomic
from colaflex.host.registry import registry
from colaflex.spec import Spec
from colaflex.studies.file.study_file import StudyFile
from colaflex.studies.study import FRESH, Study
from colaflex.training.hardware import Precision

__all__ = ["data_digest", "fingerprints", "join"]

PRECISION, FOLDER, CONTENT = "precision", "folder", "content"
MOST = 1 << 16
"""Bytes of the file that says whose trials a folder holds."""
Say = Callable[[str], None]


def join(study: Study, arms: tuple[str, ...], asked: str, device: str, say: Say) -> Precision:
    """Keep to what the trials so far share, or say it in the storage where there are none.

    Args:
        study: whose storage remembers.
        arms: that are worked at; the optimum's fresh runs as well, where there are some.
        asked: precision, as of `colaflex run`; `auto` is that of the trials so far.
        device: as of `colaflex run`.
        say: told what is taken for granted.

    Returns:
        The precision of all trials from now on.

    Raises:
        UserError: their data, precision or folder is another one.
    """
    names = (*arms, FRESH) if study.file.fresh.seeds else arms
    known = [study.arm(name).user_attrs.get(PRECISION) for name in names]
    precision = _precision(next(filter(None, known), None), asked, device)
    for name in names:
        with study.about(name).lock:
            arm = study.arm(name)
            _same_data(study, arm, name, say)
            _same_folder(study, arm, name)
            _remember(arm, PRECISION, precision)
            _remember(arm, CONTENT, study.file.content(name))
    return precision


def data_digest(spec: Spec) -> str:
    """Identifies corpus and tokenizer of a spec by their content."""
    return data_of(spec, registry().build(spec.corpus)).digest


def fingerprints(file: StudyFile) -> dict[str, str]:
    """Split that a trial is measured on -> digest of the corpus that it is trained on."""
    specs = {"validation": file.trial_spec, "test": file.fresh_spec}
    return {split: registry().build(spec.corpus).fingerprint() for split, spec in specs.items()}


def _precision(known: Any, asked: str, device: str) -> Precision:
    chosen = chosen_precision(asked if known is None or asked != "auto" else known, device)
    if known is not None and chosen != known:
        raise UserError(
            f"--precision {chosen}: the trials of this study are in {known}, and those of another "
            "precision don't compare: leave --precision out, or begin another study with another "
            "--out"
        )
    return chosen


def _same_data(study: Study, arm: optuna.Study, name: str, say: Say) -> None:
    spec = study.file.fresh_spec if name == FRESH else study.file.trial_spec
    digest, known = data_digest(spec), study.data(name)
    if known is None and (count := len(arm.get_trials(deepcopy=False))):
        say(
            f"note: {name}: nothing says on which data its {count} trials were made; the present "
            "data is taken to be theirs"
        )
    if known not in (None, digest):
        storage = "" if study.where.storage == "journal" else " and another --storage"
        raise UserError(
            f"{study.file.path}: the data is not what the trials of {name} were made on: the "
            f"corpus or its tokenizer has changed (digest {known[:12]}, now {digest[:12]}). Bring "
            f"the data back as it was, or begin another study with another --out{storage}"
        )
    study.remember_data(name, digest)


def _same_folder(study: Study, arm: optuna.Study, name: str) -> None:
    """Refuse the folder of another storage's trials: their runs would be taken for ours."""
    about = study.about(name)
    path = about.folder / f"{about.name}.json"
    mine = arm.user_attrs.get(FOLDER)
    try:
        content = read_json(path, MOST)
        theirs = content.get(FOLDER) if isinstance(content, dict) else None
    except MissingFile:
        theirs = None
        if not arm.get_trials(deepcopy=False) and any((about.folder / about.name).glob("*")):
            theirs = "of a study that didn't say so yet"
    if theirs is not None and theirs != mine:
        raise UserError(
            f"{about.folder / about.name}: holds trials of this study that another storage knows; "
            "go on with that storage, or choose another folder with --out"
        )
    if theirs is None:
        token = mine or secrets.token_hex(8)
        _remember(arm, FOLDER, token)
        write_atomic(path, json.dumps({FOLDER: token}) + "\n")


def _remember(arm: optuna.Study, key: str, value: Any) -> None:
    if key not in arm.user_attrs:
        arm.set_user_attr(key, value)
