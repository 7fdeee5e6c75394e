"""Corpus: where documents come from. Imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

__all__ = ["SPLITS", "Corpus", "Document", "Split"]

Split = Literal["train", "validation", "test", "judge"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test", "judge")


@dataclass(frozen=True, slots=True)
class Document:
    """One document and the split it belongs to.

    The "judge" split trains the language models that judge samples; no model under test sees it.
    """

    text: str
    split: Split


class Corpus(ABC):
    """A source of documents, the same in the same order at every reading."""

    @abstractmethod
    def documents(self) -> Iterator[Document]:
        """All documents, streamed. Raises ValueError with file and place for unreadable input."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A digest of the content, cheap to compute, the same wherever the data lies."""
