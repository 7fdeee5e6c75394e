from __future__ import annotations

import pytest

from colaflex.interfaces.metric import Measurement
from colaflex.report.metrics import METRICS, describe, place
from colaflex.report.sections import generation_of, sweeps_of
from colaflex.report.sized import beside


def of(value: float, n: int) -> Measurement:
    return Measurement(value, value - 0.1, value + 0.1, n)


OLD = {
    "generation.unigram_entropy": of(4.4, 64),
    "generation.real.unigram_entropy": of(4.5, 64),
    "generation.judge_nll": of(3.6, 64),
    "generation.real.judge_nll": of(3.1, 64),
    "generation.at_steps.4.unigram_entropy": of(3.9, 16),
    "generation.at_steps.8.unigram_entropy": of(4.0, 16),
}
NEW = {
    **OLD,
    "generation.at_samples.16.unigram_entropy": of(4.0, 15),
    "generation.at_samples.16.real.unigram_entropy": of(4.1, 15),
}


def test_what_hangs_on_the_number_of_texts() -> None:
    sized = {pattern for pattern, info in METRICS.items() if info.sized}
    assert sized == {
        "generation.unigram_entropy", "generation.distinct_?", "generation.distinct_documents",
        "generation.kl*pair*", "generation.kl*",
    }  # fmt: skip
    assert describe("generation.at_samples.16.real.distinct_2").sized


@pytest.mark.parametrize("row", ["", "real."])
def test_references_beside_a_sweep_are_of_as_many_texts(row: str) -> None:
    name = f"generation.{row}unigram_entropy"
    assert beside(OLD, name, 16) is None  # 64 texts say more than 16
    assert beside(OLD, name, 64) == OLD[name]
    assert beside(NEW, name, 16) == NEW[f"generation.at_samples.16.{row}unigram_entropy"]
    nll = f"generation.{row}judge_nll"
    assert beside(OLD, nll, 16) == OLD[nll]
    assert beside(NEW, "generation.trigram.unigram_entropy", 16) is None


def test_the_number_of_texts_is_no_sweep_and_no_row_of_its_own() -> None:
    at = place("generation.at_samples.16.real.unigram_entropy")
    assert (at.row, at.metric, at.point) == ("real", "unigram_entropy", (("samples", 16.0),))
    assert [sweep.axis for sweep in sweeps_of(NEW)] == ["steps"]
    generation = generation_of(NEW)
    assert generation.at("real", "unigram_entropy") == of(4.5, 64)
    assert generation.beside("real", "unigram_entropy", 16) == of(4.1, 15)
    assert generation_of(OLD).beside("real", "unigram_entropy", 16) is None
