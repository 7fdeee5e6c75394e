"""The judge of a spec: its size by the run's, one size where runs are compared, one digest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from colaflex.experiment.measuring import judge_settings
from colaflex.files.yaml import write_yaml
from colaflex.host.registry import registry
from colaflex.leaderboard.board import Board
from colaflex.spec import Spec
from colaflex.spec.canonical import canonical
from colaflex.spec.sections import Evaluation, Judge
from colaflex.studies.file.study_file import StudyFile

FULL = 600 * 16 * 256
"""Tokens of the largest judge."""


@pytest.mark.parametrize(
    ("tokens", "size"),
    [
        (0, (100, 4)),
        (10 * 100 * 4 * 256, (100, 4)),
        (10 * 250 * 4 * 256, (250, 4)),  # a tenth is 250 steps of 4 rows of 256 tokens
        (10 * 600 * 4 * 256, (600, 4)),
        (10 * 600 * 9 * 256, (600, 9)),
        (10 * FULL, (600, 16)),
        (10**15, (600, 16)),
    ],
)
def test_is_sized_to_the_run(tokens: int, size: tuple[int, int]) -> None:
    assert Judge().size(tokens) == size
    longer = Judge(max_tokens=512)
    assert longer.size(2 * tokens) == size


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"steps": 160, "batch_size": 4}, (160, 4)),
        ({"steps": 300}, (300, 16)),
        ({"batch_size": 8}, (600, 8)),
        ({"steps": 600, "batch_size": 16}, (600, 16)),
    ],
)
def test_what_a_spec_says_stays(options: dict[str, Any], size: tuple[int, int]) -> None:
    assert Judge(**options).size(1000) == Judge(**options).size() == size


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, {}),
        ({"steps": 600, "batch_size": 16}, {}),
        ({"steps": 600}, {}),
        ({"steps": 300}, {"judge": {"steps": 300}}),
        ({"batch_size": 4, "steps": 600}, {"judge": {"batch_size": 4}}),
        ({"width": 64, "steps": 600}, {"judge": {"width": 64}}),
    ],
)
def test_digests_are_those_of_when_600_steps_of_16_rows_were_the_default(
    options: dict[str, Any], said: dict[str, Any]
) -> None:
    assert canonical(Evaluation(judge=Judge(**options)), registry()) == said


def test_a_resolved_spec_still_leaves_the_size_open(tiny: Path, tmp_path: Path) -> None:
    spec = Spec.load(tiny)
    (tmp_path / "spec.yaml").write_text(spec.to_yaml())
    again = Spec.load(tmp_path / "spec.yaml")
    assert again.evaluation.judge.steps == again.evaluation.judge.batch_size == "auto"
    assert again.digest() == spec.digest()


@pytest.mark.parametrize("value", [0, "some", 1.5, None, 10**7])
def test_other_sizes_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="steps"):
        Judge(steps=value)


def test_rows_of_a_board_and_trials_of_a_study_have_one_judge(tiny: Path, tmp_path: Path) -> None:
    board = {
        "board": "some",
        "base": str(tiny),
        "parameters": 30_000,
        "budgets": {"small": 1e9, "large": 1e12},
        "rank": {"metric": "generation.brier_lm"},
        "rows": {"a": {}, "b": {"set": {"training.learning_rate": 0.1}}},
    }
    study = {
        "study": "some",
        "base": str(tiny),
        "space": {"training.steps": [5, 5000]},
        "objectives": "generation.valid_sentences",
        "budget": {"trials": 2},
    }
    for name, content in (("board", board), ("study", study)):
        (tmp_path / f"{name}.yaml").write_text(write_yaml(content))
    found = Board.load(tmp_path / "board.yaml")
    searched = StudyFile.load(tmp_path / "study.yaml")
    trials = [
        searched.searched.spec(searched.trial_spec, {"training.steps": steps})
        for steps in (5, 5000)
    ]
    for spec in (*found.specs.values(), *trials):
        assert (spec.evaluation.judge.steps, spec.evaluation.judge.batch_size) == (600, 16)
    assert found.specs["a"].digest() == Spec.load(tiny).digest()
    assert trials[0].digest() == Spec.load(tiny).override({"training.steps": 5}).digest()


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({}, 200 * 0.4 + 200 * 0.6),
        ({"training.regime": "scratch"}, 200),
        ({"training.stages.representation": {"steps": 500}}, 500 + 1),
        ({"baseline": "autoregressive"}, 200),
    ],
)
def test_all_stages_of_a_run_count(tiny: Path, changes: dict[str, Any], steps: float) -> None:
    sizes = {"training.batch_size": 32, "training.max_tokens": 256}
    spec = Spec.load(tiny).override({**changes, **sizes, "training.steps": 200})
    found = judge_settings(spec)
    assert found is not None
    # A tenth of the tokens, in steps of 4 rows of 256 tokens.
    assert (found.steps, found.batch_size) == (max(100, round(steps * 32 / 10 / 4)), 4)
    assert judge_settings(spec.override({"evaluation.judge.enabled": False})) is None
