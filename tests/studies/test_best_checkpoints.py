"""Which checkpoints stay when a trial has ended, whatever other workers do meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from colaflex.studies.file.study_file import StudyFile
from colaflex.studies.study import FRESH, SEARCH, Study, Where
from colaflex.studies.work.best_checkpoints import keep_best_checkpoints


@pytest.fixture
def study(with_study: Callable[..., Path], tmp_path: Path) -> Study:
    return Study(StudyFile.load(with_study()), Where(tmp_path / "out", "journal"))


def begin(study: Study, arm: str = SEARCH, result: bool = True) -> optuna.Trial:
    """A trial that runs, with a checkpoint, and its result already written or not."""
    trial = study.arm(arm).ask()
    folder = study.about(arm).trial_folder(trial.number)
    (folder / "checkpoints/prior-00000009").mkdir(parents=True)
    if result:
        (folder / "result.json").write_text("{}")
    return trial


def end(study: Study, trial: optuna.Trial, value: float | None, arm: str = SEARCH) -> None:
    """Tell it, and tidy as its worker would."""
    state = TrialState.PRUNED if value is None else TrialState.COMPLETE
    study.arm(arm).tell(trial, value, state)
    keep_best_checkpoints(study, arm)


def kept(study: Study, arm: str = SEARCH) -> list[int]:
    root = study.about(arm).trial_folder(0).parent
    return sorted(int(path.parent.name) for path in root.glob("*/checkpoints"))


def test_checkpoints_of_the_best_and_of_running_trials_stay(study: Study) -> None:
    first, second, third = (begin(study) for _ in range(3))
    end(study, first, 0.5)
    assert kept(study) == [0, 1, 2]  # the others run, although their results are written
    end(study, second, 0.4)
    assert kept(study) == [0, 2]
    end(study, third, 0.9)
    assert kept(study) == [2]
    end(study, begin(study, result=False), None)
    assert kept(study) == [2]
    end(study, begin(study, FRESH), 1.0, FRESH)
    assert kept(study, FRESH) == []


def test_a_trial_that_becomes_the_best_while_another_worker_tidies_keeps_its_checkpoints(
    study: Study,
) -> None:
    """Its end is told while the other one holds the lock, and before it has looked."""
    first, second = begin(study), begin(study)
    lock = study.about(SEARCH).lock
    with lock:
        tidies = threading.Thread(target=end, args=(study, first, 0.5))
        tidies.start()
        time.sleep(0.3)  # it waits for the lock, whatever it has read before
        study.arm(SEARCH).tell(second, 0.9)
    tidies.join()
    assert kept(study) == [1]


def test_links_are_not_followed_out_of_the_folder(study: Study, tmp_path: Path) -> None:
    outside = tmp_path / "precious"
    (outside / "checkpoints").mkdir(parents=True)
    (outside / "seed-0/checkpoints").mkdir(parents=True)
    end(study, begin(study), 0.9)
    folder = study.about(SEARCH).trial_folder(0).parent
    for number in (1, 2, 3):
        trial = study.arm(SEARCH).ask()
        match number:
            case 1:
                (folder / "0001").symlink_to(outside)
            case 2:
                (folder / "0002").mkdir()
                (folder / "0002/checkpoints").symlink_to(outside / "checkpoints")
            case 3:
                (folder / "0003").mkdir()
                (folder / "0003/seed-0").symlink_to(outside / "seed-0")
        end(study, trial, 0.1)
    assert (outside / "checkpoints").is_dir()
    assert (outside / "seed-0/checkpoints").is_dir()
