"""A folder that holds another run says in what it differs, and what to do instead."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]


def resumed(command: Command, spec: Path, folder: Path, *sets: str) -> str:
    """What is said of a run that is resumed with these settings; it is refused."""
    given = [word for each in sets for word in ("--set", each)]
    done = command("run", spec, "--out", folder, "--resume", *given)
    assert done.code == 2 and done.err.count("Error: ") == 1 and "Traceback" not in done.err
    message: str = done.err
    return message


@pytest.mark.parametrize(
    ("sets", "lines"),
    [
        (["prior.block_size=2"], ["prior.block_size: 4 -> 2"]),
        (
            ["training.steps=20", "representation.latent_dim=8"],
            ["training.steps: 15 -> 20", "representation.latent_dim: 4 -> 8"],
        ),
        (["seed=3"], ["seed: 0 -> 3"]),
        (
            ["prior=rectified_flow"],
            ["prior.type: colaflex:flow_matching -> colaflex:rectified_flow"],
        ),
        (["evaluation.sweep_steps=[1,2]", "seed=1"], ["evaluation.sweep_steps: [1] -> [1, 2]"]),
        (["training.stages={prior: {learning_rate: 0.1}}"], ["training.stages"]),
    ],
)
def test_the_keys_that_differ_are_named(
    sets: list[str], lines: list[str], colaflex_command: Command, finished: Path, tiny: Path
) -> None:
    said = resumed(colaflex_command, tiny, finished, *sets)
    assert "holds a run of another spec" in said
    for line in lines:
        assert f"\n  {line}" in said, said
    assert f"go on with what is there: colaflex run {finished / 'spec.yaml'} --out" in said
    assert "name:" not in said and "requires" not in said and "colaflex evaluate" not in said


def test_a_name_is_no_difference(colaflex_command: Command, finished: Path, tiny: Path) -> None:
    given = ("--out", finished, "--resume", "--set", "name=other", "--json")
    done = colaflex_command("run", tiny, *given)
    assert done.code == 0, done.err


def test_other_data_is_said_to_be_that(
    colaflex_command: Command, finished: Path, tiny: Path, tmp_path: Path
) -> None:
    text = tmp_path / "corpus.txt"
    text.write_text("".join(f"The {n} sheep of {n % 7} went home.\n\n" for n in range(200)))
    folder = tmp_path / "run"
    quick = "evaluation={samples: 0, documents: 2, judge: {enabled: false}}"
    sets = [f"corpus={{type: text_files, path: {text}}}", quick, "training.regime=scratch"]
    sets += ["training.steps=2", "tokenizer.vocab_size=270"]
    given = [word for each in sets for word in ("--set", each)]
    done = colaflex_command("run", tiny, "--out", folder, *given)
    assert done.code == 0, done.err
    shutil.move(text, tmp_path / "moved.txt")  # another place is no difference
    sets[0] = f"corpus={{type: text_files, path: {tmp_path / 'moved.txt'}}}"
    again = [word for each in sets for word in ("--set", each)]
    assert colaflex_command("run", tiny, "--out", folder, "--resume", *again).code == 0
    with (tmp_path / "moved.txt").open("a") as file:
        file.write("One more goat of 3 went home.\n")
    said = resumed(colaflex_command, tiny, folder, *sets)
    assert "holds a run of this spec on other data" in said
    assert "the data, documents or tokenizer, is not the same: " in said and "corpus." not in said
    said = resumed(colaflex_command, tiny, folder, *sets, "seed=4")
    assert "holds a run of another spec" in said
    assert "seed: 0 -> 4" in said and "the data, documents or tokenizer" in said


def test_another_version_of_a_component_is_said_to_be_that(
    colaflex_command: Command, finished: Path, tiny: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / "manifest.json").unlink(missing_ok=True)
    identity = json.loads((folder / "run.json").read_text())
    identity["components"]["prior"][1] = "0"
    (folder / "run.json").write_text(json.dumps({**identity, "spec_digest": "0" * 64}))
    said = resumed(colaflex_command, tiny, folder)
    assert "\n  prior: version 0 -> 1 of colaflex:flow_matching\n" in said
    del identity["components"]  # as older runs have it
    (folder / "run.json").write_text(json.dumps({**identity, "spec_digest": "0" * 64}))
    assert "its spec reads the same: a component has changed" in resumed(
        colaflex_command, tiny, folder
    )
    (folder / "spec.yaml").write_text("prior: {type: of_a_plugin_that_is_gone}\n")
    assert "whose spec.yaml can't be compared" in resumed(colaflex_command, tiny, folder)


@pytest.mark.parametrize(
    "sets",
    [
        ["evaluation.samples=8"],
        ["sampling.steps=4", "sampling.guidance=2"],
        ["evaluation.judge.enabled=false"],
        ["evaluation.sweep_steps=[1, 3]", "sampling.temperature=0.5"],
        ["evaluation.tasks=[last_word]"],
    ],
)
def test_what_only_measures_is_sent_to_evaluate(
    sets: list[str], colaflex_command: Command, finished: Path, tiny: Path
) -> None:
    said = resumed(colaflex_command, tiny, finished, *sets)
    assert f"colaflex evaluate {finished} --set " in said
    for each in sets:
        key = each.partition("=")[0]
        assert f"--set '{key}" in said or f"--set {key}" in said, said


def test_a_mistyped_folder_holds_nothing_to_resume(
    colaflex_command: Command, finished: Path, tiny: Path, tmp_path: Path
) -> None:
    (tmp_path / "runs").mkdir()
    shutil.copytree(finished, tmp_path / "runs/plain")
    shutil.copytree(finished, tmp_path / "runs/seeds/seed-0")
    (tmp_path / "runs/empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    for name, message in {
        "runs/plian": f"there is no such folder; did you mean {tmp_path / 'runs/plain'}?",
        "run/plain": f"there is no such folder; did you mean {tmp_path / 'runs/plain'}?",
        "runs/Plain": f"did you mean {tmp_path / 'runs/plain'}?",
        "runs/empty": "it is empty",
        "runs/seeds": "it holds the runs seed-0; give --seeds as well",
        "runs/seed": f"did you mean {tmp_path / 'runs/seeds'}?",
        "quite/another/place": "there is no such folder; leave --resume out to begin a run there",
    }.items():
        done = colaflex_command("run", tiny, "--out", tmp_path / name, "--resume")
        assert done.code == 2 and message in done.err, (name, done.err)
        assert "there is nothing to resume: " in done.err and done.err.count("\n") == 1
    done = colaflex_command("run", tiny, "--out", tmp_path / "runs/plain", "--resume", "--seeds", 2)
    assert done.code == 2 and "it holds one run; leave --seeds out" in done.err
    assert sorted(tmp_path.rglob("*")) == before


def test_commands_on_a_mistyped_run_name_the_nearest(
    colaflex_command: Command, finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "plain")
    for command in ("generate", "evaluate"):
        done = colaflex_command(command, tmp_path / "plian")
        assert done.code == 2 and f"did you mean {tmp_path / 'plain'}?" in done.err
