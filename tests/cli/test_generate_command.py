"""`colaflex generate`: prompts from everywhere, one JSON document, wrong values told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]


@pytest.fixture
def generate(colaflex_command: Command, finished: Path) -> Command:
    def call(*arguments: object) -> Any:
        return colaflex_command("generate", finished, "--max-new-tokens", 12, *arguments)

    return call


def test_json_is_a_list_of_continuations_and_a_pure_function(generate: Command) -> None:
    arguments = ["--json", "--prompt", "The painter", "--prompt", "", "--prompt", "café 🙂"]
    done = generate(*arguments)
    assert done.code == 0 and done.err == ""
    assert [row["prompt"] for row in done.json] == ["The painter", "", "café 🙂"]
    for row in done.json:
        assert list(row) == ["prompt", "text", "tokens", "finish"]
        assert row["finish"] in ("end", "length") and len(row["tokens"]) <= 12
    assert "café 🙂" in done.out  # as text, not as escapes
    assert generate(*arguments).out == done.out
    assert generate(*arguments, "--seed", 1, "--temperature", 1).out != done.out


def test_no_prompt_is_an_empty_one(generate: Command) -> None:
    assert generate("--json").json == generate("--json", "--prompt", "").json


def test_text_is_prompt_and_continuation(generate: Command) -> None:
    (row,) = generate("--json", "--prompt", "The").json
    assert generate("--prompt", "The").out == f"The{row['text']}\n"
    several = generate("--prompt", "The", "--prompt", "A").out
    assert several.count("---\n") == 2 and several.startswith("The")


@pytest.mark.parametrize("prompt", ["The", "", "東京"])
def test_a_stream_prints_the_same_text(generate: Command, prompt: str) -> None:
    plain = generate("--prompt", prompt, "--temperature", 1)
    assert generate("--prompt", prompt, "--temperature", 1, "--stream").out == plain.out


@pytest.mark.parametrize("limit", [0, 1])
def test_few_or_no_new_tokens(colaflex_command: Command, finished: Path, limit: int) -> None:
    done = colaflex_command(
        "generate", finished, "--max-new-tokens", limit, "--prompt", "The", "--json"
    )
    (row,) = done.json
    assert len(row["tokens"]) <= limit
    assert row["finish"] == "length" or not row["tokens"]


def test_every_option_is_taken(generate: Command) -> None:
    options = {
        "--steps": 3,
        "--guidance": 2.5,
        "--temperature": 0.7,
        "--top-k": 5,
        "--top-p": 0.9,
        "--repetition-penalty": 1.2,
        "--seed": 7,
        "--device": "cpu",
    }
    given = [str(part) for option in options.items() for part in option]
    done = generate("--json", "--prompt", "The", *given)
    assert done.code == 0, done.err
    assert done.json[0]["prompt"] == "The"


def test_prompts_come_from_files(generate: Command, tmp_path: Path) -> None:
    text = tmp_path / "prompts.txt"
    # A line separator and a form feed end no line of a file.
    text.write_bytes("\ufeffThe\r\n\nA\u2028B\x0cC\n".encode())
    prompts = ["The", "", "A\u2028B\x0cC"]
    done = generate("--json", "--prompts", text)
    assert [row["prompt"] for row in done.json] == prompts
    lines = tmp_path / "prompts.jsonl"
    rows = [json.dumps({"prompt": p, "id": 1}, ensure_ascii=False) + "\n" for p in prompts]
    lines.write_text("\n".join(rows))  # with blank lines between
    assert generate("--json", "--prompts", lines).json == done.json


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "a.txt: holds no prompt"),
        ("a.txt", b"The\n\xff", r"a.txt:2: not UTF-8 (byte 0xff"),
        (
            "a.jsonl",
            b'{"prompt": "a"}\n{"text": "b"}\n',
            "a.jsonl:2: the field 'prompt' is missing",
        ),
        ("a.jsonl", b'{"prompt": null}\n', "a.jsonl:1: prompt: expected text, got null"),
        ("a.jsonl", b'["prompt"]\n', "a.jsonl:1: expected a JSON object"),
        ("a.jsonl", b'{"prompt": "\\ud800"}\n', "is no UTF-8 text"),
        ("a.jsonl", b'{"prompt": "a"\n', "a.jsonl:1: not readable as JSON"),
    ],
)
def test_wrong_files_are_one_message(
    generate: Command, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    refused(generate("--prompts", path), message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prompt", "a", "--prompts", "b.txt"], "give --prompt or --prompts, not both"),
        (["--prompts", "nowhere.txt"], "nowhere.txt: there is no such file"),
        (["--prompt", "a", "--prompt", "b", "--stream"], "--stream prints one prompt's text"),
        (["--stream", "--json"], "--stream prints one prompt's text"),
        (["--prompt", "\udcff"], "is no UTF-8 text"),
        (["--steps", "0"], "--steps"),
        (["--steps", "many"], "--steps"),
        (["--guidance", "-1"], "--guidance"),
        (["--guidance", "nan"], "--guidance: expected a finite number"),
        (["--temperature", "inf"], "--temperature: expected a finite number"),
        (["--top-p", "0"], "--top-p"),
        (["--top-p", "1.5"], "--top-p"),
        (["--top-k", "-1"], "--top-k"),
        (["--repetition-penalty", "0"], "--repetition-penalty"),
        (["--max-new-tokens", "-1"], "--max-new-tokens"),
        (["--promt", "a"], "--promt"),
        (["--device", "cuda"], "this machine has no CUDA device; choose cpu or auto"),
        (["--device", "gpu"], "--device gpu: no such device; choose from auto, cpu, cuda, cuda:N"),
        (["--device", "meta"], "no such device"),
    ],
)
def test_wrong_arguments_are_one_message(
    generate: Command, arguments: list[str], message: str
) -> None:
    refused(generate(*arguments), message)


def test_a_prompt_that_is_cut_is_told_on_stderr(generate: Command) -> None:
    long = "Bob is a painter. " * 80
    for way in (["--json"], ["--stream"], []):
        done = generate("--prompt", long, "--max-new-tokens", 2, *way)
        assert done.code == 0
        assert done.err.startswith("warning: the prompt is longer than what the model learned from")
        assert done.err.count("\n") == 1
        assert generate("--prompt", "Bob", "--max-new-tokens", 2, *way).err == ""


def test_options_without_effect_are_told(
    generate: Command, colaflex_command: Command, tiny: Path, tmp_path: Path
) -> None:
    import colaflex

    assert generate("--steps", 1, "--guidance", 2).err == ""
    folder = tmp_path / "run"
    quick = {"evaluation.likelihood": False, "training.steps": 2, "evaluation.samples": 2}
    spec = colaflex.Spec.load(tiny).override({"baseline": "autoregressive", **quick})
    colaflex.run(spec, out=folder)
    plain = colaflex_command("generate", folder, "--max-new-tokens", 4, "--json")
    done = colaflex_command(
        "generate", folder, "--max-new-tokens", 4, "--json", "--steps", 3, "--guidance", 2
    )
    assert done.err.splitlines() == [
        "--steps has no effect: this model (autoregressive) takes no notice",
        "--guidance has no effect: this model (autoregressive) takes no notice",
    ]
    assert plain.err == "" and done.out == plain.out


def test_a_folder_that_is_no_run_is_refused(colaflex_command: Command, tmp_path: Path) -> None:
    refused(colaflex_command("generate", tmp_path), "is no run folder")
    refused(colaflex_command("generate", tmp_path / "x"), "there is no such run folder")


def refused(done: Any, message: str) -> None:
    assert done.code == 2
    assert message in done.err and done.err.count("Error: ") == 1
    assert "Traceback" not in done.err and done.out == ""
