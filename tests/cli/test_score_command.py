"""`colaflex score`: stored generations, and what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]

# The released generations lie beside the checkout, where they lie at all; nothing of them is ours.
PUBLISHED = {"lambada": "50.80", "mmlu": "19.30", "obqa": "23.00", "hellaswag": "10.70"}


def released(task: str) -> Path:
    for folder in Path(__file__).resolve().parents:
        path = folder / "shared/data/cola_eval" / f"{task}.jsonl"
        if path.is_file():
            return path
    pytest.skip(f"the released generations of {task} are not beside this checkout")


@pytest.mark.parametrize("task", PUBLISHED)
def test_released_generations_have_the_published_accuracy(
    colaflex_command: Command, task: str
) -> None:
    done = colaflex_command("score", task, released(task), "--json")
    assert done.code == 0, done.err
    assert list(done.json) == ["task", "scorer", "n", "accuracy"]
    assert (done.json["task"], done.json["scorer"]) == (task, "exact")
    accuracy = done.json["accuracy"]
    assert f"{100 * accuracy['value']:.2f}" == PUBLISHED[task]
    assert accuracy["low"] < accuracy["value"] < accuracy["high"]
    assert done.json["n"] == accuracy["n"] == (500 if task == "obqa" else 1000)


@pytest.mark.parametrize("task", PUBLISHED)
def test_released_generations_are_cut_already(task: str) -> None:
    from colaflex.interfaces.task import first_line_with_a_word

    rows = [json.loads(line) for line in released(task).read_text("utf-8").splitlines()]
    assert all(first_line_with_a_word(row["generate"]) == row["generate"] for row in rows)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    choices = ["red apple", "green pear", "blue plum"]
    said = ["(A)", " green pear\nQuestion: next", "plum", "", "the answer is C", "D"]
    truth = ["red apple", "green pear", "blue plum", "red apple", "C", "blue plum"]
    rows = [
        {"id": f"row-{i}", "generate": a, "ground_truth": b, "choices": choices}
        for i, (a, b) in enumerate(zip(said, truth, strict=True))
    ]
    path = tmp_path / "stored.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_text_and_json_say_the_same(colaflex_command: Command, stored: Path) -> None:
    done = colaflex_command("score", "siqa", stored, "--json")
    # Right: a letter, a text with more behind it, a letter behind its word; "plum" is no option.
    assert done.json["accuracy"] == {
        "value": 0.5,
        "low": pytest.approx(0.18761, abs=1e-5),  # Wilson's interval of 3 in 6
        "high": pytest.approx(0.81239, abs=1e-5),
        "n": 6,
    }
    done = colaflex_command("score", "siqa", stored)
    assert done.code == 0
    assert [line.split(None, 1) for line in done.out.splitlines()] == [
        ["task", "siqa"],
        ["scorer", "exact"],
        ["n", "6"],
        ["accuracy", "50.00 %  [18.76, 81.24]"],
    ]


def test_another_scorer_and_a_task_file(
    colaflex_command: Command, stored: Path, tmp_path: Path
) -> None:
    done = colaflex_command("score", "siqa", stored, "--scorer", "best_option", "--json")
    assert done.json["scorer"] == "best_option"
    # "plum" is most similar to blue plum, "(A)" to red apple, and "" to the first of all alike;
    # both "the answer is C" and "D" to red apple.
    assert done.json["accuracy"]["value"] == pytest.approx(4 / 6)
    file = tmp_path / "mine.yaml"
    file.write_text("data: stored.jsonl\nanswer: first_word\nfields: {truth: generate}\n")
    done = colaflex_command("score", file, stored, "--json")
    assert done.json["task"] == "mine" and done.json["accuracy"]["value"] == 1.0


def test_rows_without_choices_are_compared_as_texts(
    colaflex_command: Command, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"generate": "Me!", "ground_truth": "me"}\n')
    for task in ("mmlu", "squad", "lambada", "story_cloze"):
        assert colaflex_command("score", task, path, "--json").json["accuracy"]["value"] == 1.0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"generate": "x"}', ":2: the field 'ground_truth' is missing"),
        ('{"generated": "x", "ground_truth": "x"}', "'generate' is missing; did you mean"),
        ('{"generate": "x", "ground_truth": 4}', ":2: ground_truth: expected text, got a number"),
        ('{"generate": "x", "ground_truth": "x", "choices": "x"}', ":2: choices: expected a list"),
        ('{"generate": "x", "ground_truth": "x", "choices": [1]}', ":2: choices.0: expected text"),
        ("not json", ":2: not readable as JSON"),
        ("[1]", ":2: expected a JSON object, got a list"),
    ],
)
def test_wrong_rows_are_told_with_file_and_line(
    colaflex_command: Command, tmp_path: Path, row: str, message: str
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{{"generate": "x", "ground_truth": "x", "choices": ["x", "y"]}}\n{row}\n')
    done = colaflex_command("score", "mmlu", path, "--json")
    assert done.code == 2 and not done.out and "Traceback" not in done.err
    assert f"{path}" in done.err and message in done.err


def test_wrong_names_are_told(colaflex_command: Command, stored: Path) -> None:
    for arguments, message in (
        (["sqad", stored], "unknown task 'sqad'; did you mean 'squad'"),
        (["squad", stored.with_name("stord.jsonl")], "no such file; did you mean 'stored.jsonl'"),
        (["squad", stored, "--scorer", "exat"], "unknown scorer 'exat'; did you mean 'exact'"),
        (["worlds_cloze", stored], "colaflex evaluate RUN --task worlds_cloze"),
        (["no/such.yaml", stored], "no/such.yaml: there is no such file"),
    ):
        done = colaflex_command("score", *arguments)
        assert done.code == 2 and message in done.err and "Traceback" not in done.err


def test_score_never_imports_torch(site: Any, stored: Path) -> None:
    done = site.python(
        "-c",
        "import sys\nfrom colaflex.cli.main import main\n"
        f"assert main(['score', 'mmlu', {str(stored)!r}]) == 0\n"
        "assert 'torch' not in sys.modules",
    )
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout


def test_a_stranger_ships_a_task_file_as_a_component(site: Any, stored: Path) -> None:
    site.add_plugin(
        "quiz",
        """
        import colaflex

        @colaflex.hookimpl
        def colaflex_components():
            return [colaflex.Component(
                "task", "quiz", "colaflex.tasks.generative:GenerativeTask",
                "quiz.config:QuizConfig", "A quiz.",
            )]
        """,
        config="""
        from pathlib import Path

        from colaflex.tasks.task_file import task_config

        QuizConfig = task_config(Path(__file__).with_name("quiz.yaml"))
        """,
    )
    (site.path / "quiz/quiz.yaml").write_text("data: quiz.jsonl\nanswer: option\n")
    done = site.run("score", "quiz", str(stored), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["accuracy"]["value"] == 0.5
    (site.path / "quiz/quiz.yaml").write_text("data: quiz.jsonl\nanswr: option\n")
    done = site.run("score", "quiz", str(stored), "--json")
    assert done.returncode == 2 and "quiz.yaml:2:1: answr: unknown key" in done.stderr
