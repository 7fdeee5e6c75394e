"""A finished run measured with other settings: what is new, what stays, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from colaflex.errors import UserError
from colaflex.experiment.folder import RunFolder
from colaflex.experiment.measuring import evaluate_run
from colaflex.experiment.result import require_own

Command = Callable[..., Any]
NEW = {"result.json", "report.html", "samples.jsonl", "items.json", "manifest.json"}


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def result(folder: Path) -> Any:
    return json.loads((folder / "result.json").read_text())


def untimed(metrics: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in metrics.items() if not k.startswith("speed.")}


def test_the_result_is_made_anew_and_the_run_stays(colaflex_command: Command, run: Path) -> None:
    old = result(run)
    stale = old | {"left_out": {"judge.held_out_nll": "of an earlier measurement"}}
    RunFolder(run).put({"result.json": json.dumps(stale)})
    before = contents(run)
    sets = ("--set", "evaluation.samples=3", "--set", "sampling.steps=1")
    more = ("--set", "evaluation.sweep_steps=[3]", "--set", "evaluation.tasks=[worlds_order]")
    done = colaflex_command("evaluate", run, *sets, *more, "--json")
    assert done.code == 0, done.err
    assert list(done.json) == ["metrics"]
    after, new = contents(run), result(run)
    assert {name for name in after if after[name] != before.get(name)} <= NEW
    assert new["metrics"] == done.json["metrics"]
    assert {k: v for k, v in new.items() if k not in ("metrics", "measurement")} == {
        k: v for k, v in old.items() if k not in ("metrics", "measurement")
    }
    assert new["measurement"]["settings"] == {
        "evaluation.samples": 3,
        "evaluation.sweep_steps": [3],
        "evaluation.tasks": [{"type": "colaflex:worlds_order", **_rest(new)}],
        "sampling.steps": 1,
    }
    assert new["measurement"]["conditions"]["device"] == "cpu"
    metrics = new["metrics"]
    assert metrics["generation.valid_documents"]["n"] == 3
    assert metrics["task.worlds_order.accuracy"]["n"] == 12
    assert "generation.at_steps.3.valid_sentences" in metrics
    assert "generation.at_steps.1.valid_sentences" not in metrics
    rate = "speed.training_tokens_per_second"
    assert metrics[rate] == old["metrics"][rate]
    # Half the steps cost half the evaluations.
    cost = "speed.network_evaluations_per_block"
    assert 2 * metrics[cost]["value"] == old["metrics"][cost]["value"]
    samples = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
    assert sum(sample["source"] == "model" for sample in samples) == 3
    page = (run / "report.html").read_text()
    assert "evaluation.samples: 3" in page and "in place of what the spec below says" in page


def _rest(new: Any) -> Any:
    (task,) = new["measurement"]["settings"]["evaluation.tasks"]
    return {k: v for k, v in task.items() if k != "type"}


def test_the_specs_own_values_bring_its_own_result_back(
    colaflex_command: Command, run: Path, tiny: Path
) -> None:
    old = result(run)
    assert colaflex_command("evaluate", run, "--set", "evaluation.samples=2").code == 0
    assert untimed(result(run)["metrics"]) != untimed(old["metrics"])
    done = colaflex_command("run", tiny, "--out", run, "--resume")
    assert "this run is complete; it was measured with evaluation.samples: 2 in place" in done.err
    assert "measured with evaluation.samples: 2" in " ".join(done.out.split())
    with pytest.raises(UserError, match=r"measured with evaluation\.samples: 2; measure it as"):
        require_own(result(run), run, "test")
    assert colaflex_command("evaluate", run, "--set", "evaluation.samples=4").code == 0
    assert untimed(result(run)["metrics"]) == untimed(old["metrics"])
    assert result(run)["measurement"]["settings"] == {}
    require_own(result(run), run, "test")
    assert "in place of what the spec" not in (run / "report.html").read_text()


def test_another_split_is_said(colaflex_command: Command, run: Path) -> None:
    given = ("--split", "validation", "--set", "evaluation.documents=3")
    assert colaflex_command("evaluate", run, *given).code == 0
    found = result(run)
    assert found["split"] == "validation"
    assert found["metrics"]["reconstruction.token_accuracy"]["n"] == 3
    assert untimed(found["metrics"]).keys() == untimed(evaluate_run(run, "validation")).keys()
    assert colaflex_command("evaluate", run, "--set", "evaluation.documents=2").code == 0
    assert result(run)["split"] == "validation"  # that of the result
    with pytest.raises(UserError, match=r"evaluation\.documents: 2"):
        require_own(result(run), run, "validation")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "training.steps=3"], "training.steps is part of what the run is; only"),
        (["--set", "prior=gaussian"], "prior is part of what the run is"),
        (["--set", "seed=1"], "seed is part of what the run is"),
        (["--set", "evaluation.sampels=3"], "samples"),
        (["--set", "evaluation.samples=-1"], "evaluation.samples"),
        (["--set", "evaluation.samples"], "is no setting"),
        (["--set", "sampling.steps=0"], "sampling.steps"),
        (["--set", "sampling={guidance: .nan}"], "sampling.guidance"),
        (["--set", "evaluation.samples=2", "--task", "last_word"], "--set goes without --task"),
    ],
)
def test_what_cannot_be_set_is_one_message(
    arguments: list[str], message: str, colaflex_command: Command, finished: Path
) -> None:
    before = contents(finished)
    done = colaflex_command("evaluate", finished, *arguments)
    assert done.code == 2 and message in done.err and "Traceback" not in done.err, done.err
    assert contents(finished) == before


def test_a_run_that_is_not_finished_or_whose_corpus_changed_keeps_what_it_has(
    colaflex_command: Command, unfinished: Path, run: Path
) -> None:
    given = ("--set", "evaluation.samples=2")
    done = colaflex_command("evaluate", unfinished, *given)
    assert done.code == 2 and "this run is not finished" in done.err
    identity = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**identity, "data_digest": "0" * 64}))
    (run / "manifest.json").unlink(missing_ok=True)
    before = contents(run)
    done = colaflex_command("evaluate", run, *given)
    assert done.code == 2 and "its corpus is not the one that this run was trained on" in done.err
    assert contents(run) == before


def test_every_part_of_the_evaluation_shows_how_far_it_is(
    colaflex_command: Command, run: Path
) -> None:
    sets = "evaluation.tasks=[worlds_order]", "evaluation.likelihood=true", "evaluation.documents=3"
    given = [word for each in sets for word in ("--set", each)]
    done = colaflex_command("evaluate", run, *given, "--json")
    for part in (
        "reconstruction: 3 of 3 documents",
        "likelihood: 3 of 3 documents",
        "samples: 4 of 4 texts",
        "sweep, at_steps.1: 2 of 2 texts",
        "task worlds_order: ",
        "BrierLM: ",
    ):
        assert f"evaluation: {part}" in done.err, done.err
    assert done.out.startswith("{")
