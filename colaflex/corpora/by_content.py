"""Corpora without splits of their own: a document's content decides which one it belongs to."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from pydantic import Field, model_validator

from colaflex.interfaces.configs import CorpusConfig
from colaflex.interfaces.corpus import Split

__all__ = ["ByContentConfig", "folded"]

# Soft hyphens, zero-width characters, directional marks, byte-order marks.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")


def folded(text: str) -> str:
    """What two copies of a text share: white space, case and the form of characters are lost."""
    visible = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))
    return " ".join(visible.casefold().split())


class ByContentConfig(CorpusConfig):
    """Options that all such corpora share; what is in no other split trains.

    The same text is always in the same split, wherever it stands and however often, also where
    copies differ in white space, line ends, case or the Unicode form of characters; so a duplicate
    never crosses from training to testing.

    Example:
        >>> config = ByContentConfig(validation=0.1, test=0.1, judge=0.0)
        >>> config.split_of("One  Text") == config.split_of("one text")
        True
    """

    validation: float = Field(0.05, ge=0, lt=1, description="Share of documents to validate on.")
    test: float = Field(0.05, ge=0, lt=1, description="Share of documents to test on.")
    judge: float = Field(
        0.2, ge=0, lt=1, description="Share of documents to train judges of samples on."
    )
    max_document_characters: int = Field(
        200_000,
        ge=1000,
        le=10_000_000,
        description="Longer documents are cut into several; bounds the memory that reading takes.",
    )

    @model_validator(mode="after")
    def _something_trains(self) -> ByContentConfig:
        held_out = self.validation + self.test + self.judge
        if held_out >= 1:
            raise ValueError(
                f"validation, test and judge take {held_out:g} of the documents; they must leave "
                "some to train on: expected a sum below 1"
            )
        return self

    def split_of(self, text: str) -> Split:
        """The split of a document, by a hash of its text, folded.

        Of a long one the beginning decides, so that copies go together wherever they are cut.
        """
        beginning = folded(text[: self.max_document_characters])
        key = beginning[: self.max_document_characters // 2].encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(key, digest_size=8).digest()
        place = int.from_bytes(digest, "little") / 2**64
        shares: tuple[tuple[Split, float], ...] = (
            ("validation", self.validation),
            ("test", self.test),
            ("judge", self.judge),
        )
        for split, share in shares:
            if place < share:
                return split
            place -= share
        return "train"
