"""Runs workers that are killed, and checks what the storage says afterwards."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path

from killed_workers import arm, lines, open_study, value_of
from optuna.trial import TrialState

from colaflex.studies.storage.ownership import reap
from colaflex.studies.trials import counts, records_of
from colaflex.studies.work.limits import flops_spent

SCRIPT = Path(__file__).parent / "killed_workers.py"


def run(url: str, folder: Path, limit: int, kills: int) -> list[float]:
    """When the kills were, after two workers have reached the limit in spite of them."""
    command = [sys.executable, str(SCRIPT), url, str(folder), str(limit), str(kills), "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    found: list[float] = json.loads((folder / "kills.json").read_text())
    assert len(found) == kills
    return found


def check_nothing_is_lost(url: str, folder: Path, limit: int) -> None:
    study = open_study(url, folder)
    reap(study, arm(folder).lock)
    found = counts(records_of(study.get_trials()))
    assert found["complete"] == limit
    assert found["running"] == found["failed"] == 0
    trials = study.get_trials()
    assert [trial.number for trial in trials] == list(range(len(trials)))
    for trial in trials:
        if trial.state == TrialState.COMPLETE:
            assert trial.values == [value_of(trial.user_attrs["point"])]
            assert trial.params == trial.user_attrs["point"]
            assert set(trial.intermediate_values) == {1, 2}
    ended = found["complete"] + sum(t.state == TrialState.PRUNED for t in trials if t.user_attrs)
    assert found["pruned"] > 0
    assert ended == found["complete"] + found["pruned"]
    assert flops_spent(trials) == 3.0 * limit + 5.0

    told = lines(folder, "told")
    assert len(told) > 0.8 * limit
    assert max(Counter(line["number"] for line in told).values()) == 1
    for line in told:
        trial = trials[line["number"]]
        assert trial.state.name.lower() == line["state"]
        if line["state"] == "complete":
            assert trial.values == line["values"]


def check_next_trials_start(folder: Path, kills: list[float]) -> None:
    """After each kill a worker begins a trial within a second of when it would have without one.

    How long a new worker takes to open the study is not counted.
    """
    opened = {line["pid"]: line["at"] for line in lines(folder, "opened")}
    begun = [(line["at"], line["pid"]) for line in lines(folder, "begun")]
    pairs = [
        (at, max(at for at, other in begun[:n] if other == pid))
        for n, (at, pid) in enumerate(begun)
        if any(other == pid for _, other in begun[:n])
    ]
    usual = statistics.median(at - before for at, before in pairs)
    delays = [min(at - max(kill, opened[pid]) for at, pid in begun if at > kill) for kill in kills]
    assert max(delays) < 1.0 + usual
