"""Tasks by name or by file, and in a spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from colaflex.errors import UserError
from colaflex.spec import Spec
from colaflex.spec.tasks import scored_by, task_named


def write(folder: Path, text: str, name: str = "my-task.yaml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_a_task_file_is_a_generative_task_called_after_the_file(tmp_path: Path) -> None:
    config: Any = task_named(write(tmp_path, "data: rows.jsonl\nprefix_file: shots.txt\n"))
    assert (config.type, config.title, config.data) == ("generative", "my_task", "rows.jsonl")
    assert config.prefix_file == tmp_path / "shots.txt"  # relative to the task file
    assert config.scorer.type == "exact" and config.answer == "text"


def test_a_task_file_may_build_on_any_task(tmp_path: Path) -> None:
    config: Any = task_named(write(tmp_path, "{type: mmlu, name: mine, scorer: best_option}"))
    assert (config.title, config.answer, config.shots) == ("mine", "option", 2)
    assert config.scorer.type == "best_option" and config.data == "mmlu.jsonl"
    words: Any = task_named(write(tmp_path, "{type: last_word, most_words: 20}"))
    assert words.most_words == 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: rows.jsonl\nanswr: text\n", r"my-task.yaml:2:1: answr: unknown key.*`answer`"),
        ("data: rows.jsonl\nanswer: word\n", r"my-task.yaml:2:9: answer: expected one of"),
        ("answer: text\n", r"my-task.yaml:1:1: data: required"),
        ("data: 3\n", r"my-task.yaml:1:7: data: expected text"),
        ("data: ''\n", r"my-task.yaml:1:7: data: "),
        ("data: a\nscorer: exat\n", r"my-task.yaml:2:9: .*unknown scorer 'exat'; did you mean"),
        ("data: a\nmax_new_tokens: 0\n", r"my-task.yaml:2:17: max_new_tokens: expected"),
        ("data: a\nfields: {answer: b}\n", r"my-task.yaml:2:10: fields.answer: unknown key"),
        ("data: a\nname: a b\n", r"my-task.yaml:2:7: name: "),
        ("type: lambda\n", r"my-task.yaml:1:7: type: unknown task 'lambda'; did you mean"),
        ("- data\n", r"expected a map with the options of a task"),
        ("", r"expected a map with the options of a task"),
        ("data: [\n", r"my-task.yaml:\d.*not valid YAML"),
    ],
)
def test_a_wrong_task_file_is_told_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        task_named(write(tmp_path, text))


def test_a_wrong_name_or_path_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown task 'lambda'; did you mean 'lambada'"):
        task_named("lambda")
    write(tmp_path, "data: a\n")
    with pytest.raises(UserError, match=r"no such file; did you mean `my-task\.yaml`"):
        task_named(str(tmp_path / "my-tsk.yaml"))
    with pytest.raises(UserError, match=r"generative needs options \(data\); .* task file"):
        task_named("generative")


def test_another_scorer(tmp_path: Path) -> None:
    changed: Any = scored_by(task_named("mmlu"), "best_option")
    assert changed.scorer.type == "best_option" and changed.answer == "option"
    assert scored_by(changed, None) is changed
    with pytest.raises(UserError, match="unknown scorer 'best'"):
        scored_by(task_named("mmlu"), "best")
    with pytest.raises(UserError, match="worlds_cloze judges its answers itself"):
        scored_by(task_named("worlds_cloze"), "exact")


def test_a_spec_names_tasks_and_keeps_them(tmp_path: Path) -> None:
    tasks = ["worlds_cloze", {"type": "last_word", "items": 5, "name": "words"}]
    spec = Spec.parse({"corpus": "worlds", "evaluation": {"tasks": tasks}})
    assert [task.title for task in spec.evaluation.tasks] == ["worlds_cloze", "words"]
    saved = Spec.parse(spec.resolved())
    assert saved.evaluation == spec.evaluation and saved.digest("d") == spec.digest("d")
    plain = Spec.parse({"corpus": "worlds"})
    assert spec.digest("d") != plain.digest("d")
    assert plain.override({"evaluation.tasks": []}).digest("d") == plain.digest("d")
    set_ = plain.override({"evaluation.tasks": tasks})
    assert set_.evaluation == spec.evaluation


def test_a_task_in_a_list_is_set_by_its_index() -> None:
    tasks = ["worlds_cloze", {"type": "last_word", "items": 5, "name": "words"}]
    spec = Spec.parse({"corpus": "worlds", "evaluation": {"tasks": tasks}})
    changed: Any = spec.override({"evaluation.tasks.1.items": 7}).evaluation.tasks
    assert (changed[1].title, changed[1].items, changed[0].title) == ("words", 7, "worlds_cloze")
    longer: Any = spec.override({"evaluation.tasks.0.items": 3}).evaluation.tasks
    assert (longer[0].type, longer[0].items) == ("worlds_cloze", 3)
    other: Any = spec.override({"evaluation.tasks.1": "next_sentence"}).evaluation.tasks
    assert [task.title for task in other] == ["worlds_cloze", "next_sentence"]
    with pytest.raises(UserError, match=r"no item 2: the list has 2"):
        spec.override({"evaluation.tasks.2.items": 7})


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (["lambada"], r"evaluation.tasks.0: the task lambada reads data .* --task lambada --data"),
        (["worlds_order", "worlds_order"], r"evaluation.tasks.1: a task is called worlds_order"),
        (["worlds_ordr"], r"evaluation.tasks.0: unknown task 'worlds_ordr'; did you mean"),
        ([{"type": "last_word", "item": 3}], r"evaluation.tasks.0.item: unknown key.*`items`"),
        ("worlds_order", r"evaluation.tasks: expected a list"),
    ],
)
def test_tasks_that_a_spec_cannot_have(tasks: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Spec.parse({"corpus": "worlds", "evaluation": {"tasks": tasks}})
