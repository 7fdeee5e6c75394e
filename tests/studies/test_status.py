"""`colaflex study status` and `report`: what stands, why trials failed, and nothing made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from colaflex.studies.file.study_file import StudyFile
from colaflex.studies.study import FRESH, SEARCH, Study, Where

WithStudy = Callable[..., Path]


@pytest.fixture
def study_file(with_study: WithStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return with_study()


@pytest.fixture
def study(study_file: Path) -> Study:
    """With two complete trials, four that failed and a failed fresh run, at its default place."""
    file = StudyFile.load(study_file)
    found = Study(file, Where.of(file))
    search, fresh = found.arm(SEARCH), found.arm(FRESH)
    point = {"representation.latent_dim": 16, "prior.schedule.loc": 1.0}
    for value in (0.25, 0.5):
        search.add_trial(create_trial(value=value, user_attrs={"point": point}))
    for arm, reason in (
        *((search, "the loss is nan\nat step 7") for _ in range(3)),
        (search, "out of memory"),
        (fresh, "the disk is full"),
    ):
        trial = create_trial(state=TrialState.FAIL, user_attrs={"reason": reason})
        arm.add_trial(trial)
    return found


def test_status_says_why_trials_failed(
    study: Study, study_file: Path, colaflex_command: Callable[..., Any]
) -> None:
    ended = colaflex_command("study", "status", study_file)
    assert ended.code == 0, ended.err
    assert "failed: search 2, search 3, search 4: the loss is nan at step 7\n" in ended.out
    assert "failed: search 5: out of memory\n" in ended.out
    assert "failed: fresh 0: the disk is full\n" in ended.out
    found = colaflex_command("study", "status", study_file, "--json").json
    assert (found["complete"], found["failed"], found["begun"]) == (2, 4, True)
    assert found["failures"][3:] == [
        {"arm": "search", "trial": 5, "reason": "out of memory"},
        {"arm": "fresh", "trial": 0, "reason": "the disk is full"},
    ]


def test_many_reasons_are_counted(
    study: Study, study_file: Path, colaflex_command: Callable[..., Any]
) -> None:
    for number in range(9):
        trial = create_trial(state=TrialState.FAIL, user_attrs={"reason": f"reason {number}"})
        study.arm(SEARCH).add_trial(trial)
    out = colaflex_command("study", "status", study_file).out
    assert out.count("failed: ") == 6
    assert "7 other reasons; `study status --json` has all of them" in out


def test_report_says_why_trials_failed(
    study: Study, study_file: Path, colaflex_command: Callable[..., Any]
) -> None:
    ended = colaflex_command("study", "report", study_file, "--json")
    assert ended.code == 0, ended.err
    records = ended.json["arms"]["search"]["records"]
    assert [r["reason"] for r in records if r["state"] == "failed"][3] == "out of memory"
    page = (study.where.folder / "report.html").read_text()
    assert "out of memory" in page and "the loss is nan" in page and "the disk is full" in page


def test_status_writes_nothing(
    study: Study, study_file: Path, colaflex_command: Callable[..., Any]
) -> None:
    def files() -> dict[Path, int]:
        return {p: p.stat().st_mtime_ns for p in study_file.parent.rglob("*")}

    before = files()
    for _ in range(2):
        assert colaflex_command("study", "status", study_file).code == 0
    assert files() == before


MISTYPED = [
    ("--out", "runs/studies/smal"),
    ("--out", "small.yaml"),
    ("--storage", "sqlite:///no/such.db"),
    ("--storage", "journal:runs/studies/small/jornal.log"),
    ("--storage", "postgresql://u:secret@127.0.0.1:9/d"),
    ("--storage", "grpc://127.0.0.1:1"),
    ("--storage", "sqlite:///base.yaml"),
    ("--out", "bare"),
    ("--storage", "sqlite:///other.db"),
]


@pytest.mark.parametrize("command", ["status", "report"])
@pytest.mark.parametrize("options", MISTYPED)
def test_a_mistyped_place_is_an_error_and_nothing_is_made(
    study: Study,
    study_file: Path,
    colaflex_command: Callable[..., Any],
    command: str,
    options: tuple[str, str],
) -> None:
    Path("bare").mkdir()
    optuna.create_study(storage="sqlite:///other.db", study_name="smaller/search-0123456789ab")
    before = sorted(study_file.parent.rglob("*"))
    ended = colaflex_command("study", command, study_file, *options)
    assert ended.code == 2, ended.out
    assert ended.err.startswith("Error: ") and ended.err.count("\n") == 1
    assert "secret" not in ended.err and ended.out == ""
    if "other.db" in options[1]:
        assert "no study 'small' is kept there; did you mean 'smaller'?" in ended.err
    assert sorted(study_file.parent.rglob("*")) == before


def test_a_study_that_has_not_begun_says_so_and_nothing_is_made(
    study_file: Path, colaflex_command: Callable[..., Any]
) -> None:
    before = sorted(study_file.parent.rglob("*"))
    ended = colaflex_command("study", "status", study_file, "--json")
    assert ended.code == 0
    assert ended.err.startswith("there is no journal runs/studies/small/journal.log; begin with")
    assert (ended.json["begun"], ended.json["complete"]) == (False, 0)
    ended = colaflex_command("study", "report", study_file)
    assert ended.code == 2
    assert "no trial is complete yet: there is no journal" in ended.err
    assert sorted(study_file.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("point", [1]),
        ("seeds", 5),
        ("metrics", {"score": 1}),
        ("stage1", "x"),
        ("flops", "many"),
        ("reason", 7),
    ],
)
def test_a_trial_that_others_have_written_is_named(
    study: Study,
    study_file: Path,
    colaflex_command: Callable[..., Any],
    attribute: str,
    value: object,
) -> None:
    study.arm(SEARCH).add_trial(create_trial(value=1.0, user_attrs={attribute: value}))
    for command in ("status", "report"):
        ended = colaflex_command("study", command, study_file)
        assert ended.code == 2
        assert f"trial 6 of the study is damaged in its storage: {attribute}" in ended.err
