"""The English of the corpus `worlds`: words, clauses and how a sentence is put together.

A sentence joins one clause per mentioned factor. No value word belongs to two factors or occurs in
a clause, a clause holds one value, and the wordings of a sentence differ with the values left out;
so a sentence has one reading. A full stop ends a sentence and stands nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["FACTORS", "MAX_PARAPHRASES", "Factor", "sentence_template"]

MAX_PARAPHRASES = 6


@dataclass(frozen=True, slots=True)
class Factor:
    """Something a document is about.

    Attributes:
        name: its role.
        values: single words, one of which holds in a document.
        clauses: one wording for each paraphrase, with {} where the value stands.
    """

    name: str
    values: tuple[str, ...]
    clauses: tuple[str, ...]


def _factor(name: str, values: str, *clauses: str) -> Factor:
    return Factor(name, tuple(values.split()), clauses)


FACTORS: tuple[Factor, ...] = (
    _factor(
        "person",
        "Anna Boris Clara David Elena Felix Greta Henry "
        "Irene Jacob Karen Louis Maria Nadia Oscar Paula",
        "{} was travelling alone",
        "the traveller was called {}",
        "everybody was waiting for {}",
        "{} told us this story",
        "a letter came from {}",
        "we walked beside {}",
    ),
    _factor(
        "place",
        "garden harbour market forest castle station library valley "
        "island meadow village theatre museum bridge temple quarry",
        "the path led to the {}",
        "they rested near the {}",
        "music came from the {}",
        "the {} was full of people",
        "nobody had seen the {} before",
        "the journey ended at the {}",
    ),
    _factor(
        "animal",
        "fox horse goat rabbit donkey parrot badger turtle "
        "camel sheep tiger monkey beaver hedgehog pigeon leopard",
        "a friendly {} followed",
        "the {} ran ahead",
        "they heard a {} outside",
        "a hungry {} was sleeping",
        "the children fed the {}",
        "somebody had lost a young {}",
    ),
    _factor(
        "weather",
        "rainy sunny foggy windy snowy stormy cloudy frosty "
        "misty humid chilly mild dry hazy icy scorching",
        "the day was {}",
        "it was a very {} morning",
        "the weather seemed {}",
        "the week had been {}",
        "it stayed {} for hours",
        "it would soon be {} again",
    ),
    _factor(
        "food",
        "bread soup cheese honey rice fish cake porridge "
        "salad pudding butter yoghurt stew jam corn ham",
        "there was {} for everyone",
        "the {} tasted good",
        "they shared some {}",
        "the shop sold only {}",
        "the smell of {} filled the air",
        "the cook had made more {}",
    ),
    _factor(
        "tool",
        "hammer rope lantern shovel ladder compass kettle basket "
        "needle brush bucket mirror whistle candle saddle trumpet",
        "an old {} lay on the ground",
        "the {} was broken",
        "someone had brought a {}",
        "the {} had been repaired",
        "they needed a better {}",
        "the {} was left behind",
    ),
    _factor(
        "colour",
        "red blue green yellow purple orange brown white "
        "black grey pink golden silver crimson violet turquoise",
        "the door was {}",
        "the old house was painted {}",
        "all the flags were {}",
        "the {} flowers were open",
        "they wore {} coats",
        "the {} lamp was burning",
    ),
    _factor(
        "time",
        "dawn noon dusk midnight sunrise sunset daybreak nightfall "
        "lunchtime teatime bedtime twilight midday breakfast supper dinner",
        "it happened at {}",
        "the bells rang at {}",
        "the lights went out at {}",
        "the gates opened at {}",
        "the last train left at {}",
        "they came home at {}",
    ),
)

# What stands before a sentence and before its last clause, by paraphrase.
_JOINTS: tuple[tuple[str, str], ...] = (
    ("", " and "),
    ("", ", while "),
    ("", ", but "),
    ("on that day ", ", and "),
    ("", " just when "),
    ("later ", ", yet "),
)


def sentence_template(factors: Sequence[int], paraphrase: int) -> tuple[str, tuple[int, ...]]:
    """One wording of a sentence about some factors.

    Args:
        factors: indices into FACTORS, all different.
        paraphrase: which wording, below MAX_PARAPHRASES.

    Returns:
        The sentence with {} for each value, and, for each {} in order, the position in `factors`
        of the factor it belongs to: wordings differ in order too.
    """
    positions = list(range(len(factors)))
    order = positions[::-1] if paraphrase % 2 else positions
    if paraphrase in (2, 3):
        order = order[1:] + order[:1]
    clauses = [FACTORS[factors[position]].clauses[paraphrase] for position in order]
    opening, joint = _JOINTS[paraphrase]
    sentence = opening + ", ".join(clauses[:-1]) + joint * (len(clauses) > 1) + clauses[-1] + "."
    return sentence[0].upper() + sentence[1:], tuple(order)
