"""`colaflex study` as a process: searched, stopped, killed, gone on with, explained."""

import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from colaflex.spec import Spec

STUDY = """
study: small
title: A small study
base: {base}
space:
  representation.latent_dim: [2, 4]
  prior.schedule.loc: {{low: -1, high: 2}}
objectives: reconstruction.token_accuracy
budget: {{trials: 3}}
trials: {{evaluation.likelihood: false}}
fresh: {{seeds: 1, set: {{evaluation.likelihood: false}}}}
controls:
  by_hand: {{sampler: one_at_a_time}}
  paper: {{point: {{representation.latent_dim: 4, prior.schedule.loc: 1.0}}}}
"""


@pytest.fixture
def study(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study file in a folder of its own, where commands run."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.yaml"
    path.write_text(STUDY.format(base=tiny))
    return path


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "colaflex", "study", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)


def status(study: Path, *more: object) -> dict[str, Any]:
    done = call("status", study, "--json", *more)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_study_is_run_by_two_workers_gone_on_with_and_explained(study: Path) -> None:
    done = call("run", study, "--workers", 2, "--trials", 2, "--json")
    assert done.returncode == 0, done.stderr
    first = json.loads(done.stdout)
    assert (first["complete"], first["controls"]["by_hand"]["complete"]) == (2, 2)
    assert {first[state] for state in ("running", "waiting", "failed")} == {0}
    assert status(study) == first

    done = call("run", study, "--trials", 4, "--json")
    assert done.returncode == 0, done.stderr
    second = json.loads(done.stdout)
    assert second["complete"] == 4
    point = second["best"]["point"]
    assert set(point) == {"representation.latent_dim", "prior.schedule.loc"}
    assert "worker" not in done.stderr and "4 of 4 complete" in done.stderr

    done = call("report", study, "--write-best", "best.yaml", "--data", "data.json")
    assert done.returncode == 0, done.stderr
    page = Path("runs/studies/small/report.html").read_text()
    assert done.stdout.strip() == "runs/studies/small/report.html"
    assert "A small study" in page and "by_hand" in page
    best = Spec.load("best.yaml")
    assert best.representation is not None and best.prior is not None
    assert best.representation.latent_dim == point["representation.latent_dim"]

    again = call("report", study, "--from", "data.json", "--html", "again.html")
    assert again.returncode == 0, again.stderr
    assert Path("again.html").read_text() == page

    # Of each trial there is a run folder; the best one can be loaded.
    kept = sorted(
        path.parent.name for path in Path("runs/studies/small").glob("search-*/*/checkpoints")
    )
    assert kept == [f"{second['best']['trial']:04d}"]


@pytest.fixture
def started(study: Path) -> Iterator[subprocess.Popen[str]]:
    """A study that two workers have begun."""
    command = [sys.executable, "-m", "colaflex", "study", "run", str(study), "--workers", "2"]
    # Tests may run in the background of a script, where Ctrl-C is ignored from birth on.
    heeds = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heeds) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if re.search(r"search-\w+/0001", line):
                break
        yield process
        process.kill()


def test_a_ctrl_c_gives_trials_back_and_the_same_command_goes_on(
    started: subprocess.Popen[str], study: Path
) -> None:
    started.send_signal(signal.SIGINT)
    _, error = started.communicate(timeout=120)
    assert started.returncode == 130, error
    assert "Traceback" not in error
    found = status(study)
    assert found["running"] == 0
    done = call("run", study, "--arms", "search", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["complete"], found["waiting"], found["running"]) == (3, 0, 0)


def test_killed_workers_are_found_dead_and_their_trials_run(
    started: subprocess.Popen[str], study: Path
) -> None:
    """The command and both workers killed at once: nothing runs, nothing is lost."""
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
    for pid in (started.pid, *map(int, children)):
        os.kill(pid, signal.SIGKILL)
    started.wait()
    deadline = time.monotonic() + 20
    while (found := status(study))["running"] and time.monotonic() < deadline:
        time.sleep(0.2)
    assert found["running"] == 0
    assert found["waiting"] + found["complete"] >= 2
    done = call("run", study, "--arms", "search", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["complete"], found["waiting"], found["failed"]) == (3, 0, 0)


