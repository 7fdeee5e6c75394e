"""The corpus whose distribution is known: its claims about itself hold exactly."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from colaflex.corpora.worlds import Worlds
from colaflex.corpora.worlds_grammar import FACTORS, MAX_PARAPHRASES
from colaflex.corpora.worlds_process import (
    Derivation,
    SentenceDerivation,
    World,
    WorldsConfig,
    split_sentences,
)

TINY = WorldsConfig(factors=2, values=2, sentences=2, paraphrases=2, mentions=2)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    factors = draw(st.integers(1, 8))
    config = WorldsConfig(
        factors=factors,
        values=draw(st.integers(2, 16)),
        sentences=draw(st.integers(1, 16)),
        paraphrases=draw(st.integers(1, 6)),
        mentions=draw(st.integers(1, factors)),
        sharing=draw(st.sampled_from([0.0, 0.3, 1.0])),
    )
    return World(config)


def every_derivation(world: World) -> list[Derivation]:
    config = world.config
    sentences = [
        [
            SentenceDerivation(i, p, values)
            for p in range(config.paraphrases)
            for values in itertools.product(range(config.values), repeat=config.mentions)
        ]
        for i in range(config.sentences)
    ]
    return [Derivation(choice) for choice in itertools.product(*sentences)]


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(0, 2**32))
def test_parsing_undoes_rendering(world: World, seed: int):
    derivation = world.draw(np.random.default_rng(seed))
    text = world.render(derivation)
    assert world.derivation(text) == derivation
    assert tuple(world.parse(text)) == derivation.sentences
    assert len(split_sentences(text)) == world.config.sentences
    judged = world.document_judgement(text)
    assert judged.valid and judged.valid_sentences == judged.sentences == world.config.sentences


@pytest.mark.parametrize("mentions", [1, 2, 3])
def test_distinct_derivations_give_distinct_sentences(mentions: int):
    world = World(WorldsConfig(factors=3, values=3, sentences=1, paraphrases=6, mentions=mentions))
    derivations = every_derivation(world)
    assert len({world.render(d) for d in derivations}) == len(derivations) == 6 * 3**mentions


@pytest.mark.parametrize("sharing", [0.0, 0.35, 1.0])
@pytest.mark.parametrize(
    ("factors", "values", "sentences", "mentions"),
    [(2, 2, 2, 2), (1, 3, 4, 1), (3, 2, 2, 2), (2, 3, 2, 2)],
)
def test_probabilities_sum_to_one_and_give_the_entropy(
    sharing: float, factors: int, values: int, sentences: int, mentions: int
):
    config = WorldsConfig(
        factors=factors,
        values=values,
        sentences=sentences,
        mentions=mentions,
        paraphrases=2,
        sharing=sharing,
    )
    world = World(config)
    logs = [world.log_prob(d) for d in every_derivation(world)]
    possible = [x for x in logs if x > -math.inf]
    assert math.fsum(map(math.exp, possible)) == pytest.approx(1.0, abs=1e-12)
    expected = -math.fsum(math.exp(x) * x for x in possible)
    assert world.entropy() == pytest.approx(expected, abs=1e-12)
    # The entropy of one sharing is known to a world of another.
    assert World(TINY.model_copy(update=dict(config))).entropy(0.5) == world.entropy(0.5)


@pytest.mark.parametrize("sharing", [0.0, 0.6, 1.0])
def test_drawn_documents_follow_the_distribution(sharing: float):
    world = World(WorldsConfig(sharing=sharing, factors=3, values=4, sentences=3))
    drawn = list(world.draws(np.random.default_rng(1), 4000))
    surprise = np.array([-world.log_prob(d) for d in drawn])
    error = 4 * surprise.std() / len(drawn) ** 0.5 + 1e-9
    assert abs(surprise.mean() - world.entropy()) < error
    coherent = np.mean([world.document_judgement(world.render(d)).coherent for d in drawn])
    s = sharing
    # Two mentions of each factor agree when both are shared, or by chance.
    agree = (s**2 + (1 - s**2) / 4) ** 3
    assert world.mention_counts == (2, 2, 2)
    assert coherent == pytest.approx(agree, abs=4 * (agree * (1 - agree) / 4000) ** 0.5 + 1e-9)


def test_the_default_world_in_closed_form():
    world = World(WorldsConfig())
    assert world.entropy() == pytest.approx(5 * math.log(8) + 4 * math.log(4), abs=1e-12)
    assert world.entropy(0.0) == pytest.approx(8 * math.log(8) + 4 * math.log(4), abs=1e-12)
    assert set(world.mention_counts) <= {1, 2} and sum(world.mention_counts) == 8


def test_entropy_grows_as_sharing_falls_and_stays_cheap_for_long_documents():
    world = World(WorldsConfig(factors=1, values=16, sentences=16, mentions=1))
    entropies = [world.entropy(s) for s in (0.0, 0.25, 0.5, 0.75, 0.99, 1.0)]
    assert entropies == sorted(entropies, reverse=True)
    assert entropies[0] == pytest.approx(16 * math.log(16) + 16 * math.log(4), rel=1e-12)


def test_sharing_zero_is_separable():
    world = World(WorldsConfig(sharing=0.0))
    derivation = world.draw(np.random.default_rng(0))
    per_sentence = -math.log(4) - 2 * math.log(8)
    assert world.log_prob(derivation) == pytest.approx(4 * per_sentence, abs=1e-12)


def test_incoherent_documents_are_impossible_at_sharing_one_only():
    world = World(TINY)
    first, other = SentenceDerivation(0, 0, (0, 0)), SentenceDerivation(1, 0, (1, 1))
    mixed = Derivation((first, other))
    assert world.log_prob(mixed) == -math.inf
    assert world.log_prob(mixed, sharing=0.5) > -math.inf
    judged = world.document_judgement(world.render(mixed))
    assert judged.valid and not judged.coherent
    assert judged.values == {"person": (0, 1), "place": (0, 1)}


def test_judgement_of_broken_documents():
    world = World(WorldsConfig())
    text = world.render(world.draw(np.random.default_rng(3)))
    whole = world.document_judgement(text)
    assert whole.valid and whole.coherent
    *front, last = split_sentences(text)
    cases = {
        "": (0, 0),
        text[:-1]: (4, 3),
        " ".join(front): (3, 3),
        text + " " + last: (5, 4),
        " ".join([last, *front]): (4, 0),
        text.replace("e", "é", 1): (4, 3),
        text + " ": (5, 4),
        text.replace(" ", "  ", 1): (4, 3),
    }
    for broken, (sentences, valid) in cases.items():
        judged = world.document_judgement(broken)
        assert (judged.sentences, judged.valid_sentences) == (sentences, valid), broken
        assert not judged.valid and not judged.coherent
        assert world.derivation(broken) is None


def test_a_sentence_without_position_is_found_anywhere():
    world = World(WorldsConfig())
    sentence = world.draw(np.random.default_rng(5)).sentences[2]
    text = world.render_sentence(sentence)
    assert world.parse_sentence(text) == sentence == world.parse_sentence(text, 2)
    assert world.parse_sentence(text, 0) is None
    assert world.parse_sentence(text, 99) is None
    assert world.parse_sentence("Nobody wrote this.") is None


def test_every_word_has_one_role():
    values = [word for factor in FACTORS for word in factor.values]
    assert len(values) == len(set(values)) == 16 * len(FACTORS)
    clauses = " ".join(clause for factor in FACTORS for clause in factor.clauses)
    words = set(re.findall(r"\w+", clauses.lower()))
    assert not words & {value.lower() for value in values}
    assert not {"on", "that", "day", "and", "while", "but", "when", "later", "yet"} & set(values)
    for factor in FACTORS:
        assert len(set(factor.clauses)) == MAX_PARAPHRASES
        assert all(clause.count("{}") == 1 and "." not in clause for clause in factor.clauses)


@pytest.mark.parametrize(("factors", "mentions"), [(4, 2), (5, 2), (6, 3), (8, 1), (3, 3)])
def test_mentions_rotate_through_all_factors(factors: int, mentions: int):
    world = World(WorldsConfig(factors=factors, mentions=mentions, sentences=16))
    sets = [world.mentioned(i) for i in range(16)]
    assert all(len(set(s)) == mentions for s in sets)
    assert min(world.mention_counts) >= 16 * mentions // factors - mentions
    if mentions < factors:
        assert sets[0] != sets[1]


def test_documents_are_reproducible_and_splits_independent():
    few = WorldsConfig(
        documents=5, validation_documents=3, test_documents=2, judge_documents=4, seed=7
    )
    many = few.model_copy(update={"documents": 1500})
    first, again, longer = (list(Worlds(c).documents()) for c in (few, few, many))
    assert first == again
    assert [d.split for d in first] == ["train"] * 5 + ["validation"] * 3 + ["test"] * 2 + [
        "judge"
    ] * 4
    assert longer[:5] == first[:5] and longer[1500:] == first[5:]
    assert len({d.text for d in longer}) > 1490
    other = list(Worlds(few.model_copy(update={"seed": 8})).documents())
    assert other[0] != first[0]
    prints = {Worlds(c).fingerprint() for c in (few, many, few.model_copy(update={"type": "x"}))}
    assert len(prints) == 2


def test_more_mentions_than_factors_are_refused():
    with pytest.raises(ValidationError, match="at most 2"):
        WorldsConfig(factors=2, mentions=3)
