"""Text of one's own: a file, a folder or a glob of txt, JSON lines or parquet."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from colaflex.corpora.by_content import ByContentConfig
from colaflex.corpora.listing import list_files
from colaflex.corpora.readers import (
    CHUNK_BYTES,
    EncodingErrors,
    read_json_lines,
    read_parquet,
    read_pieces,
)
from colaflex.errors import UserError
from colaflex.files.formats import refuse_name
from colaflex.files.json_lines import JSON_LINES
from colaflex.files.reading import open_regular, user_path
from colaflex.interfaces.corpus import Corpus, Document
from colaflex.statistics.draws import stable_digest

__all__ = ["TextFiles", "TextFilesConfig"]

# Raised when the reading or the splits change: it is part of the fingerprint.
REVISION = 2
READ_IN_FOLDERS = (".txt", ".text", ".md", *JSON_LINES, ".parquet")

logger = logging.getLogger(__name__)


class TextFilesConfig(ByContentConfig):
    """Options of the corpus `text_files`."""

    path: Path = Field(
        description="A file, a folder (read with its sub-folders: "
        + ", ".join(READ_IN_FOLDERS)
        + "), or a glob such as data/**/*.txt."
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
        self._warned: set[Path] = set()

    def files(self) -> list[Path]:
        """The files that are read, sorted by path; raises UserError where there are none."""
        pattern = self.config.path
        listing = list_files(pattern, READ_IN_FOLDERS)
        omitted = listing.omissions()
        if not listing.files:
            expected = "no such file or folder, and as a glob it matches nothing"
            if user_path(pattern).is_dir():
                expected = f"none of its files ends in {', '.join(READ_IN_FOLDERS)}"
            omissions = f" (passed over {omitted})" if omitted else ""
            raise UserError(f"corpus.path: {pattern}: {expected}{omissions}")
        for path in listing.files:
            if path.suffix.lower() != ".json" or self.config.documents != "jsonl":
                refuse_name(path, self.config.field)
        if omitted:
            self._warn(pattern, "corpus.path: %s: passed over %s", pattern, omitted)
        return listing.files

    def fingerprint(self) -> str:
        """A digest of the options and of all files' content, not of where they lie."""
        options = self.config.model_dump(exclude={"type", "path"})
        content = [(self._format(path), _sha256(path)) for path in self.files()]
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
                        self._warn_of_cut(path)
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
            texts = read_parquet(path, config.field, config.encoding_errors)
        else:
            texts = read_json_lines(path, config.field, config.encoding_errors)
        size = config.max_document_characters
        for text in texts:
            yield (text[start : start + size] for start in range(0, len(text), size))

    def _warn_of_cut(self, path: Path) -> None:
        self._warn(
            path,
            "%s: documents longer than %d characters are cut (corpus.max_document_characters; "
            "corpus.documents says what a document is, now %s)",
            path,
            self.config.max_document_characters,
            self._format(path),
        )

    def _warn(self, path: Path, message: str, *values: object) -> None:
        """Warn of a path, once."""
        if path not in self._warned:
            self._warned.add(path)
            logger.warning(message, *values)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open_regular(path) as file:
        try:
            while raw := file.read(CHUNK_BYTES):
                digest.update(raw)
            return digest.hexdigest()
        except OSError as error:
            raise UserError(f"{path}: can't be read: {error.strerror or error}") from None
