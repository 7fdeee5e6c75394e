"""The task `generative`: what a task file says of the user's rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import colaflex
from colaflex.errors import UserError
from colaflex.files.yaml import read_file
from colaflex.host.registry import registry
from colaflex.interfaces.task import TaskSource, first_line_with_a_word

PAPER = {
    "lambada": (0, "first_word"),
    "mmlu": (2, "option"),
    "obqa": (2, "option"),
    "hellaswag": (2, "text"),
    "race": (1, "option"),
    "siqa": (2, "option"),
    "squad": (1, "text"),
    "story_cloze": (2, "text"),
}
TASKS = Path(colaflex.__file__).parent / "tasks"


def task(folder: Path, rows: list[dict[str, Any]], **options: Any) -> Any:
    (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    source = TaskSource(data=folder)
    return colaflex.build("task", "generative", data="rows.jsonl", source=source, **options)


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_tasks_are_what_their_files_say(name: str) -> None:
    shots, answer = PAPER[name]
    config: Any = registry().config("task", name)
    assert (config.shots, config.answer) == (shots, answer)
    assert (config.data, config.max_new_tokens, config.cut) == (f"{name}.jsonl", 32, "line")
    assert config.scorer.type == "exact" and config.title == name
    for key, node in read_file(TASKS / f"{name}.yaml").entries.items():
        found = config.scorer.type if key == "scorer" else getattr(config, key)
        assert found == node.plain, key
    changed: Any = registry().config("task", {"type": name, "scorer": "best_option", "shots": 5})
    assert (changed.scorer.type, changed.shots, changed.answer) == ("best_option", 5, answer)


def test_no_task_file_holds_a_prefix_or_an_item() -> None:
    allowed = {"data", "shots", "answer", "cut", "max_new_tokens", "scorer"}
    files = sorted(TASKS.glob("*.yaml"))
    assert {path.stem for path in files} == set(PAPER)
    for path in files:
        assert set(read_file(path).entries) == allowed


@pytest.mark.parametrize("shape", [{"A": "x"}, "x", 3, None])
def test_choices_of_any_shape_may_stand_beside_an_answer_that_needs_none(
    tmp_path: Path, shape: object
) -> None:
    rows = [{"prompt": "Who?", "ground_truth": "me", "choices": shape}]
    (item,) = task(tmp_path, rows, answer="text").items()
    assert item.choices == ()
    if shape is not None:
        with pytest.raises(UserError, match="expected a list of texts"):
            list(task(tmp_path, rows, answer="option").items())


def test_the_model_reads_prefix_and_prompt(tmp_path: Path) -> None:
    rows = [
        {"id": "x", "prompt": "Who?", "ground_truth": "me", "few_shot_prefix": "Why? So.\n\n"},
        {"id": 2, "prompt": "When?", "ground_truth": "now", "choices": ["now", "never"]},
    ]
    first, second = task(tmp_path, rows, answer="option").items()
    assert first.prompts == ("Why? So.\n\nWho?",) and first.truth == "me" and first.choices == ()
    assert second.prompts == ("When?",) and second.choices == ("now", "never")
    assert second.form == "option" and second.place == f"{tmp_path / 'rows.jsonl'}:2"
    assert len(list(task(tmp_path, rows, items=1).items())) == 1


def test_a_prompt_is_made_of_the_rows_fields(tmp_path: Path) -> None:
    rows = [{"q": "{x} or {y}?", "options": ["x", "y"], "label": "B", "{": 1}]
    made = task(
        tmp_path,
        rows,
        prompt="Q: {q}\n{options}\nA:",
        fields={"truth": "label", "choices": "options"},
    )
    (item,) = made.items()
    assert item.prompts == ("Q: {x} or {y}?\n(A) x\n(B) y\nA:",)
    assert item.truth == "B" and item.choices == ("x", "y")
    with pytest.raises(UserError, match=r"rows.jsonl:1: the field 'p' is missing"):
        list(task(tmp_path, rows, prompt="{p}", fields={"truth": "label"}).items())


def test_a_prefix_may_be_a_file_of_the_users(tmp_path: Path) -> None:
    rows = [{"prompt": "Who?", "ground_truth": "me", "few_shot_prefix": "not this"}]
    prefix = tmp_path / "shots.txt"
    prefix.write_text("Example.\n")
    (item,) = task(tmp_path, rows, prefix_file=prefix).items()
    assert item.prompts == ("Example.\nWho?",)
    with pytest.raises(
        UserError, match=r"the prefix can't be read: .*none.txt: there is no such file"
    ):
        list(task(tmp_path, rows, prefix_file=tmp_path / "none.txt").items())


def test_stored_answers_need_no_prompt_and_stay_as_they_are(tmp_path: Path) -> None:
    rows = [{"ground_truth": "me", "generate": " me\nQuestion: who"}]
    made = task(tmp_path, rows)
    (stored,) = made.stored(tmp_path / "rows.jsonl")
    # Stored answers are cut already: what they hold is scored.
    assert stored.answer == " me\nQuestion: who" and stored.item.truth == "me"
    with pytest.raises(UserError, match=r"rows.jsonl:1: the field 'generate' is missing"):
        list(task(tmp_path, [{"ground_truth": "me"}]).stored(tmp_path / "rows.jsonl"))


def test_without_data_it_says_what_is_missing() -> None:
    made = colaflex.build("task", "lambada", source=TaskSource())
    with pytest.raises(UserError, match=r"lambada reads the file lambada.jsonl .* --data"):
        list(made.items())


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (" one\ntwo", " one"),
        ("\n\n one\ntwo", "\n\n one"),
        ("no end", "no end"),
        ("?!\none\ntwo", "?!\none"),
        ("_\nrest", "_"),
        ("\n\n", "\n\n"),
        ("one\n", "one"),
        ("", ""),
    ],
)
def test_an_answer_ends_at_the_first_newline_behind_a_word(text: str, answer: str) -> None:
    assert first_line_with_a_word(text) == answer


@given(st.text(alphabet="ab .\n_"))
def test_what_is_cut_is_not_cut_again(text: str) -> None:
    answer = first_line_with_a_word(text)
    assert text.startswith(answer) and first_line_with_a_word(answer) == answer
    assert answer == text or text[len(answer)] == "\n"
