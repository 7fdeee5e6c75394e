from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from colaflex.evaluation.words import clip_words, equal_size, split_words


def test_the_rule():
    assert split_words("The Lord’s well-known, 12 'tribes'_of Ißrael!") == [
        "the", "lord's", "well", "known", "12", "tribes", "of", "issrael"
    ]  # fmt: skip
    assert split_words(" .,; ") == []


@given(st.text(max_size=60))
def test_splitting_its_own_words_changes_nothing(text: str):
    words = split_words(text)
    assert split_words(" ".join(words)) == words or any("'" in word for word in words)
    assert all(words)


def test_clipping_cuts_the_last_document():
    assert clip_words([["a", "b"], ["c", "d", "e"], ["f"]], 3) == [["a", "b"], ["c"]]
    assert clip_words([["a"]], 5) == [["a"]]


@given(st.lists(st.lists(st.lists(st.just("w"), max_size=5), max_size=5), min_size=1, max_size=4))
def test_equal_size_is_equal(collections: list[list[list[str]]]):
    named = {str(i): documents for i, documents in enumerate(collections)}
    sizes = {name: sum(map(len, docs)) for name, docs in named.items()}
    clipped = {name: sum(map(len, docs)) for name, docs in equal_size(named).items()}
    smallest = min((size for size in sizes.values() if size), default=0)
    assert all(clipped[name] == min(size, smallest) for name, size in sizes.items())
