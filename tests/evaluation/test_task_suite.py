"""Tasks put to a model: what it reads, and how its answers are counted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import colaflex
from colaflex.corpora.tokenizer import Tokenizer, load_tokenizer
from colaflex.corpora.worlds import Worlds
from colaflex.corpora.worlds_process import SentenceDerivation, WorldsConfig
from colaflex.errors import UserError
from colaflex.evaluation.plan import EvaluationPlan
from colaflex.evaluation.scoring import accuracies
from colaflex.evaluation.task_suite import TaskSuite, patch_of
from colaflex.experiment.folder import measurements_json
from colaflex.experiment.measuring import evaluate_tasks
from colaflex.generation.text import GenerationOptions
from colaflex.host.registry import registry
from colaflex.interfaces.language_model import GeneratedTokens, LanguageModel
from colaflex.interfaces.task import TaskSource
from colaflex.metrics.measurements import Measurements
from colaflex.spec import Spec
from colaflex.spec.tasks import task_named
from colaflex.statistics.intervals import wilson


class Parrot(LanguageModel):
    """Says the last words of its prompt again, and keeps what it was asked."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.asked: list[list[int]] = []
        self.limits: list[Any] = []

    def generate_tokens(
        self,
        prompts: Sequence[Sequence[int]],
        seed: int,
        max_new_tokens: int,
        latent_sampling: Any,
        token_sampling: Any,
        earlier: Any = (),
    ) -> Iterator[Sequence[GeneratedTokens]]:
        self.asked += map(list, prompts)
        self.limits.append((max_new_tokens, token_sampling))
        yield [
            GeneratedTokens(row, tuple(prompt[-self.tokens :]), "length")
            for row, prompt in enumerate(prompts)
        ]

    def stages(self) -> Any:
        return ()

    def parts(self) -> dict[str, nn.Module]:
        return {}

    def reconstruct(self, tokens: Any) -> None:
        return None

    def log_likelihood(self, tokens: Any) -> None:
        return None


@pytest.fixture
def tokenizer(finished: Path) -> Tokenizer:
    return load_tokenizer(finished / "tokenizer.json")


