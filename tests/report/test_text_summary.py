from __future__ import annotations

import io
from typing import Any

from colaflex.report.text_summary import print_seeds, seed_rows


def result(seed: int, **metrics: float | None) -> dict[str, Any]:
    entries = {
        f"generation.{name}": {"value": value, "low": value, "high": value, "n": 64}
        for name, value in metrics.items()
    }
    return {"seed": seed, "metrics": entries}


def test_each_seed_stands_apart_beside_mean_and_spread() -> None:
    results = [result(s, valid_sentences=v) for s, v in ((3, 0.5), (4, 0.6), (5, 0.7))]
    assert seed_rows(results) == [["valid sentences, %", "50.0", "60.0", "70.0", "60.0", "± 10.0"]]


def test_a_metric_that_some_seeds_lack_is_of_the_others() -> None:
    results = [
        result(0, judge_nll=3.5, brier_lm=None),
        result(1, judge_nll=None, brier_lm=None),
        result(2, mean_words=9.0),
    ]
    assert seed_rows(results) == [["judge NLL, nats/token", "3.50", "—", "—", "3.50", ""]]


def test_many_seeds_are_printed_whole() -> None:
    file = io.StringIO()
    print_seeds([result(s, judge_nll=3.25 + s) for s in range(16)], file)
    assert all(f"seed {s}" in file.getvalue() for s in range(16))
    assert all(f"{3.25 + s:.2f}" in file.getvalue() for s in range(6))
    assert "…" not in file.getvalue()
