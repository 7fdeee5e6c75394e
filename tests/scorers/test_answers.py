"""Texts as scorers compare them, and which option an answer means, rule by rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colaflex.scorers.answers import (
    RULES,
    first_word,
    meant_option,
    most_similar,
    normalised,
    similarity,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Hello,   World! ", "hello world"),
        ("snake_case stays", "snake_case stays"),
        ("_", "_"),
        ("don't", "dont"),
        ("well-known\tfacts\n", "wellknown facts"),
        ("Ünïcode “quotes”", "ünïcode quotes"),
        ("- 5", "5"),
        ("...", ""),
        ("", ""),
    ],
)
def test_normalised(text: str, expected: str) -> None:
    assert normalised(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [(" Gabriel. He", "gabriel"), ("“Gabriel,” said", "gabriel"), ("-- so", "so"), ("!", "")],
)
def test_first_word(text: str, expected: str) -> None:
    assert first_word(text) == expected


@given(st.text())
def test_normalising_again_changes_nothing(text: str) -> None:
    once = normalised(text)
    # Lower case of a few letters is longer than they are; what is lower already stays.
    assert normalised(once) == once
    assert once == once.strip() and "  " not in once


def test_two_empty_texts_are_alike() -> None:
    assert similarity("", "") == 1.0
    assert similarity("abc", "") == 0.0
    # 2 · 3 / 7: "abc" of three and four letters.
    assert similarity("abc", "abcd") == pytest.approx(6 / 7)


FOUR = ["red apple", "green pear", "blue plum", "yellow lemon"]
LONE, NAMED, BRACKETED, EQUAL, CONTAINED, ALIKE = RULES


@pytest.mark.parametrize("text", ["B", "b", "(B)", "[b]", "(B).", "B.", "B).", " (B) ", "( B )"])
def test_a_lone_letter_means_its_option(text: str) -> None:
    assert meant_option(text, FOUR) == 1
    assert LONE(text.strip(), FOUR) == 1


@pytest.mark.parametrize("text", ["BC", "B or C", "E", "(E)", "B,", "", "4", "İ", "ſ", "ß", "é"])
def test_what_is_no_lone_letter_of_an_option(text: str) -> None:
    assert LONE(text, FOUR) is None


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("the answer is B", 1),
        ("Answer: (C)", 2),
        ("answer = d.", 3),
        ("final answer: [A]", 0),
        ("I take option B, since it is cheaper than the others are", 1),
        ("choice C: because nothing else would do in such a case", 2),
        ("first option A, but no: option C", 2),
        ("answer is (B)", 1),
        ("answerB", None),
        ("the answer is Bob", None),
        ("the answer is 7", None),
        ("the answer isn't known", None),
        ("answer E", None),
        ("answer İ", None),
        ("answerable B", None),
        # The last letter counts; beyond the options it is void.
        ("option B or option E", None),
    ],
)
def test_a_letter_behind_its_word(text: str, option: int | None) -> None:
    assert NAMED(text, FOUR) == option


def test_a_bracketed_letter_counts_in_short_texts() -> None:
    assert meant_option("(A) no, rather (C) I think", FOUR) == 2
    at_the_limit = "x" * 36 + " (C)"
    assert len(at_the_limit) == 40
    assert BRACKETED(at_the_limit, FOUR) == 2
    assert BRACKETED("x" + at_the_limit, FOUR) is None
    assert BRACKETED("maybe (E)", FOUR) is None


@pytest.mark.parametrize(
    "text",
    [
        "Green pear!",
        "green  pear",
        "The correct answer is: green pear.",
        "option green pear",
        "the final answer is green pear",
        "choice: green pear",
    ],
)
def test_an_option_by_its_text(text: str) -> None:
    assert EQUAL(text, [normalised(option) for option in FOUR]) == 1
    assert meant_option(text, FOUR) == 1


def test_one_option_contained_is_meant_and_two_are_not() -> None:
    assert CONTAINED("it was surely a blue plum that fell", FOUR) == 2
    assert CONTAINED("a red apple or a blue plum", FOUR) is None
    assert CONTAINED("neither of these", FOUR) is None
    # "apple" lies within "red apple": both are contained.
    assert CONTAINED("a red apple", ["apple", "red apple", "plum"]) is None


def test_a_similar_text_means_the_most_similar_option_the_first_on_ties() -> None:
    assert ALIKE("yelow lemon", FOUR) == 3
    assert ALIKE("lemon", FOUR) is None
    # 9 of 10 letters: 2 · 9 / 20 = 0.9, which is enough.
    assert ALIKE("abcdefghix", ["zzz", "abcdefghij"]) == 1
    assert ALIKE("abcdefghxx", ["zzz", "abcdefghij"]) is None
    assert ALIKE("abcdefghix", ["abcdefghiy", "abcdefghiz"]) == 0
    assert ALIKE("anything", []) is None


@pytest.mark.parametrize(
    ("text", "option"),
    [
        # The segment behind "answer" first, then the whole text.
        ("I say (A). Final answer: blue plum", 2),
        ("answer: red apple\nanswer: blue plum", 2),
        ("answer: red apple\nsomething else", 0),
        ("green pear is my answer: who knows", 1),
        # No rule fires on the segment; on the whole text the option is contained.
        ("a yellow lemon, that is the answer to it all", 3),
        # A letter comes before a text.
        ("answer: (A) blue plum", 0),
        ("nothing of the kind", None),
        ("", None),
    ],
)
def test_segment_and_order_of_rules(text: str, option: int | None) -> None:
    assert meant_option(text, FOUR) == option


def test_letters_beyond_the_options_are_void_and_later_rules_go_on() -> None:
    assert meant_option("D", ["yes", "no"]) is None
    assert meant_option("i", ["1", "-1", "i", "-i"]) == 2  # no ninth option: the text decides
    assert meant_option("(D) yes", ["yes", "no"]) == 0


def test_without_options_nothing_is_meant() -> None:
    assert meant_option("A", []) is None
    assert meant_option("the answer is (A)", []) is None


@given(st.lists(st.from_regex(r"[a-z]{3,8} [a-z]{3,8}", fullmatch=True), min_size=2, unique=True))
def test_an_option_means_itself(options: list[str]) -> None:
    for index, option in enumerate(options):
        assert EQUAL(option, options) == index
        assert most_similar(option, options) == (index, 1.0)


@given(st.text(max_size=60), st.integers(0, 5))
def test_an_index_is_one_of_an_option(text: str, count: int) -> None:
    options = ["red apple", "green pear", "blue plum", "yellow lemon", "it"][:count]
    found = meant_option(text, options)
    assert found is None or 0 <= found < count


@given(st.integers(0, 3), st.sampled_from(["{}", "({})", "[{}].", "answer: {}", "Option ({})"]))
def test_every_letter_in_every_guise(index: int, guise: str) -> None:
    assert meant_option(guise.format("ABCD"[index]), FOUR) == index
    assert meant_option(guise.format("abcd"[index]), FOUR) == index


def test_a_line_that_ends_behind_answer_has_no_segment() -> None:
    assert meant_option("Answer: blue plum\nAnswer:", FOUR) == 2
    assert meant_option("the answer is", ["is", "the answer"]) is None
