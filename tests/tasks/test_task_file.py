"""Task files as components: what they say are the defaults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from colaflex.files.problems import SpecError
from colaflex.host.registry import registry
from colaflex.tasks.task_file import task_config


def test_what_a_task_file_says_are_the_defaults(write: Callable[..., Path]) -> None:
    path = write(
        "type: generative\ndata: d.jsonl\nfields: {truth: t}\nprefix_file: p", "cap_s.yaml"
    )
    registry()  # resolves the scorer
    config = task_config(path)()
    assert type(config).__name__ == "CapSConfig"
    assert (config.data, config.fields.truth, config.answer) == ("d.jsonl", "t", "text")
    assert config.prefix_file == path.parent / "p"


def test_all_keys_that_a_task_has_not_are_told_with_place_and_hint(
    write: Callable[..., Path],
) -> None:
    path = write("data: d\nprompts: x\nanswr: text\n", "task.yaml")
    with pytest.raises(SpecError) as error:
        task_config(path)
    assert str(error.value).splitlines() == [
        f"{path}:2:1: prompts: unknown key of a task; did you mean `prompt`?",
        f"{path}:3:1: answr: unknown key of a task; did you mean `answer`?",
    ]


def test_a_task_file_holds_a_map(write: Callable[..., Path]) -> None:
    with pytest.raises(SpecError, match="the file is empty; expected a map with the options"):
        task_config(write("", "task.yaml"))
