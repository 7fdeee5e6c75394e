"""Datasets of the Hugging Face hub, or in its format on disk (extra `hf`)."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

from pydantic import Field

from colaflex.corpora.by_content import ByContentConfig
from colaflex.errors import UserError
from colaflex.files.json_lines import text_of
from colaflex.interfaces.corpus import Corpus, Document
from colaflex.statistics.draws import stable_digest

__all__ = ["Datasets", "DatasetsConfig"]

# Raised when the reading or the splits change: it is part of the fingerprint.
REVISION = 2


class DatasetsConfig(ByContentConfig):
    """Options of the corpus `datasets`."""

    path: str = Field(min_length=1, description="Dataset on the hub, or a folder or loader.")
    name: str | None = Field(None, description="Configuration of the dataset, where it has any.")
    split: str = Field(
        "train",
        min_length=1,
        description="Split of the dataset to read; it is split anew by "
        "content into train, validation, test and judge.",
    )
    field: str = Field("text", min_length=1, description="Column that holds the text.")
    revision: str | None = Field(None, description="Commit or tag on the hub; pins the content.")
    streaming: bool = Field(
        True, description="Read while downloading instead of downloading first."
    )
    max_documents: int | None = Field(None, ge=1, description="Read only the first so many.")


class Datasets(Corpus):
    """The rows of one split of a dataset."""

    def __init__(self, config: DatasetsConfig) -> None:
        self.config = config

    def _load(self, function: str, **options: Any) -> Any:
        """Call one of the library's loaders; its many errors become one."""
        if importlib.util.find_spec("datasets") is None:
            raise UserError(
                "corpus datasets: the package datasets is not installed: pip install 'colaflex[hf]'"
            )
        import datasets

        config = self.config
        try:
            return getattr(datasets, function)(
                config.path, config.name, revision=config.revision, **options
            )
        except Exception as error:  # the library raises its own, requests' and built-in ones
            named = config.path if config.name is None else f"{config.path} ({config.name})"
            raise UserError(f"corpus.path: dataset {named} can't be loaded: {error}") from error

    def fingerprint(self) -> str:
        """A digest of the options and of what the library says identifies the data files."""
        options = self.config.model_dump(exclude={"type", "path", "streaming"})
        builder = self._load("load_dataset_builder")
        return stable_digest("datasets", REVISION, sorted(options.items()), builder.hash)

    def documents(self) -> Iterator[Document]:
        """All rows that are more than white space; long ones are cut."""
        config = self.config
        rows = self._load("load_dataset", split=config.split, streaming=config.streaming)
        size, empty = config.max_document_characters, True
        for number, row in enumerate(rows):
            if number == config.max_documents:
                break
            text = text_of(row, config.field, f"{config.path}, row {number} (corpus.field)")
            if not text.strip():
                continue
            empty, split = False, config.split_of(text)
            for start in range(0, len(text), size):
                yield Document(text[start : start + size], split)
        if empty:
            raise UserError(f"corpus.path: {config.path}: the corpus is empty, no text in it")
