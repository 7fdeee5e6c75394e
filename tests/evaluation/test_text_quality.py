from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colaflex.evaluation.text_quality import (
    TextSamples,
    clip_words,
    equal_size,
    real_text_metrics,
    split_words,
)
from colaflex.evaluation.training_text import TrainingText

ROWS = {
    "model": TextSamples(["The light was good.", "God saw the zebra"], [True, False]),
    "real": TextSamples(["And God saw it. The light was good.", "It was good."], [True, True]),
}
TRAINING = TrainingText(
    [["the", "light", "was", "good"], ["and", "god", "saw", "it"]],
    [split_words(text) for row in ROWS.values() for text in row.texts],
    n=3,
)


class UniformJudge:
    """Gives every token of a vocabulary of 256 bytes and an end the same probability."""

    end_of_text = 256

    def nll(self, documents: Sequence[Sequence[int]]) -> list[tuple[float, int]]:
        return [(len(document) * math.log(257), len(document)) for document in documents]


def test_rows_are_measured_at_equal_size():
    rows = real_text_metrics(ROWS, TRAINING)
    assert set(rows["model"].metrics) == set(rows["real"].metrics) == {
        "mean_words", "mean_bytes", "ended", "unigram_entropy", "distinct_1", "distinct_2",
        "distinct_3", "distinct_4", "repetition", "longest_repeat", "copying", "known_words",
        "known_bigrams",
    }  # fmt: skip
    assert rows["model"].metrics["mean_words"].value == 4
    assert rows["real"].metrics["mean_words"].value == 5.5
    # The real row is cut to the model's eight words: its first document.
    assert rows["real"].metrics["known_bigrams"].value == pytest.approx(6 / 7)
    assert rows["real"].metrics["distinct_1"].value == 1
    assert rows["model"].metrics["known_words"].value == pytest.approx(7 / 8)
    assert rows["model"].metrics["copying"].value == pytest.approx(2 / 4)
    assert (rows["model"].metrics["ended"].value, rows["real"].metrics["ended"].value) == (0.5, 1)


def test_the_judge_reads_whole_texts_and_the_end_only_where_they_ended():
    rows = real_text_metrics(ROWS, TRAINING, UniformJudge(), lambda text: list(text.encode()))
    model = rows["model"].metrics
    sizes = [len(text) for text in ROWS["model"].texts]
    assert model["judge_nll"].value == pytest.approx(math.log(257))
    expected = (sum(sizes) + 1) * math.log(257) / sum(sizes)
    assert model["judge_nll_per_byte"].value == pytest.approx(expected)
    items = rows["model"].items
    assert set(items) == {"judge_nll", "judge_nll_per_byte", "ended"}
    for name, found in items.items():
        weights = found.weights or (1.0,) * len(sizes)
        assert sum(found.values) / sum(weights) == pytest.approx(model[name].value), name


def test_what_a_judge_says_per_byte_is_left_out_where_its_tokens_say_less():
    def writes(texts: Sequence[str]) -> bool:
        return not any("zebra" in text for text in texts)

    judged = UniformJudge(), lambda text: list(text.encode())
    rows = real_text_metrics(ROWS, TRAINING, *judged, writes=writes)
    assert "judge_nll_per_byte" in rows["real"].metrics and rows["real"].left_out == {}
    assert "judge_nll_per_byte" not in {*rows["model"].metrics, *rows["model"].items}
    assert set(rows["model"].left_out) == {"judge_nll_per_byte"}
    assert "judge_nll" in rows["model"].metrics


def test_a_judge_needs_its_tokenizer():
    with pytest.raises(ValueError, match="come together"):
        real_text_metrics(ROWS, TRAINING, UniformJudge())


def test_a_row_of_empty_texts_is_measured_as_far_as_it_goes():
    rows = real_text_metrics({**ROWS, "mute": TextSamples(["", ""], [True, True])}, TRAINING)
    assert rows["mute"].metrics["mean_words"].value == 0
    assert rows["mute"].metrics["unigram_entropy"].n == 0
    assert rows["model"].metrics["unigram_entropy"].value > 1


def test_measures_of_texts_import_without_torch():
    modules = ["brier", "compare", "diversity", "ngram", "text_quality", "training_text"]
    lines = [f"import colaflex.evaluation.{name}" for name in modules]
    code = "\n".join(["import sys", *lines])
    code += "\nassert 'torch' not in sys.modules, 'torch was imported'"
    subprocess.run([sys.executable, "-c", code], check=True)


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
