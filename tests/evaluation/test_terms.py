from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from colaflex.evaluation.compare import compare_metrics
from colaflex.evaluation.terms import Terms, differences_of, why_not
from colaflex.interfaces.metric import Items

SPEC = {
    "sampling.steps": 16,
    "sampling.max_new_tokens": 96,
    "evaluation.samples": 64,
    "evaluation.prompt_tokens": 0,
    "evaluation.judge.steps": 600,
    "evaluation.tasks": [{"type": "colaflex:last_word"}, {"type": "cloze", "name": "mine"}],
    "prior.type": "flow_matching",
}
RESULT = {
    "split": "test",
    "environment": {"device": "cpu", "processor": "x86_64", "threads": 2},
    "measurement": {"corpus": "c0", "tokenizer": "t0", "judge": "j0", "settings": {}},
}
OLD = {key: value for key, value in RESULT.items() if key != "measurement"}


def terms(
    result: dict[str, Any] = RESULT, data: str = "d0", tokenizer: str = "t0", **spec: Any
) -> Terms:
    changed = {name.replace("__", "."): value for name, value in spec.items()}
    return Terms.of(result, data, {**SPEC, **changed}, tokenizer)


def measured(**changes: Any) -> dict[str, Any]:
    return {**RESULT, "measurement": {**RESULT["measurement"], **changes}}  # type: ignore[dict-item]


OTHER_CORPUS = terms(measured(corpus="c1", judge="j1"), "d1")
OTHER_TOKENS = terms(measured(tokenizer="t1", judge="j1"), "d1")


@pytest.mark.parametrize(
    ("other", "metric", "reason"),
    [
        (terms(), "generation.judge_nll", ""),
        (terms(prior__type="rectified_flow"), "generation.judge_nll", ""),
        (OTHER_CORPUS, "likelihood.bits_per_byte", "other data"),
        (OTHER_CORPUS, "generation.judge_nll", "other data, another judge"),
        (OTHER_CORPUS, "task.last_word.accuracy", "other data"),
        (OTHER_CORPUS, "speed.generation_tokens_per_second", ""),
        (OTHER_TOKENS, "likelihood.bits_per_byte", ""),  # what it is for
        (OTHER_TOKENS, "likelihood.nats_per_token", "other tokens"),
        (OTHER_TOKENS, "reconstruction.token_accuracy", "other tokens"),
        (OTHER_TOKENS, "generation.real.judge_nll", "other tokens, another judge"),
        (OTHER_TOKENS, "generation.at_steps.4.judge_nll_per_byte", "another judge"),
        (OTHER_TOKENS, "generation.brier_lm", "other tokens"),
        (OTHER_TOKENS, "speed.training_tokens_per_second", "other tokens"),
        (OTHER_TOKENS, "generation.known_words", ""),
        (terms(measured(judge="j1")), "judge.held_out_nll", "another judge"),
        (terms(measured(judge="j1")), "generation.unigram_entropy", ""),
        (terms({**RESULT, "split": "validation"}), "reconstruction.nll", "another split"),
        (terms(sampling__steps=4), "generation.judge_nll", ""),  # how it samples is the model's
        (
            terms(sampling__max_new_tokens=48),
            "generation.distinct_2",
            "texts begun or cut otherwise",
        ),
        (terms(evaluation__prompt_tokens=8), "reconstruction.nll", ""),
        (
            terms({**RESULT, "environment": {"device": "cuda"}}),
            "speed.seconds_per_sample",
            "another machine",
        ),
        (
            terms({**RESULT, "environment": {"device": "cuda"}}),
            "speed.network_evaluations_per_block",
            "",
        ),
        (
            terms(evaluation__tasks=[{"type": "last_word", "items": 9}]),
            "task.last_word.accuracy",
            "the task set otherwise",
        ),
        (
            terms(evaluation__tasks=[{"type": "colaflex:last_word"}]),
            "task.last_word.accuracy",
            "",
        ),
        (terms(evaluation__tasks=[]), "task.mine.accuracy", "the task set otherwise"),
    ],
)
def test_what_keeps_a_figure_from_comparing(other: Terms, metric: str, reason: str) -> None:
    assert why_not(metric, terms(), other) == why_not(metric, other, terms()) == reason
    assert bool(differences_of([terms(), other])) == (other != terms())


@pytest.mark.parametrize("metric", ["unigram_entropy", "distinct_2", "distinct_documents", "kl_a"])
def test_what_hangs_on_the_number_of_texts_compares_at_equal_numbers(metric: str) -> None:
    name = f"generation.{metric}"
    assert why_not(name, terms(), terms(), (64, 16)) == "another number of texts"
    assert why_not(name, terms(), terms(), (64, 64)) == ""
    assert why_not("generation.judge_nll", terms(), terms(), (64, 16)) == ""


def test_runs_that_record_no_judge_are_held_by_settings_and_data() -> None:
    old = terms(OLD)
    assert why_not("generation.judge_nll", old, terms()) == ""
    longer = terms(OLD, evaluation__judge__steps=60)
    assert why_not("generation.judge_nll", old, longer) == "another judge"
    assert why_not("generation.judge_nll", old, terms(OLD, "d1")) == "other data, another judge"
    # Without a digest of the corpus alone, other tokens may be of other data.
    assert why_not("likelihood.bits_per_byte", old, terms(OLD, "d1", "t1")) == "other data"


def test_a_run_that_was_measured_anew_is_held_by_how() -> None:
    anew = terms(measured(settings={"sampling.max_new_tokens": 48}))
    assert why_not("generation.ended", terms(), anew) == "texts begun or cut otherwise"
    assert [row["what"] for row in differences_of([terms(), anew])] == ["max_new_tokens"]


def test_of_what_does_not_compare_nothing_is_tested() -> None:
    name, values = "reconstruction.nll", (3.0, 5.0, 2.0, 7.0, 4.0, 6.0, 5.0)
    metrics = [{name: {"value": v, "low": v - 0.1, "high": v + 0.1, "n": 7}} for v in (1.0, 2.0)]
    items = [{name: Items(tuple(v + k for v in values))} for k in (0, 1)]
    both = replace(terms(), split="validation")
    (same,) = compare_metrics(metrics, items, [terms(), terms()])[0]["differences"]  # type: ignore[misc]
    assert same["comparable"] and same["clear"] and same["p"] == 2 / 2**7 and "reason" not in same
    (apart,) = compare_metrics(metrics, items, [terms(), both])[0]["differences"]  # type: ignore[misc]
    assert apart["reason"] == "another split" and not apart["comparable"] and not apart["clear"]
    assert apart["value"] == 1 and apart["low"] is None and "p" not in apart
