"""Text of one's own: a file, a folder or a glob of txt, JSON lines or parquet."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from colaflex.corpora.by_content import ByContentConfig
from colaflex.corpora.reading import (
    EncodingErrors,
    read_json_lines,
    read_parquet,
    read_pieces,
)
from colaflex.draws import stable_digest
from colaflex.errors import UserError
from colaflex.files import sha256_file
from colaflex.interfaces.corpus import Corpus, Document
from colaflex.reading import user_path

__all__ = ["TextFiles", "TextFilesConfig"]

REVISION = 1
JSON_LINES = (".jsonl", ".ndjson")
READ_IN_FOLDERS = (".txt", ".text", ".md", *JSON_LINES, ".parquet")

logger = logging.getLogger(__name__)


class TextFilesConfig(ByContentConfig):
    """Options of the corpus `text_files`."""

    path: Path = Field(
        description="A file, a folder (read with its sub-folders: "
        + ", ".join(READ_IN_FOLDERS)
        + "), or a glob such as data/**/*.txt.",
    )
    documents: Literal["file", "line", "blank_line", "jsonl"] = Field(
        "blank_line",
        description="What a document is in a text file: the file, a line, what stands between "
        "blank lines, or a JSON object a line (always so in .jsonl and .ndjson).",
    )
    field: str = Field(
        "text", min_length=1, description="Key of the text in JSON lines, its column in parquet."
    )
    encoding_errors: EncodingErrors = Field(
        "error",
        description="Bytes that are not UTF-8: stop with their place, replace them by U+FFFD, or "
        "skip them.",
    )


class TextFiles(Corpus):
    """Documents out of files, in the order of their sorted paths."""

    def __init__(self, config: TextFilesConfig) -> None:
        self.config = config
        self._told: set[Path] = set()

    def files(self) -> list[Path]:
        """The files that are read, sorted by path; raises UserError where there are none."""
        given = user_path(self.config.path)
        if given.is_file():
            return [given]
        if given.is_dir():
            found = [p for p in given.rglob("*") if p.suffix.lower() in READ_IN_FOLDERS]
            expected = f"none of its files ends in {', '.join(READ_IN_FOLDERS)}"
        else:
            found = _matches(given)
            expected = "no such file or folder, and as a glob it matches nothing"
        found = [path for path in found if path.is_file()]
        if not found:
            raise UserError(f"corpus.path: {self.config.path}: {expected}")
        return sorted(found, key=lambda path: path.as_posix())

    def fingerprint(self) -> str:
        """A digest of the options and of all files' content, not of where they lie."""
        options = self.config.model_dump(exclude={"type", "path"})
        try:
            content = [(self._format(path), sha256_file(path)) for path in self.files()]
        except OSError as error:
            raise UserError(f"{error.filename} can't be read: {error.strerror or error}") from error
        return stable_digest("text_files", REVISION, sorted(options.items()), content)

    def documents(self) -> Iterator[Document]:
        """All documents that are more than white space; raises UserError where there are none."""
        empty = True
        for path in self.files():
            for pieces in self._documents_of(path):
                split = None
                for piece in pieces:
                    if not piece.strip():
                        continue
                    # The pieces of a long document stay together, wherever its beginning goes.
                    if split is None:
                        split = self.config.split_of(piece)
                    else:
                        self._tell(path)
                    empty = False
                    yield Document(piece, split)
        if empty:
            raise UserError(f"corpus.path: {self.config.path}: the corpus is empty, no text in it")

    def _format(self, path: Path) -> str:
        suffix = path.suffix.lower()
        if suffix == ".parquet":
            return "parquet"
        return "jsonl" if suffix in JSON_LINES else self.config.documents

    def _documents_of(self, path: Path) -> Iterator[Iterator[str]]:
        config, form = self.config, self._format(path)
        if form in ("file", "line", "blank_line"):
            yield from read_pieces(
                path, form, config.max_document_characters, config.encoding_errors
            )
            return
        if form == "parquet":
            texts = read_parquet(path, config.field)
        else:
            texts = read_json_lines(path, config.field, config.encoding_errors)
        size = config.max_document_characters
        for text in texts:
            yield (text[start : start + size] for start in range(0, len(text), size))

    def _tell(self, path: Path) -> None:
        if path not in self._told:
            self._told.add(path)
            logger.warning(
                "%s: documents longer than %d characters are cut (corpus.max_document_characters; "
                "corpus.documents says what a document is, now %s)",
                path,
                self.config.max_document_characters,
                self._format(path),
            )


def _matches(pattern: Path) -> list[Path]:
    try:
        return list(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))))
    except ValueError as error:
        raise UserError(f"corpus.path: {pattern} is no glob: {error}") from error
