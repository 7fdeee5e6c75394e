"""Files of prompts: one a line, or JSON lines. Imports no torch."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from colaflex.errors import UserError
from colaflex.files.formats import refuse_name
from colaflex.files.json_lines import JSON_LINES, json_object, lines_of, text_of
from colaflex.files.reading import open_regular

__all__ = ["MAX_BYTES", "MAX_PROMPTS", "read_prompts"]

MAX_BYTES = 16 << 20
MAX_PROMPTS = 100_000
LONGEST_LINE = 1 << 20
KEY = "prompt"


def read_prompts(path: Path) -> list[str]:
    """The prompts of a file: one a line, or the `prompt` of every line of a .jsonl or .ndjson.

    An empty line of text is an empty prompt; an empty one of JSON lines is passed over.

    Raises:
        UserError: the file can't be read, holds no text or too much of it, or a line holds no
            prompt.
    """
    refuse_name(path, KEY)
    with open_regular(path) as file:
        size = file.seek(0, io.SEEK_END)
    if size > MAX_BYTES:
        raise UserError(f"{path}: has {size:,} bytes, at most {MAX_BYTES:,} of prompts are read")
    prompts: list[str] = []
    for prompt in _json(path) if path.suffix.lower() in JSON_LINES else _plain(path):
        prompts.append(prompt)
        if len(prompts) > MAX_PROMPTS:
            raise UserError(f"{path}: holds more than {MAX_PROMPTS:,} prompts; split the file")
    if not prompts:
        raise UserError(f"{path}: holds no prompt")
    return prompts


def _json(path: Path) -> Iterator[str]:
    for place, raw in lines_of(path, LONGEST_LINE):
        if raw.strip():
            item = json_object(raw, place)
            if (text := text_of(item, KEY, place)) != item[KEY]:
                raise UserError(f"{place}: the prompt {item[KEY]!r} is no UTF-8 text")
            yield text


def _plain(path: Path) -> Iterator[str]:
    # Not splitlines: prose holds characters that are line ends to it alone.
    for place, raw in lines_of(path, LONGEST_LINE):
        if b"\0" in raw:
            raise UserError(f"{place}: holds a NUL, which no text has")
        try:
            yield raw.removesuffix(b"\n").removesuffix(b"\r").decode()
        except UnicodeDecodeError as error:
            byte = raw[error.start]
            raise UserError(f"{place}: not UTF-8 (byte {byte:#04x} of the line)") from None
