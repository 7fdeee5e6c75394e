"""Tasks put to a model: every prompt continued greedily, every answer judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from colaflex.corpora.token_index import SplitIndex
from colaflex.corpora.tokenizer import Tokenizer
from colaflex.evaluation.plan import EvaluationPlan
from colaflex.evaluation.scoring import accuracies, build_task
from colaflex.generation.text import GenerationOptions, TextGenerator, unheard
from colaflex.interfaces.configs import SegmenterConfig, TaskConfig
from colaflex.interfaces.language_model import LanguageModel
from colaflex.interfaces.scorer import Scorer
from colaflex.interfaces.task import Task, TaskSource
from colaflex.interfaces.task_item import TaskItem
from colaflex.metrics.measurements import Measurements
from colaflex.training.watcher import Watcher, counter

__all__ = ["HeldOutTexts", "TaskSuite", "patch_of"]


@dataclass(frozen=True)
class HeldOutTexts:
    """The documents of a split as the tokenizer writes them, read anew at every iteration."""

    index: SplitIndex
    tokenizer: Tokenizer

    def __iter__(self) -> Iterator[str]:
        for number in range(len(self.index)):
            yield self.tokenizer.decode(self.index.document(number))


@dataclass(frozen=True)
class _Entry:
    """A task with its scorer and all its items."""

    config: TaskConfig
    task: Task
    scorer: Scorer | None
    items: Sequence[TaskItem]


class TaskSuite:
    """Some tasks with their items, ready to be put to a model.

    Args:
        plan: which tasks, the longest prompt (a longer one loses patches at its beginning), the
            patch, and the seed of the latents' draws.
        source: what the items are drawn from.
        options: the spec's sampling, of which the latents' part is kept; tokens, and drawn
            estimates of latents, are the most probable ones, as many as the task says.

    Raises:
        UserError: a task can't draw its items from the source.
    """

    def __init__(
        self, plan: EvaluationPlan, source: TaskSource, options: GenerationOptions
    ) -> None:
        self.plan = plan
        sharp = {"estimate_temperature": 0.0} if options.estimate == "draw" else {}
        self.options = options.but(
            temperature=0.0, top_k=0, top_p=1.0, repetition_penalty=1.0, **sharp
        )
        self._entries = [self._entry(config, source) for config in plan.tasks]

    @staticmethod
    def _entry(config: TaskConfig, source: TaskSource) -> _Entry:
        task, scorer = build_task(config, source)
        return _Entry(config, task, scorer, list(task.items()))

    def measure(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        say: Callable[[str], None],
        progress: Watcher | None = None,
    ) -> Measurements:
        """`task.<name>.accuracy` of every task, whole and by prompt length modulo the patch.

        The length is that of an item's first prompt, as the model reads it.
        """
        generator, measurements = TextGenerator(model, tokenizer), Measurements()
        for entry in self._entries:
            name = entry.config.title
            say(f"evaluation: task {name}")
            texts = [prompt for item in entry.items for prompt in item.prompts]
            whole = tokenizer.encode_batch(texts)
            prompts = [self._cut(row) for row in whole]
            if cut := unheard(model, whole):
                say(f"evaluation: task {name}: {cut}")
            options = self.options.but(max_new_tokens=entry.config.max_new_tokens)
            tell = counter(progress, f"evaluation: task {name}", "prompts")
            rows = generator.generate_tokens(prompts, options, self.plan.seed, tell)
            continued = tokenizer.continued(prompts, [tokens for tokens, _ in rows])
            answered = [text for _, text in continued]
            right, read, start = [], [], 0
            for item in entry.items:
                texts = answered[start : start + len(item.prompts)]
                answers = [entry.task.answer(text) for text in texts]
                right.append(entry.task.right(item, answers, entry.scorer))
                read.append(len(prompts[start]))
                start += len(item.prompts)
            measurements.add(accuracies(name, right, read, self.plan.patch))
        return measurements

    def _cut(self, prompt: list[int]) -> list[int]:
        """The end of a prompt that is too long, without whole patches from its beginning."""
        patch, excess = self.plan.patch, len(prompt) - self.plan.max_tokens
        return prompt[max(0, -(-excess // patch) * patch) :]


def patch_of(segmenter: SegmenterConfig | None) -> int:
    """Tokens of a segment where all are equally long, else 1."""
    if segmenter is None:
        return 1
    able = segmenter.capabilities()
    return 1 if able.variable or able.learned else able.max_segment_tokens
