"""What a task promises."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from colaflex.errors import UserError
from colaflex.host.registry import registry
from colaflex.interfaces.corpus import Corpus
from colaflex.interfaces.scorer import Scorer
from colaflex.interfaces.task import Task, TaskSource
from colaflex.interfaces.task_item import TaskItem
from colaflex.testing.results import Fault, NotApplicable
from colaflex.testing.subject import Subject

__all__ = ()

FIRST = 50
"""Items that are looked at."""
CHOICES = ("a cold winter", "the long bridge", "seven apples", "nobody at all")
ROWS = [
    {
        "id": index,
        "prompt": f"Question {index}: which of the four is it?",
        "ground_truth": CHOICES[index % len(CHOICES)],
        "choices": CHOICES,
        "generate": CHOICES[index % len(CHOICES)],
    }
    for index in range(8)
]
NONSENSE = "xyzzy plugh"


def _source(subject: Subject) -> TaskSource:
    """Stories of a known grammar, and a folder with the file that the task reads, if it does."""
    corpus: Corpus = registry().build(
        registry().config("corpus", {"type": "worlds", "documents": 1, "test_documents": 40})
    )
    documents = [each.text for each in corpus.documents() if each.split == "test"]
    data = getattr(subject.config, "data", None)
    folder = None
    if isinstance(data, str):
        home: tempfile.TemporaryDirectory[str] = subject.once(
            "data", lambda: tempfile.TemporaryDirectory(prefix="colaflex-check-")
        )
        folder = Path(home.name)
        if not (folder / data).exists():  # an absolute path is the component's own file
            (folder / data).write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    return TaskSource(folder, documents, corpus.truth())


def _task(subject: Subject) -> Task:
    task: Task = subject.build(source=subject.once("source", lambda: _source(subject)))
    return task


def _items(task: Task) -> list[TaskItem]:
    try:
        return list(islice(task.items(), FIRST))
    except UserError as error:
        raise NotApplicable(f"it finds no items in the kit's texts: {error}") from error


def _scorer(subject: Subject) -> Scorer | None:
    named = getattr(subject.config, "scorer", None)
    return None if named is None else registry().build(named)


def items(subject: Subject) -> None:
    """There are items, each with prompts and a right answer."""
    items_ = _items(_task(subject))
    if not items_:
        raise Fault("it has no items")
    for item in items_:
        if not isinstance(item, TaskItem):
            raise Fault(f"items() yields {type(item).__name__}, expected TaskItem")
        texts: Sequence[object] = (*item.prompts, item.truth, *item.choices)
        if not item.prompts or not all(isinstance(text, str) for text in texts):
            raise Fault(f"an item is {item!r}, expected texts, and at least one prompt")


def repeatable(subject: Subject) -> None:
    """Every reading gives the same items in the same order, also by another instance."""
    task = _task(subject)
    first = _items(task)
    random.seed(5)
    if _items(_task(subject)) != first:
        raise Fault("another instance gives other items, or in another order")
    random.seed(6)
    if _items(task) != first:
        raise Fault("read again, the items are others, or in another order")


def judges(subject: Subject) -> None:
    """The truth is a right answer to every item, and nonsense to none or few of them."""
    task, scorer = _task(subject), _scorer(subject)
    items_ = _items(task)

    def right(item: TaskItem, text: str) -> bool:
        return task.right(item, [task.answer(text) for _ in item.prompts], scorer)

    for item in items_:
        if not right(item, item.truth):
            raise Fault(f"the truth {item.truth!r} is no right answer to {item.prompts[-1]!r}")
    lucky = sum(right(item, NONSENSE) for item in items_)
    if lucky > len(items_) / 2:
        raise Fault(f"{NONSENSE!r} is a right answer to {lucky} of {len(items_)} items")


def cuts(subject: Subject) -> None:
    """What is cut once is not cut again, and an answer is the beginning of what was said."""
    task = _task(subject)
    for text in ("", "\n one word\nand another", "no end", "\n\n", "first.\n\nsecond"):
        answer = task.answer(text)
        if not text.startswith(answer) or task.answer(answer) != answer:
            raise Fault(f"of {text!r} it takes {answer!r}, and of that {task.answer(answer)!r}")
