"""The scorers `exact` and `best_option`."""

from __future__ import annotations

from typing import Any

import pytest

import colaflex
from colaflex.errors import UserError
from colaflex.interfaces.task_item import TaskItem

FOUR = ("red apple", "green pear", "blue plum", "yellow lemon")


def right(scorer: str, answer: str, truth: str, choices: Any = (), form: Any = "option") -> bool:
    verdict: bool = colaflex.build("scorer", scorer).right(
        TaskItem(("?",), truth, tuple(choices), form), answer
    )
    return verdict


@pytest.mark.parametrize(
    ("answer", "truth", "expected"),
    [
        (" Gabriel. He was", "Gabriel", True),
        ("“gabriel", "Gabriel!", True),
        ("the Gabriel", "Gabriel", False),
        ("signs of", "sign", False),
        ("", "Gabriel", False),
        ("...", "!", True),  # two empty texts are equal
    ],
)
def test_exact_compares_first_words(answer: str, truth: str, expected: bool) -> None:
    assert right("exact", answer, truth, form="first_word") is expected


def test_exact_compares_whole_texts_and_ignores_choices() -> None:
    assert right("exact", " Starts  pulling up!", "starts pulling up", FOUR, "text")
    assert not right("exact", "(A)", "red apple", FOUR, "text")
    assert not right("exact", "starts pulling up roofing", "starts pulling up", form="text")
    assert right("exact", "?", "", form="text")


def test_exact_compares_the_options_that_answer_and_truth_mean() -> None:
    assert right("exact", "(B)", "green pear", FOUR)
    assert right("exact", "green pear", "B", FOUR)
    assert right("exact", "the answer is B", "b", FOUR)
    assert right("exact", "gren pear", "green pear", FOUR)
    assert not right("exact", "(A)", "green pear", FOUR)
    # Neither means an option: that is no agreement, unless the texts are the same.
    assert not right("exact", "water", "wine", FOUR)
    assert right("exact", "Water.", "water", FOUR)
    assert right("exact", "B", "B") and not right("exact", "B", "A")


def test_best_option_takes_the_most_similar_option_of_the_first_line() -> None:
    assert right("best_option", "a pear", "green pear", FOUR)
    assert right("best_option", "a pear", "B", FOUR)
    assert right("best_option", "\n green pear\nred apple", "green pear", FOUR)
    assert not right("best_option", "red apple\ngreen pear", "green pear", FOUR)
    assert right("best_option", "nothing like it", "xy", ("xy", "zz")) is (
        not right("best_option", "nothing like it", "zz", ("xy", "zz"))
    )


def test_best_option_takes_the_first_on_ties() -> None:
    assert right("best_option", "", "one", ("one", "two"))
    assert not right("best_option", "", "two", ("one", "two"))


def test_best_option_is_no_scorer_of_items_without_choices() -> None:
    item = TaskItem(("?",), "truth", place="rows.jsonl:3")
    with pytest.raises(UserError, match=r"rows\.jsonl:3: .*needs choices.*exact"):
        colaflex.build("scorer", "best_option").right(item, "truth")


def test_a_truth_that_is_no_option_is_never_met() -> None:
    assert not right("best_option", "red apple", "something else", FOUR)
