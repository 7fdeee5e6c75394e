from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from colaflex.evaluation.text_quality import split_words
from colaflex.evaluation.training_text import TrainingText

TRAINING = [
    split_words("In the beginning God created the heavens and the earth."),
    split_words("So be it."),
]


def test_training_text_knows_itself():
    shares = TrainingText(TRAINING, TRAINING, n=4).shares(TRAINING)
    assert [shares[name].value for name in ("known_words", "known_bigrams", "copying")] == [1, 1, 1]
    assert shares["copying"].n == 1


def test_known_counts():
    asked = split_words("So be the heavens and a god")
    known = TrainingText(TRAINING, [asked], n=3).known(asked)
    assert known == {"known_words": (6, 7), "known_bigrams": (3, 6), "copying": (1, 5)}


def test_ngrams_do_not_cross_documents_and_short_texts_hold_none():
    index = TrainingText(TRAINING, [["earth", "so", "be"], ["so"]], n=3)
    assert index.known(["earth", "so", "be"])["copying"] == (0, 1)
    assert index.known(["so"]) == {
        "known_words": (1, 1),
        "known_bigrams": (0, 0),
        "copying": (0, 0),
    }
    for asked in ([], [["a", "b", "c"]]):
        assert TrainingText([], asked, n=3).known(["a", "b", "c"])["copying"] == (0, 1)


@given(st.lists(st.text("abc", max_size=12), max_size=5), st.text("abcd", max_size=12))
def test_hashing_matches_sets(training: list[str], text: str):
    index = TrainingText(map(list, training), [list(text), list("abcab")], n=3)
    seen = {t[i : i + 3] for t in training for i in range(len(t) - 2)}
    wanted = [text[i : i + 3] for i in range(len(text) - 2)]
    known = index.known(list(text))
    assert known["copying"] == (sum(w in seen for w in wanted), len(wanted))
    pairs = {t[i : i + 2] for t in training for i in range(len(t) - 1)}
    assert known["known_bigrams"][0] == sum(text[i : i + 2] in pairs for i in range(len(text) - 1))
    assert known["known_words"] == (sum(c in "".join(training) for c in text), len(text))
