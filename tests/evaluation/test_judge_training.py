from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from colaflex.errors import UserError
from colaflex.evaluation.judge import JudgeSettings
from colaflex.evaluation.judge_training import judge_cost, train_judge

END, SIZE, WIDTH, LAYERS = 0, 12, 16, 2
SETTINGS = JudgeSettings(steps=50, width=WIDTH, layers=LAYERS, heads=2, batch_size=4, max_tokens=8)


def documents(count: int = 40) -> list[list[int]]:
    """Of seven tokens and their end each, so that a row has eight."""
    drawn = np.random.default_rng(0).integers(1, SIZE, (count, 7))
    return [[*row, END] for row in drawn.tolist()]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLAFLEX_CACHE", str(tmp_path))
    return tmp_path


def forward(rows: int, tokens: int) -> int:
    """Products with 12 width² weights a layer and the tied output, and causal pairs, by hand."""
    linear = 2 * tokens * (12 * WIDTH**2 * LAYERS + SIZE * WIDTH)
    return rows * (linear + 4 * LAYERS * WIDTH * tokens * (tokens + 1) // 2)


def test_counts_what_training_and_measuring_cost(cache: Path) -> None:
    found = judge_cost(documents(), SIZE, END, SETTINGS)
    # Batches of up to 32 tokens have three rows of nine, the first token being context. What is
    # held out, four documents, is measured after steps 8, 16, ... 48, and after the last.
    assert found.flops == 50 * 3 * forward(3, 8) + 7 * forward(4, 8)
    assert (found.steps, found.known) == (50, False)
    assert found.seconds > 0
    assert not list(cache.iterdir())  # nothing is kept


def test_a_judge_that_is_known_takes_no_time() -> None:
    train_judge(documents(), SIZE, END, SETTINGS)
    found = judge_cost(documents(), SIZE, END, SETTINGS)
    assert (found.seconds, found.known) == (0.0, True)
    assert found.flops == judge_cost(documents(41)[:40], SIZE, END, SETTINGS).flops


def test_one_step_is_timed_too() -> None:
    settings = JudgeSettings(steps=1, width=8, layers=1, heads=1, batch_size=1, max_tokens=2)
    assert judge_cost(documents(), SIZE, END, settings).seconds > 0


def test_too_few_documents_are_refused_before() -> None:
    with pytest.raises(UserError, match="19 documents"):
        judge_cost(documents(19), SIZE, END, SETTINGS)
