"""How `colaflex study run` ends: the exit code, the reason, and what the next call does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

STUDY = """
study: small
base: base.yaml
space: {prior.schedule.loc: [0.5, 1.5]}
objectives: reconstruction.token_accuracy
budget: {trials: 5}
trials: {evaluation.likelihood: false}
fresh: {seeds: 0, set: {evaluation.likelihood: false}}
"""
WORLDS = "{type: worlds, documents: 120, validation_documents: 12, test_documents: 12}"
NO_JUDGE = "{evaluation.likelihood: false, evaluation.judge.enabled: false}"
Run = Callable[..., Any]


@pytest.fixture
def run(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, colaflex_command: Run) -> Run:
    """Runs a study: what is added to its file, texts replaced in its base, further arguments."""
    monkeypatch.chdir(tmp_path)

    def call(added: str = "", *arguments: str, base: tuple[str, str] = ("", "")) -> Any:
        text = tiny.read_text()
        assert base[0] in text
        Path("base.yaml").write_text(text.replace(*base) if base[0] else text)
        lines = [line for line in STUDY.splitlines() if line.split(":")[0] not in added]
        Path("small.yaml").write_text("\n".join([*lines, added]))
        return colaflex_command("study", "run", "small.yaml", *arguments)

    return call


def trials(colaflex_command: Run) -> dict[str, int]:
    found = colaflex_command("study", "status", "small.yaml", "--json").json
    return {state: found[state] for state in ("complete", "pruned", "failed") if found[state]}


def test_a_grid_that_is_done_trains_nothing_and_says_so(run: Run, colaflex_command: Run) -> None:
    for _ in range(2):
        ended = run("sampler: grid")
        assert ended.code == 0, ended.err
        assert "search: complete, every point of the plan was tried" in ended.err
        assert trials(colaflex_command) == {"complete": 2}
    assert "/0002" not in ended.err
    # A budget that is reached already, or passed.
    for count in ("2", "1"):
        ended = run("sampler: grid", "--trials", count)
        assert ended.code == 0
        assert f"complete, with 2 of {count} trials" in ended.err
    assert trials(colaflex_command) == {"complete": 2}


def test_a_grid_of_which_every_point_is_pruned_is_over_and_has_nothing_to_show(
    run: Run, colaflex_command: Run
) -> None:
    added = "sampler: grid\npruner: {type: threshold, lower: 2}\nrungs: [0.5]"
    for _ in range(2):
        ended = run(added)
        assert ended.code == 1
        assert "search: it is over, and no trial is complete: 2 pruned, 0 failed" in ended.err
        assert trials(colaflex_command) == {"pruned": 2}


def test_a_search_whose_trials_are_all_pruned_ends(run: Run, colaflex_command: Run) -> None:
    cheap = "trials: {evaluation.likelihood: false, evaluation.documents: 1, evaluation.samples: 1}"
    ended = run(f"sampler: random\npruner: {{type: threshold, lower: 2}}\nrungs: [0.1]\n{cheap}")
    assert ended.code == 1
    assert "20 trials in a row were pruned or failed" in ended.err
    assert trials(colaflex_command) == {"pruned": 20}


def write_texts(folder: Path) -> str:
    """Sixty documents; returns the corpus that they are, too small for a judge."""
    folder.mkdir()
    for number in range(60):
        (folder / f"{number:02}.txt").write_text(f"The cat number {number} sat on a mat. " * 4)
    return f"{{type: text_files, path: {folder}, validation: 0.2, test: 0.2}}"


def test_failed_fresh_runs_are_a_failure_and_tried_again(
    run: Run, colaflex_command: Run, tmp_path: Path
) -> None:
    """Trials need no judge; the runs on fresh seeds want one that can't be trained."""
    base = (WORLDS, write_texts(Path("texts")))
    fresh = f"trials: {NO_JUDGE}\nfresh: {{seeds: 2, set: {{evaluation.likelihood: false}}}}"
    for failed in (2, 4):
        ended = run(fresh, "--trials", "1", base=base)
        assert ended.code == 1, ended.err
        assert "2 of 2 runs on fresh seeds failed, the last one: the judge split" in ended.err
        found = colaflex_command("study", "status", "small.yaml", "--json").json
        assert (found["complete"], found["fresh"]["failed"]) == (1, failed)
        assert len(found["failures"]) == failed


def test_other_data_is_refused_by_the_command_and_the_old_goes_on(
    run: Run, colaflex_command: Run
) -> None:
    folder, added = Path("texts"), f"trials: {NO_JUDGE}"
    base = (WORLDS, write_texts(folder))
    ended = run(added, "--trials", "1", base=base)
    assert ended.code == 0, ended.err
    text = (folder / "07.txt").read_text()
    (folder / "07.txt").write_text("The dog.")
    for workers in ("1", "2"):
        ended = run(added, "--trials", "2", "--workers", workers, base=base)
        assert ended.code == 2
        assert ended.err.count("the data is not what the trials of search were made on") == 1
    assert trials(colaflex_command) == {"complete": 1}
    (folder / "07.txt").write_text(text)
    folder.rename("moved")
    moved = base[1].replace("path: texts", "path: moved")
    ended = run(added, "--trials", "2", base=(WORLDS, moved))
    assert ended.code == 0, ended.err
    assert trials(colaflex_command) == {"complete": 2}


@pytest.mark.parametrize("command", ["run", "status", "report"])
@pytest.mark.parametrize("out", ["base.yaml", "base.yaml/below", "x" * 300, "/proc/no"])
def test_an_impossible_folder_is_one_message(
    run: Run, colaflex_command: Run, tiny: Path, command: str, out: str
) -> None:
    Path("base.yaml").write_text(tiny.read_text())
    Path("small.yaml").write_text(STUDY)
    ended = colaflex_command("study", command, "small.yaml", "--out", out)
    assert ended.code == 2
    assert ended.err.startswith(f"Error: --out {out}") and ended.err.count("\n") == 1
