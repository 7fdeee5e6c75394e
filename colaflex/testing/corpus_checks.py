"""What a corpus promises."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice

from colaflex.interfaces.corpus import SPLITS, Corpus, Document
from colaflex.interfaces.metric import Measurement
from colaflex.testing.results import Fault, NotApplicable
from colaflex.testing.subject import Subject, missing

__all__ = ()

FIRST = 200
"""Documents that are looked at."""


def _corpus(subject: Subject) -> Corpus:
    corpus: Corpus = subject.build()
    return corpus


def _read(subject: Subject, corpus: Corpus | None = None) -> list[Document]:
    try:
        return list(islice((corpus or _corpus(subject)).documents(), FIRST))
    except Exception as error:
        raise missing(error) from error


def documents(subject: Subject) -> None:
    """Documents are texts that are not empty, each of a known split; training has some."""
    read = subject.once("read", lambda: _read(subject))
    if not read:
        raise Fault("it has no documents")
    for document in read:
        if not isinstance(document, Document):
            raise Fault(f"documents() yields {type(document).__name__}, expected Document")
        if not isinstance(document.text, str) or not document.text.strip():
            raise Fault(f"a document's text is {document.text!r}")
        if document.split not in SPLITS:
            raise Fault(f"a document's split is {document.split!r}, not one of {', '.join(SPLITS)}")
    if not any(document.split == "train" for document in read):
        raise Fault(f"none of the first {len(read)} documents is for training")


def repeatable(subject: Subject) -> None:
    """Every reading gives the same documents in the same order, also by another instance."""
    corpus, first = _corpus(subject), subject.once("read", lambda: _read(subject))
    random.seed(5)
    if _read(subject, corpus) != first:
        raise Fault("another instance reads other documents, or in another order")
    random.seed(6)
    if _read(subject, corpus) != first:
        raise Fault("read again, the documents are others, or in another order")


def fingerprint(subject: Subject) -> None:
    """The fingerprint is a word, and the same at every asking and in every instance."""
    try:
        corpus = _corpus(subject)
        digests = [corpus.fingerprint(), corpus.fingerprint(), _corpus(subject).fingerprint()]
    except Exception as error:
        raise missing(error) from error
    if not all(isinstance(each, str) and each for each in digests):
        raise Fault(f"its fingerprint is {digests[0]!r}, expected a digest")
    if len(set(digests)) > 1:
        raise Fault(f"its fingerprint changes: {', '.join(dict.fromkeys(digests))}")


def streams(subject: Subject) -> None:
    """Documents are streamed, not held in a list."""
    if not isinstance(_corpus(subject).documents(), Iterator):
        raise Fault("documents() returns no iterator: a large corpus would have to fit in memory")


def truth(subject: Subject) -> None:
    """Where its law is known, any texts are judged: real ones, nonsense, and none."""
    known = _corpus(subject).truth()
    if known is None:
        raise NotApplicable("nothing is known of its law")
    real = [document.text for document in subject.once("read", lambda: _read(subject))[:8]]
    for texts in (real, ["", "nonsense of no kind"], []):
        for name, measured in known.measure(texts, resamples=20).items():
            if not isinstance(measured, Measurement):
                raise Fault(f"the metric {name!r} is {measured!r}, expected a Measurement")
            if measured.n and not measured.low <= measured.value <= measured.high:
                raise Fault(f"the metric {name!r} lies outside its own interval: {measured}")