def test_another_space_is_another_study_and_the_old_one_is_kept(study: Path) -> None:
    done = call("run", study, "--arms", "search", "--trials", 1)
    assert done.returncode == 0, done.stderr
    study.write_text(study.read_text().replace("[2, 4]", "[2, 4, 6]"))
    assert status(study)["complete"] == 0
    done = call("run", study, "--arms", "search", "--trials", 1)
    assert done.returncode == 0, done.stderr
    assert "another study of this name" in done.stderr and "1 complete" in done.stderr


def test_a_point_that_can_not_be_run_fails_with_its_reason(study: Path) -> None:
    study.write_text(
        study.read_text()
        .replace(
            "objectives: reconstruction.token_accuracy",
            "objectives: {metric: reconstruction.tokens, better: higher}",
        )
        .replace("trials: 3", "trials: 3, failures: 2")
    )
    done = call("run", study, "--arms", "search")
    assert done.returncode == 1
    assert "2 trials in a row failed" in done.stderr
    assert "reconstruction.tokens" in done.stderr and "Traceback" not in done.stderr
    assert status(study)["failed"] == 2


def test_status_imports_no_torch(study: Path) -> None:
    code = (
        "import sys\nfrom colaflex.cli.main import main\ncode = main(sys.argv[1:])\n"
        "assert 'torch' not in sys.modules\nraise SystemExit(code)"
    )
    command = [sys.executable, "-c", code, "study", "status", str(study), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["best"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "small.yaml", "--storage", "sqllite:///x.db"), "did you mean 'sqlite'"),
        (("run", "small.yaml", "--arms", "serch"), "search"),
        (("run", "small.yaml", "--arms", ","), "names no arm (arms: by_hand, search)"),
        (("run", "smal.yaml"), "smal.yaml"),
        (("status", "wrlds"), "there is no study 'wrlds'"),
        (("report", "small.yaml", "--write-best", "best.yaml"), "no trial is complete"),
        (("report", "small.yaml", "--from", "none.json"), "none.json"),
        (("run", "small.yaml", "--trials", "0"), "--trials"),
        (("status", "small.yaml", "--storage", "grpc://localhost:1"), "localhost:1"),
    ],
)
def test_wrong_commands_are_refused_in_words(
    study: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = call(*arguments)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_components_and_costs_are_searched_together(study: Path) -> None:
    """A location is only searched where the prior has a schedule; two objectives have a front."""
    text = study.read_text()
    text = text[: text.index("space:")] + (
        "space:\n"
        "  prior: [flow_matching, {type: normalizing_flow, layers: 1, hidden_width: 8}]\n"
        "  prior.schedule.loc: {low: -1, high: 2}\n"
        "objectives: [reconstruction.token_accuracy, cost.flops]\n"
        "budget: {trials: 6}\n"
        "sampler: {type: nsga2, population_size: 4}\n"
        "trials: {evaluation.likelihood: false}\n"
        "fresh: {seeds: 0}\n"
    )
    study.write_text(text)
    done = call("run", study, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["complete"] == 6
    done = call("report", study, "--json")
    assert done.returncode == 0, done.stderr
    records = json.loads(done.stdout)["arms"]["search"]["records"]
    with_loc = {r["point"]["prior"]: "prior.schedule.loc" in r["point"] for r in records}
    assert with_loc.pop("flow_matching") is True
    assert list(with_loc.values()) == [False]
    assert len({record["values"][1] for record in records}) == 2
    page = Path("runs/studies/small/report.html").read_text()
    assert "Pareto" in page


def test_seeds_of_a_trial_are_pruned_between(study: Path) -> None:
    study.write_text(study.read_text().replace("budget:", "seeds: 3\npruner: wilcoxon\nbudget:"))
    done = call("run", study, "--arms", "search", "--trials", 2)
    assert done.returncode == 0, done.stderr
    runs = sorted(Path("runs/studies/small").glob("search-*/0000/seed-*/result.json"))
    assert [path.parent.name for path in runs] == ["seed-0", "seed-1", "seed-2"]
