"""Tasks on stories of known facts: what is asked, and which continuations are right."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import colaflex
from colaflex.corpora.worlds import Worlds
from colaflex.corpora.worlds_process import WorldsConfig
from colaflex.errors import UserError
from colaflex.interfaces.task import TaskSource


def worlds(**options: Any) -> Worlds:
    sizes = {"documents": 1, "validation_documents": 1, "judge_documents": 1}
    return Worlds(WorldsConfig(**{**sizes, "test_documents": 60, **options}))


def source(corpus: Worlds) -> TaskSource:
    texts = [each.text for each in corpus.documents() if each.split == "test"]
    return TaskSource(documents=texts, truth=corpus.truth())


def task(name: str, corpus: Worlds, **options: Any) -> Any:
    return colaflex.build("task", name, source=source(corpus), **options)


def other_value(corpus: Worlds, sentence: str, place: int, factor: str) -> str:
    """The sentence with another value of a factor."""
    parsed = corpus.world.parse_sentence(sentence, place)
    assert parsed is not None
    names = [corpus.world.factor_name(f) for f in corpus.world.mentioned(place)]
    values = list(parsed.values)
    values[names.index(factor)] = (values[names.index(factor)] + 1) % corpus.config.values
    return corpus.world.render_sentence(type(parsed)(place, parsed.paraphrase, tuple(values)))


def test_cloze_is_right_where_the_next_sentence_agrees_with_what_was_told() -> None:
    corpus = worlds()
    cloze, truth = task("worlds_cloze", corpus), corpus.truth()
    items = list(cloze.items())
    assert len(items) == 60
    places = set()
    for item in items:
        before = truth.sentences(item.prompts[0])
        place = len(before)
        places.add(place)
        assert item.prompts[0].endswith(".")
        facts = truth.facts(item.truth, place)
        assert facts is not None
        told = cloze.stated_before(before)
        again = [factor for factor in facts if factor in told]
        assert again, "the place is one where a factor recurs"
        assert cloze.right(item, [f" {item.truth} More of it."], None)
        assert cloze.right(item, [truth.reworded(item.truth, place)], None)
        for factor in facts:
            said = other_value(corpus, item.truth, place, factor)
            assert cloze.right(item, [said], None) is (factor not in told)
        for wrong in ("", before[0], item.truth[:-1], "Nonsense."):
            assert not cloze.right(item, [wrong], None)
    assert len(places) > 1


def test_cloze_of_unshared_factors_is_right_by_chance() -> None:
    corpus = worlds(sharing=0.0, values=2, test_documents=600)
    cloze = task("worlds_cloze", corpus, items=600)
    right = [cloze.right(item, [item.truth], None) for item in cloze.items()]
    assert len(right) > 400
    # True sentences agree by chance: with 1/2 where one factor recurs, 1/4 where two do.
    assert 0.2 < np.mean(right) < 0.6


def test_order_is_right_where_the_sentence_is_one_of_its_place() -> None:
    corpus = worlds()
    order, truth = task("worlds_order", corpus), corpus.truth()
    items = list(order.items())
    assert [len(truth.sentences(item.prompts[0])) for item in items[:6]] == [1, 2, 3, 1, 2, 3]
    for item, other in zip(items, items[3:], strict=False):
        assert order.right(item, [item.truth], None)
        assert order.right(item, [f" {other.truth}"], None)  # the place counts, not the facts
    for item, other in pairwise(items):
        assert not order.right(item, [other.truth], None)


def test_paraphrases_have_the_same_facts_in_other_words() -> None:
    corpus = worlds()
    paraphrase, truth = task("worlds_paraphrase", corpus), corpus.truth()
    for item in paraphrase.items():
        own, other = (truth.sentences(prompt) for prompt in item.prompts)
        assert len(own) == len(other)
        for place, (one, two) in enumerate(zip(own, other, strict=True)):
            assert one != two and truth.facts(one, place) == truth.facts(two, place)


def test_paraphrase_is_right_where_both_agree_on_what_was_told() -> None:
    corpus = worlds()
    paraphrase, truth = task("worlds_paraphrase", corpus), corpus.truth()
    for item in paraphrase.items():
        before = truth.sentences(item.prompts[0])
        place, told = len(before), paraphrase.stated_before(before)
        assert paraphrase.right(item, [item.truth, truth.reworded(item.truth, place)], None)
        for factor in truth.facts(item.truth, place):
            said = other_value(corpus, item.truth, place, factor)
            assert paraphrase.right(item, [item.truth, said], None) is (factor not in told)
            assert paraphrase.right(item, [said, said], None)
        assert not paraphrase.right(item, [item.truth, "Nonsense."], None)
        assert not paraphrase.right(item, ["", ""], None)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("worlds_cloze", {"sentences": 1}, "more sentences, or more mentions"),
        ("worlds_order", {"sentences": 1}, "two sentences or more"),
        ("worlds_paraphrase", {"paraphrases": 1}, "paraphrases of 2 or more"),
    ],
)
def test_stories_that_give_no_item(name: str, options: Any, message: str) -> None:
    with pytest.raises(UserError, match=f"the task {name}: no held-out story .*{message}"):
        list(task(name, worlds(**options)).items())


def test_a_corpus_that_knows_no_facts_is_refused() -> None:
    made = colaflex.build("task", "worlds_order", source=TaskSource(documents=["One. Two."]))
    with pytest.raises(UserError, match="worlds_order needs a corpus that knows the facts"):
        list(made.items())
