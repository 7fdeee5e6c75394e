"""Corpus: where documents come from. Imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from colaflex.interfaces.metric import Items, Measurement

__all__ = ["SPLITS", "Corpus", "Document", "Split", "StoryTruth", "Truth"]

Split = Literal["train", "validation", "test", "judge"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test", "judge")


@dataclass(frozen=True, slots=True)
class Document:
    """One document and the split it belongs to.

    The "judge" split trains the language models that judge samples; no model under test sees it.

    Example:
        >>> Document("An old silent pond", split="train").split
        'train'
    """

    text: str
    split: Split


class Truth(ABC):
    """What a corpus knows for certain of its documents; it judges texts where it is known.

    Example:
        >>> from colaflex.interfaces.metric import Measurement
        >>> class Ended(Truth):
        ...     def measure(self, texts, resamples=1000):
        ...         share = sum(text.endswith(".") for text in texts) / len(texts)
        ...         return {"ended": Measurement(share, 0.0, 1.0, len(texts))}
        >>> Ended().measure(["It rains.", "It"])["ended"].value
        0.5
    """

    @abstractmethod
    def measure(self, texts: Sequence[str], resamples: int = 1000) -> Mapping[str, Measurement]:
        """Metrics of texts by name, e.g. "valid_documents".

        Args:
            texts: one a document drawn, its prompt included; may be none, or nonsense.
            resamples: of a bootstrap, for metrics whose interval comes from one.
        """

    def items(self, texts: Sequence[str]) -> Mapping[str, Items]:
        """Of the metrics that are shares or means, what each text adds, in the texts' order.

        None by default: such a corpus's metrics can't be compared text by text.
        """
        del texts
        return {}

    def log_prob(self, texts: Sequence[str]) -> Sequence[float] | None:
        """log p* of every text in nats, -inf for what can't be; None where p* is not known."""
        del texts
        return None

    def references(self, real: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Texts made of real documents to measure as well, by name, e.g. "shuffled"."""
        del real
        return {}


class StoryTruth(Truth):
    """A truth that reads stories sentence by sentence and knows the facts that each states.

    Example:
        >>> worlds = colaflex.build("corpus", "worlds")
        >>> truth, story = worlds.truth(), next(worlds.documents()).text
        >>> first = truth.sentences(story)[0]
        >>> truth.facts(truth.reworded(first, 0), 0) == truth.facts(first, 0)
        True
    """

    @abstractmethod
    def sentences(self, text: str) -> list[str]:
        """The sentences of a text, with an unfinished one at the end."""

    @abstractmethod
    def facts(self, sentence: str, position: int) -> Mapping[str, str] | None:
        """What a sentence states of each factor that it mentions; None for one that is not valid.

        Args:
            sentence: with its full stop.
            position: place in its story, from 0.
        """

    @abstractmethod
    def reworded(self, sentence: str, position: int) -> str | None:
        """The same facts in other words; None where there are none, or it is not valid."""


class Corpus(ABC):
    """A source of documents, the same in the same order at every reading.

    Example:
        >>> class Haiku(Corpus):
        ...     def documents(self):
        ...         yield Document("An old silent pond", "train")
        ...     def fingerprint(self):
        ...         return "haiku 1"
        >>> [document.text for document in Haiku().documents()]
        ['An old silent pond']
    """

    @abstractmethod
    def documents(self) -> Iterator[Document]:
        """All documents, streamed. Raises ValueError with file and place for unreadable input."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A digest of the content, cheap to compute, the same wherever the data lies."""

    def truth(self) -> Truth | None:
        """What is known of the documents' distribution; None where it is nature's."""
        return None
