"""How answers are compared: normalised texts, and which option an answer means."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher

__all__ = ["first_word", "meant_option", "most_similar", "normalised", "similarity"]

PUNCTUATION = re.compile(r"[^\w\s]")
SHORT = 40
"""Characters of a text in which a bracketed letter alone means an option."""
ALIKE = 0.9

_IS = r"\s*(?:\bis\b|=|:)?\s*"
_LETTER = r"(?-i:([A-Za-z]))"  # ignoring case would let in the long s and the Kelvin sign
SEGMENT = re.compile(rf"\b(?:final\s+)?answer\b(?>{_IS})(.*\S)", re.IGNORECASE)
LONE = re.compile(rf"[(\[]?\s*{_LETTER}\s*[)\]]?\s*\.?")
NAMED = re.compile(
    rf"\b(?:final\s+answer|answer|option|choice)\b{_IS}[(\[]?\s*{_LETTER}(?=\s|[^\w\s]|_|$)",
    re.IGNORECASE,
)
BRACKETED = re.compile(rf"[(\[]\s*{_LETTER}\s*[)\]]")
LEAD = re.compile(r"^(?:the )?(?:correct )?(?:final )?(?:answer|option|choice)\b(?: is\b)? ?")

Rule = Callable[[str, Sequence[str]], int | None]


def normalised(text: str) -> str:
    """A text in lower case, without punctuation (`_` is none), words one space apart."""
    return " ".join(PUNCTUATION.sub("", text.lower()).split())


def first_word(text: str) -> str:
    """The first word of a text, normalised; "" where there is none."""
    return normalised(text).partition(" ")[0]


def similarity(answer: str, option: str) -> float:
    """How alike two normalised texts are, from 0 to 1 (Ratcliff and Obershelp); 1 for two empty."""
    return SequenceMatcher(None, answer, option).ratio()


def meant_option(text: str, choices: Sequence[str]) -> int | None:
    """The index of the option that a text means, or None.

    The rules are tried in order on the answer segment, what follows "answer" in the last line that
    has one, and then on the whole text.

    Args:
        text: an answer, as it was given.
        choices: the options, as they were given.
    """
    options = [normalised(choice) for choice in choices]
    for part in _parts(text):
        for rule in RULES:
            option = rule(part, options)
            if option is not None:
                return option
    return None


def most_similar(text: str, options: Sequence[str]) -> tuple[int, float]:
    """The index of the option most similar to a normalised text, the first on ties, and how much.

    Args:
        text: normalised.
        options: normalised, at least one.
    """
    ratios = [similarity(text, option) for option in options]
    best = max(range(len(ratios)), key=ratios.__getitem__)
    return best, ratios[best]


def _parts(text: str) -> Iterator[str]:
    answers = [match for line in text.splitlines() if (match := SEGMENT.search(line))]
    if answers:
        yield answers[-1][1].strip()
    yield text.strip()


def _letter(letter: str, options: Sequence[str]) -> int | None:
    """The option of a letter; None beyond their number."""
    index = ord(letter.lower()) - ord("a")
    return index if index < len(options) else None


def _lone_letter(text: str, options: Sequence[str]) -> int | None:
    match = LONE.fullmatch(text)
    return None if match is None else _letter(match[1], options)


def _named_letter(text: str, options: Sequence[str]) -> int | None:
    letters = NAMED.findall(text)
    return _letter(letters[-1], options) if letters else None


def _bracketed_letter(text: str, options: Sequence[str]) -> int | None:
    letters = BRACKETED.findall(text) if len(text) <= SHORT else []
    return _letter(letters[-1], options) if letters else None


def _equal(text: str, options: Sequence[str]) -> int | None:
    plain = normalised(text)
    for candidate in (plain, LEAD.sub("", plain)):
        if candidate in options:
            return options.index(candidate)
    return None


def _contained(text: str, options: Sequence[str]) -> int | None:
    plain = normalised(text)
    within = [index for index, option in enumerate(options) if option and option in plain]
    return within[0] if len(within) == 1 else None


def _alike(text: str, options: Sequence[str]) -> int | None:
    if not options:
        return None
    best, ratio = most_similar(normalised(text), options)
    return best if ratio >= ALIKE else None


RULES: tuple[Rule, ...] = (
    _lone_letter,
    _named_letter,
    _bracketed_letter,
    _equal,
    _contained,
    _alike,
)
"""What an answer may mean an option by; the first that does decides."""