def asked(
    folder: Path, rows: Sequence[dict[str, Any]], tokenizer: Tokenizer, **plan: Any
) -> tuple[Parrot, Measurements]:
    (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    options = {"type": "generative", "name": "echo", "data": "rows.jsonl", "max_new_tokens": 9}
    config: Any = registry().config("task", options)
    parrot = Parrot(tokens=3)
    suite = TaskSuite(
        EvaluationPlan(tasks=[config], **plan),
        TaskSource(data=folder),
        GenerationOptions(steps=3, temperature=2.0, top_k=5, repetition_penalty=2.0),
    )
    return parrot, suite.measure(parrot, tokenizer, lambda text: None)


def row(tokenizer: Tokenizer, tokens: Sequence[int], right: bool = True) -> dict[str, str]:
    said = tokenizer.decode(list(tokens)[-3:])
    return {"prompt": tokenizer.decode(tokens), "ground_truth": said if right else "else"}


def letters(tokenizer: Tokenizer, count: int) -> list[int]:
    """So many tokens that no merge joins when they are read again."""
    tokens = tokenizer.encode("z q" * count)[:count]
    assert tokenizer.encode(tokenizer.decode(tokens)) == tokens
    return tokens


def test_accuracy_is_counted_by_prompt_length_modulo_the_patch(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    lengths = [4, 5, 6, 8, 9, 12]
    rows = [row(tokenizer, letters(tokenizer, n), right=n % 4 == 0) for n in lengths]
    _, found = asked(tmp_path, rows, tokenizer, patch=4)
    assert found.metrics == {
        "task.echo.accuracy": wilson(3, 6),
        "task.echo.accuracy.mod0": wilson(3, 3),
        "task.echo.accuracy.mod1": wilson(0, 2),
        "task.echo.accuracy.mod2": wilson(0, 1),
    }
    assert found.items["task.echo.accuracy"].values == (1.0, 0.0, 0.0, 1.0, 0.0, 1.0)
    assert found.items["task.echo.accuracy.mod1"].values == (0.0, 0.0)
    assert all(items.weights is None for items in found.items.values())
    _, found = asked(tmp_path, rows, tokenizer)
    assert list(found.metrics) == list(found.items) == ["task.echo.accuracy"]


def test_generation_is_greedy_and_as_long_as_the_task_says(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    parrot, _ = asked(tmp_path, [row(tokenizer, letters(tokenizer, 5))], tokenizer)
    ((limit, sampling),) = parrot.limits
    assert limit == 9
    assert (sampling.temperature, sampling.top_k, sampling.repetition_penalty) == (0.0, 0, 1.0)


@pytest.mark.parametrize(("estimate", "temperature"), [("draw", 0.0), ("mean", 1.0)])
def test_drawn_estimates_are_the_most_probable(estimate: str, temperature: float) -> None:
    options = GenerationOptions(estimate=estimate)
    suite = TaskSuite(EvaluationPlan(), TaskSource(), options)
    assert suite.options.latents.estimate_temperature == temperature
    assert suite.options.latents.estimate == estimate


@pytest.mark.parametrize(("patch", "heard"), [(1, [10, 10, 9]), (4, [7, 8, 9])])
def test_a_long_prompt_is_heard_from_its_end_in_whole_patches(
    tmp_path: Path, tokenizer: Tokenizer, patch: int, heard: list[int]
) -> None:
    whole = [letters(tokenizer, n) for n in (11, 12, 9)]
    rows = [row(tokenizer, tokens) for tokens in whole]
    parrot, _ = asked(tmp_path, rows, tokenizer, patch=patch, max_tokens=10)
    assert [len(prompt) for prompt in parrot.asked] == heard
    for prompt, tokens in zip(parrot.asked, whole, strict=True):
        assert tokens[-len(prompt) :] == prompt
        assert (len(tokens) - len(prompt)) % patch == 0


def test_every_item_counts_once_in_the_whole_and_once_by_its_length() -> None:
    right, lengths = [True, False, True, True], [3, 4, 5, 7]
    found = accuracies("t", right, lengths, patch=2)
    metrics, items = found.metrics, found.items
    assert metrics["task.t.accuracy"].n == 4
    assert sum(m.n for name, m in metrics.items() if ".mod" in name) == 4
    assert {n: sum(i.values) for n, i in items.items()} == {
        "task.t.accuracy": 3.0,
        "task.t.accuracy.mod0": 0.0,
        "task.t.accuracy.mod1": 3.0,
    }


def test_the_patch_is_that_of_segments_of_one_length() -> None:
    def patch(**segmenter: Any) -> int:
        return patch_of(Spec.parse({"corpus": "worlds", "segmenter": segmenter}).segmenter)

    assert patch(type="fixed_patch", size=4) == 4
    assert patch(type="phrase") == 1
    assert patch_of(None) == 1


def test_a_runs_tasks_are_measured_by_its_own_tokenizer_and_corpus(
    finished: Path, tmp_path: Path
) -> None:
    tasks = [task_named(name) for name in ("worlds_cloze", "worlds_paraphrase", "last_word")]
    found = evaluate_tasks(finished, tasks)
    names = ["worlds_cloze", "worlds_paraphrase", "last_word"]
    assert [found.metrics[f"task.{name}.accuracy"].n for name in names] == [12, 12, 12]
    again = evaluate_tasks(finished, tasks)
    assert again.metrics == found.metrics and again.items == found.items
    for name, items in found.items.items():
        assert found.metrics[name].value == sum(items.values) / len(items.values)


def test_a_spec_measures_its_tasks_as_evaluate_does(
    finished: Path, tiny: Path, tmp_path: Path
) -> None:
    spec = colaflex.Spec.load(tiny).override(
        {"evaluation.tasks": ["worlds_order", "next_sentence"], "evaluation.judge.enabled": False}
    )
    result = colaflex.run(spec, out=tmp_path / "run")
    own = {name: m for name, m in result["metrics"].items() if name.startswith("task.")}
    assert {"task.worlds_order.accuracy", "task.next_sentence.accuracy"} <= set(own)
    # The finished run is the same but for these: weights, tokenizer and documents are its own.
    again = evaluate_tasks(finished, spec.evaluation.tasks)
    assert own == measurements_json(again.metrics)


def test_a_task_that_the_corpus_cannot_give_is_refused_before_training(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(f"A sentence, number {i}. And one more." for i in range(300)))
    spec = Spec.parse(
        {
            "corpus": {"type": "text_files", "path": str(text)},
            "tokenizer": {"vocab_size": 300},
            "evaluation": {"tasks": ["worlds_cloze"]},
        }
    )
    with pytest.raises(UserError, match="worlds_cloze needs a corpus that knows the facts"):
        colaflex.run(spec, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Storyteller(Parrot):
    """Goes on with a story by the grammar itself, at each factor so many values beside it."""

    def __init__(self, world: Any, tokenizer: Tokenizer, beside: int = 0) -> None:
        super().__init__(0)
        self.world, self.tokenizer, self.beside = world, tokenizer, beside

    def generate_tokens(self, prompts: Any, *others: Any) -> Iterator[Sequence[GeneratedTokens]]:
        yield [
            GeneratedTokens(row, tuple(self.tokenizer.encode(self.next(prompt))), "end")
            for row, prompt in enumerate(prompts)
        ]

    def next(self, prompt: Sequence[int]) -> str:
        """The sentence behind a prompt, in the first of its wordings."""
        before = self.world.parse(self.tokenizer.decode(prompt))
        told = {factor: values[0] for factor, values in self.world.mentions(before).items()}
        values = tuple(
            (told.get(factor, 0) + self.beside) % self.world.config.values
            for factor in self.world.mentioned(len(before))
        )
        sentence = SentenceDerivation(len(before), 0, values)
        return f" {self.world.render_sentence(sentence)} And more."


@pytest.mark.parametrize(("beside", "cloze"), [(0, 1.0), (1, 0.0)])
def test_who_knows_the_grammar_and_the_facts_is_always_right(
    tokenizer: Tokenizer, beside: int, cloze: float
) -> None:
    corpus = Worlds(WorldsConfig(documents=1, test_documents=30))
    texts = [each.text for each in corpus.documents() if each.split == "test"]
    names = ["worlds_cloze", "worlds_order", "worlds_paraphrase"]
    plan = EvaluationPlan(tasks=[task_named(name) for name in names], max_tokens=1000)
    suite = TaskSuite(plan, TaskSource(documents=texts, truth=corpus.truth()), GenerationOptions())
    teller = Storyteller(corpus.world, tokenizer, beside)
    found = suite.measure(teller, tokenizer, lambda text: None)
    shares = {name: found.metrics[f"task.{name}.accuracy"].value for name in names}
    # Wrong facts are no fault of order, and the same in both wordings none of consistency.
    assert shares == {"worlds_cloze": cloze, "worlds_order": 1.0, "worlds_paraphrase": 1.0}
