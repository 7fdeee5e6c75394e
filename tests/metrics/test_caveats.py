from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import pytest

from colaflex.interfaces.metric import Measurement
from colaflex.metrics.caveats import caveats, collapse, weak_judge
from colaflex.report import build_report, print_summary


def measured(**values: float) -> dict[str, Measurement]:
    names = {name.replace("__", "."): value for name, value in values.items()}
    return {
        (name if name.startswith("judge") and "." in name else f"generation.{name}"): Measurement(
            value, value - 0.1, value + 0.1, 64
        )
        for name, value in names.items()
    }


SEEN = {
    "unigram_entropy": 1.5, "real__unigram_entropy": 4.5, "judge_nll": 4.7, "real__judge_nll": 6.4,
}  # fmt: skip


def test_a_collapsed_model_and_a_judge_near_uniform_are_both_said() -> None:
    found = caveats(measured(**SEEN), vocabulary=1000)
    assert [each.partition(":")[0] for each in found] == ["collapsed", "weak judge"]
    assert "unigram entropy 1.50 against 4.50 nats" in found[0] and "no quality" in found[0]
    assert "6.40 nats a token on real text, where a uniform guess has 6.91" in found[1]


@pytest.mark.parametrize(
    ("entropy", "real", "collapsed"),
    [
        (4.5, 4.5, False),
        (4.5 - math.log(2) + 0.001, 4.5, False),
        (4.5 - math.log(2) - 0.001, 4.5, True),
        (3.49, 5.20, True),  # "the word of the Lord" again and again
        (4.72, 5.20, False),
        (6.39, 5.20, False),  # a salad is no collapse
        (0.0, 4.5, True),
        (math.nan, 4.5, False),
        (1.5, math.nan, False),
    ],
)
def test_collapse_is_half_the_words(entropy: float, real: float, collapsed: bool) -> None:
    metrics = measured(unigram_entropy=entropy, real__unigram_entropy=real, judge_nll=3.0)
    assert bool(collapse(metrics)) == collapsed


@pytest.mark.parametrize(("different", "collapsed"), [(0.5, False), (0.48, True), (0.01, True)])
def test_one_story_again_and_again_is_a_collapse(different: float, collapsed: bool) -> None:
    metrics = measured(distinct_documents=different, real__distinct_documents=0.98)
    assert bool(collapse(metrics)) == collapsed
    assert "judge" not in collapse(metrics)


@pytest.mark.parametrize(
    ("real", "heap", "vocabulary", "weak"),
    [
        (4.65, 7.81, 4096, False),
        (6.4, 7.8, 1000, True),  # near uniform
        (0.8 * math.log(1000) - 0.01, 9.0, 1000, False),
        (0.8 * math.log(1000) + 0.01, 9.0, 1000, True),
        (5.0, 5.49, 4096, True),  # no better than the tokens' frequencies
        (5.0, 5.51, 4096, False),
        (5.0, 5.49, None, True),
        (6.4, math.nan, None, False),  # nothing to hold it against
        (math.nan, 7.0, 1000, False),
    ],
)
def test_a_weak_judge_on_both_sides(
    real: float, heap: float, vocabulary: int | None, weak: bool
) -> None:
    metrics = measured(real__judge_nll=real, unigram__judge_nll=heap)
    assert bool(weak_judge(metrics, vocabulary)) == weak


def test_its_own_held_out_text_stands_in_for_real_text() -> None:
    metrics = {"judge.held_out_nll": Measurement(6.5, 6.4, 6.6, 20)}
    assert weak_judge(metrics, 1000) and not weak_judge(metrics, 100_000)


def test_of_nothing_nothing_is_said() -> None:
    assert caveats({}) == [] == caveats({}, 1)


def result(metrics: dict[str, Measurement], vocabulary: int = 1000) -> dict[str, Any]:
    return {
        "name": "one", "status": "complete", "measurement": {"vocab_size": vocabulary},
        "metrics": {name: value.as_json() for name, value in metrics.items()},
    }  # fmt: skip


@pytest.mark.parametrize("fine", [False, True])
def test_the_summary_and_the_report_say_it_at_their_head(tmp_path: Path, fine: bool) -> None:
    seen = {**SEEN, "unigram_entropy": 4.4, "real__judge_nll": 4.2} if fine else SEEN
    document = result(measured(**seen))
    stream = io.StringIO()
    print_summary(document, stream)
    (tmp_path / "result.json").write_text(json.dumps(document), "utf-8")
    page = build_report(tmp_path)
    head = page[: page.index("<dl")]
    for text in (stream.getvalue(), head):
        assert ("unigram entropy 1.50 against 4.50" in text) == (not fine)
        assert ("a uniform guess has 6.91" in text) == (not fine)
    assert ("Collapsed</b>: the texts repeat" in head) == (not fine)
