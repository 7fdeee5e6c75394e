"""The task `generative`: prompts of a file of the user's, continued and compared."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path

from colaflex.errors import UserError
from colaflex.files.json_lines import MAX_LINE
from colaflex.files.reading import read_text
from colaflex.interfaces.task import Task
from colaflex.interfaces.task_item import StoredAnswer, TaskItem
from colaflex.tasks.configs import GenerativeTaskConfig
from colaflex.tasks.rows import Row, read_rows

__all__ = ["GenerativeTask"]

FIELD = re.compile(r"\{(\w+)\}")


class GenerativeTask(Task):
    """What a task file describes: every row a prompt, greedily continued.

    The model reads prefix and prompt, nothing between them. The protocol is that of Cola DLM's
    eight tasks (arXiv 2605.06548).
    """

    config: GenerativeTaskConfig

    def items(self) -> Iterator[TaskItem]:
        """The rows of `data` in the folder of data."""
        if self.source.data is None:
            raise UserError(
                f"the task {self.config.title} reads the file {self.config.data} of yours; "
                "pass its folder with --data"
            )
        rows = read_rows(self.source.data / self.config.data)
        for row in islice(rows, self.config.items):
            yield self._item(row, self._prompt(row))

    def stored(self, path: Path) -> Iterator[StoredAnswer]:
        """The rows of a file of stored answers, as they are; their prompts may be missing."""
        for row in read_rows(path):
            answer = row.text(self.config.fields.generated)
            yield StoredAnswer(self._item(row, ""), answer)

    def answer(self, text: str) -> str:
        """Generated text up to the first newline behind a word, or all of it."""
        return text if self.config.cut == "none" else super().answer(text)

    def _item(self, row: Row, prompt: str) -> TaskItem:
        names, form = self.config.fields, self.config.answer
        # Where no option is asked for, choices of any shape may stand beside the answer.
        read = form == "option" or isinstance(row.values.get(names.choices), list)
        choices = row.texts(names.choices) if read else ()
        return TaskItem((prompt,), row.text(names.truth), choices, form, row.place)

    def _prompt(self, row: Row) -> str:
        prefix = self._prefix
        if prefix is None:
            prefix = row.optional(self.config.fields.prefix)
        return prefix + FIELD.sub(lambda match: _shown(row, match[1]), self.config.prompt)

    @cached_property
    def _prefix(self) -> str | None:
        path = self.config.prefix_file
        if path is None:
            return None
        try:
            return read_text(path, MAX_LINE)
        except UserError as error:
            raise UserError(f"the prefix can't be read: {error}") from None


def _shown(row: Row, field: str) -> str:
    """A field of a row as a prompt shows it."""
    if not isinstance(row.values.get(field), list):
        return row.text(field)
    return "\n".join(f"({chr(65 + i)}) {text}" for i, text in enumerate(row.texts(field)))
