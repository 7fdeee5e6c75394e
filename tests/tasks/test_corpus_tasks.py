"""Tasks made of held-out text: the last word, and the next sentence."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import colaflex
from colaflex.errors import UserError
from colaflex.interfaces.task import TaskSource
from colaflex.tasks.passages import sentences_of

TEXTS = [
    "The old king sat down by the fire. Nobody spoke to him. It was late.",
    "A ship came in from the sea today. “Who is it?” said the boy. He ran down to the shore.",
    "Too short.",
    "There is no stop at the end of this one here - -",
    "Rain fell on the hills all day long. The river rose. The bridge held.",
    "She sang a song that nobody knew. We listened. Then she left.",
]


def task(name: str, texts: list[str], **options: Any) -> Any:
    return colaflex.build("task", name, source=TaskSource(documents=texts), **options)


def test_the_last_word_of_a_passage() -> None:
    items = list(task("last_word", TEXTS, fewest_words=8, most_words=12).items())
    assert [(item.prompts[0], item.truth) for item in items] == [
        ("The old king sat down by the fire. Nobody spoke to", "him."),
        ("A ship came in from the sea", "today."),
        ("There is no stop at the end of this one", "here"),
        ("Rain fell on the hills all day long. The river", "rose."),
        ("She sang a song that nobody knew. We listened. Then she", "left."),
    ]
    assert {item.form for item in items} == {"first_word"}


def test_prompt_and_last_word_make_the_beginning_of_the_document() -> None:
    for text, item in zip(
        [t for t in TEXTS if len(t) > 20], task("last_word", TEXTS).items(), strict=True
    ):
        assert text.startswith(item.prompts[0]) and not item.prompts[0].endswith(" ")
        assert text[len(item.prompts[0]) :].lstrip().startswith(item.truth)


def test_the_last_word_needs_passages() -> None:
    with pytest.raises(UserError, match="no held-out document has 8 words"):
        list(task("last_word", ["Too short."]).items())
    with pytest.raises(ValueError, match="most_words: 5 is less than fewest_words, 9"):
        task("last_word", TEXTS, most_words=5, fewest_words=9)


def test_the_true_next_sentence_is_among_the_choices_once() -> None:
    items = list(task("next_sentence", TEXTS, choices=3, most_words=8).items())
    assert [(item.prompts[0], item.truth) for item in items] == [
        ("The old king sat down by the fire.", "Nobody spoke to him."),
        ("A ship came in from the sea today.", "“Who is it?”"),
        ("Rain fell on the hills all day long.", "The river rose."),
        ("She sang a song that nobody knew.", "We listened."),
    ]
    for item in items:
        assert len(set(item.choices)) == 3 and item.choices.count(item.truth) == 1
        assert item.form == "option"
    assert len({item.choices.index(item.truth) for item in items}) > 1


def test_long_sentences_are_cut_to_what_an_answer_can_hold() -> None:
    for item in task("next_sentence", TEXTS, choices=3, most_words=8, choice_words=2).items():
        assert all(len(choice.split()) <= 2 for choice in item.choices)
        assert item.truth in item.choices and len(item.prompts[0].split()) > 2


def test_what_is_similar_to_the_true_sentence_is_right() -> None:
    made = task("next_sentence", TEXTS, choices=3, most_words=8)
    scorer = colaflex.build("scorer", "best_option")
    for item in made.items():
        assert made.right(item, [f" {item.truth.upper()} And"], scorer)
        wrong = next(choice for choice in item.choices if choice != item.truth)
        assert not made.right(item, [wrong], scorer)


def test_choices_differ_by_seed_and_are_the_same_at_every_reading() -> None:
    first = list(task("next_sentence", TEXTS, choices=3).items())
    assert list(task("next_sentence", TEXTS, choices=3).items()) == first
    assert list(task("next_sentence", TEXTS, choices=3, seed=1).items()) != first


def test_too_few_sentences_to_choose_from() -> None:
    with pytest.raises(UserError, match="4 choices need as many different sentences"):
        list(task("next_sentence", TEXTS[:2]).items())


@given(st.text(alphabet='ab .!?\n"”'))
def test_sentences_hold_every_word_in_order(text: str) -> None:
    assert " ".join(sentences_of(text)).split() == text.split()
