"""What a scorer promises."""

from __future__ import annotations

from colaflex.interfaces.scorer import Scorer
from colaflex.interfaces.task_item import TaskItem
from colaflex.testing.results import Fault
from colaflex.testing.subject import Subject

__all__ = ()

CHOICES = ("a cold winter", "the long bridge", "seven apples", "nobody at all")
ITEMS = [
    TaskItem(("Which of the four is it?",), truth, CHOICES, form)
    for truth in CHOICES
    for form in ("text", "first_word", "option")
]


def _scorer(subject: Subject) -> Scorer:
    scorer: Scorer = subject.build()
    return scorer


def truth(subject: Subject) -> None:
    """The truth itself is right, whatever the form of the item."""
    scorer = _scorer(subject)
    for item in ITEMS:
        if scorer.right(item, item.truth) is not True:
            raise Fault(f"the truth {item.truth!r} is not right ({item.form})")


def others(subject: Subject) -> None:
    """The other choices are wrong."""
    scorer = _scorer(subject)
    for item in ITEMS:
        for choice in item.choices:
            if choice != item.truth and scorer.right(item, choice) is not False:
                raise Fault(f"{choice!r} is right where the truth is {item.truth!r}")


def pure(subject: Subject) -> None:
    """Asked again, in another order or of another instance, it says the same."""
    scorer = _scorer(subject)
    pairs = [(item, answer) for item in ITEMS for answer in (*CHOICES, "seven", "", "(B)")]
    first = [scorer.right(item, answer) for item, answer in pairs]
    again = [scorer.right(item, answer) for item, answer in reversed(pairs)]
    other = _scorer(subject)
    if again[::-1] != first or [other.right(item, answer) for item, answer in pairs] != first:
        raise Fault("its verdict depends on what it was asked before")
