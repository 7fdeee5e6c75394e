"""Whether representation or prior stands between samples and real text."""

from __future__ import annotations

import io
from typing import Any

import pytest

from colaflex.interfaces.metric import Measurement
from colaflex.metrics.limits import what_limits
from colaflex.report import print_summary

ROWS = ("real.", "oracle_latents.", "")


def measured(
    measure: str, values: tuple[float, ...], width: float = 0.02
) -> dict[str, Measurement]:
    return {
        f"generation.{row}{measure}": Measurement(value, value - width, value + width, 300)
        for row, value in zip(ROWS, values, strict=True)
    }


@pytest.mark.parametrize(
    ("measure", "values", "limit"),
    [
        ("coherent_documents", (1.0, 0.55, 0.51), "the representation loses most"),
        ("coherent_documents", (1.0, 1.0, 0.88), "the prior loses most"),
        ("coherent_documents", (1.0, 0.9, 0.7), "the prior loses most"),
        ("coherent_documents", (1.0, 0.99, 0.98), "neither part loses anything"),
        ("coherent_documents", (0.9, 0.97, 0.99), "neither part loses anything"),
        ("judge_nll", (4.0, 4.1, 5.2), "the prior loses most"),
        ("judge_nll", (4.0, 5.1, 5.2), "the representation loses most"),
        ("judge_nll", (4.0, 3.9, 3.2), "neither part loses anything"),
    ],
)
def test_the_part_that_loses_more_is_named(
    measure: str, values: tuple[float, ...], limit: str
) -> None:
    said = what_limits(measured(measure, values))
    assert said.startswith(f"what limits: {limit}"), said


def test_all_three_values_stand_in_the_sentence_and_in_the_summary() -> None:
    metrics = measured("coherent_documents", (1.0, 0.55, 0.51))
    said = what_limits(metrics)
    assert all(value in said for value in ("100.0 % in real text", "55.0 % from", "51.0 % from"))
    shown = io.StringIO()
    result: dict[str, Any] = {"metrics": {name: one.as_json() for name, one in metrics.items()}}
    print_summary(result, shown)
    assert said in shown.getvalue().replace("\n", " ")


def test_nothing_is_said_of_a_model_without_latents() -> None:
    metrics = measured("coherent_documents", (1.0, 0.9, 0.7))
    del metrics["generation.oracle_latents.coherent_documents"]
    assert what_limits(metrics) == ""


def test_of_an_adapted_decoder_the_one_before_stands_beside_it() -> None:
    metrics = measured("coherent_documents", (1.0, 0.99, 0.9))
    told = what_limits(metrics)
    for row, value in (("oracle_unadapted", 0.97), ("unadapted", 0.42)):
        at = f"generation.{row}.coherent_documents"
        metrics[at] = Measurement(value, value - 0.02, value + 0.02, 300)
    before = "; by the decoder before it was adapted to the prior, 97.0 % from the encoder's own "
    assert what_limits(metrics) == f"{told}{before}latents, 42.0 % from the prior's"
