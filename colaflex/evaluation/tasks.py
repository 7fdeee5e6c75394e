"""Tasks put to a model: every prompt continued greedily, every answer judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from colaflex.corpora.token_index import SplitIndex
from colaflex.corpora.tokenizer import Tokenizer
from colaflex.evaluation.scoring import accuracies, build_task
from colaflex.generation.text import GenerationOptions, TextGenerator
from colaflex.interfaces.configs import SegmenterConfig, TaskConfig
from colaflex.interfaces.language_model import LanguageModel
from colaflex.interfaces.metric import Items, Measurement
from colaflex.interfaces.scorer import Scorer
from colaflex.interfaces.task import Task, TaskSource
from colaflex.interfaces.task_item import TaskItem

__all__ = ["HeldOutTexts", "TaskResults", "TaskSuite", "patch_of"]


@dataclass(frozen=True)
class HeldOutTexts:
    """The documents of a split as the tokenizer writes them, read anew at every iteration."""

    index: SplitIndex
    tokenizer: Tokenizer

    def __iter__(self) -> Iterator[str]:
        for number in range(len(self.index)):
            yield self.tokenizer.decode(self.index.document(number))


@dataclass
class TaskResults:
    """Metrics of tasks by name, and the items behind each."""

    metrics: dict[str, Measurement] = field(default_factory=dict)
    items: dict[str, Items] = field(default_factory=dict)


@dataclass(frozen=True)
class _Asked:
    """A task with its scorer and all its items."""

    config: TaskConfig
    task: Task
    scorer: Scorer | None
    items: Sequence[TaskItem]


class TaskSuite:
    """Some tasks with their items, ready to be put to a model.

    Args:
        tasks: which; their names differ.
        source: what their items are drawn from.
        options: the spec's sampling, of which the latents' part is kept; tokens are the most
            probable ones, as many as the task says.
        max_tokens: longest prompt; a longer one is heard from its end.
        patch: tokens of a segment, by which accuracy is broken down; 1: not at all.
        seed: of the latents' draws.

    Raises:
        UserError: a task can't draw its items from the source.
    """

    def __init__(
        self,
        tasks: Sequence[TaskConfig],
        source: TaskSource,
        options: GenerationOptions,
        max_tokens: int,
        patch: int = 1,
        seed: int = 0,
    ) -> None:
        self.options = options.but(temperature=0.0, top_k=0, top_p=1.0, repetition_penalty=1.0)
        self.max_tokens, self.patch, self.seed = max_tokens, patch, seed
        self._asked = [self._ask(config, source) for config in tasks]

    @staticmethod
    def _ask(config: TaskConfig, source: TaskSource) -> _Asked:
        task, scorer = build_task(config, source)
        return _Asked(config, task, scorer, list(task.items()))

    def measure(
        self, model: LanguageModel, tokenizer: Tokenizer, say: Callable[[str], None]
    ) -> TaskResults:
        """`task.<name>.accuracy` of every task, whole and by prompt length modulo the patch.

        The length is that of an item's first prompt, as the model reads it.
        """
        results = TaskResults()
        generator = TextGenerator(model, tokenizer)
        for asked in self._asked:
            name = asked.config.title
            say(f"evaluation: task {name}, {len(asked.items)} items")
            texts = list(chain.from_iterable(item.prompts for item in asked.items))
            prompts = [row[-self.max_tokens :] for row in tokenizer.encode_batch(texts)]
            options = self.options.but(max_new_tokens=asked.config.max_new_tokens)
            rows = generator.generate_tokens(prompts, options, self.seed)
            said = iter(tokenizer.decode_batch([tokens for tokens, _ in rows]))
            lengths = iter(map(len, prompts))
            right, of_first = [], []
            for item in asked.items:
                answers = [asked.task.answer(next(said)) for _ in item.prompts]
                right.append(asked.task.right(item, answers, asked.scorer))
                of_first.append([next(lengths) for _ in item.prompts][0])
            metrics, items = accuracies(name, right, of_first, self.patch)
            results.metrics |= metrics
            results.items |= items
        return results


def patch_of(segmenter: SegmenterConfig | None) -> int:
    """Tokens of a segment where all are equally long, else 1."""
    if segmenter is None:
        return 1
    able = segmenter.capabilities()
    return 1 if able.variable or able.learned else able.max_segment_tokens
