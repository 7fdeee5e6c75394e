"""How long a bench will take."""

from __future__ import annotations

import pytest

from colaflex.leaderboard.bench_pace import Pace
from colaflex.leaderboard.cells import Cell, Trial

CELL, TRIAL = Cell("row", "small", 0), Trial("row", "small", 0)


def test_minutes_of_runs_are_those_of_the_ended_ones_over_the_workers() -> None:
    pace = Pace(0.25, 2)
    assert pace.minutes_of(3, 8) is None
    pace.took(TRIAL, 60)
    pace.took(TRIAL, 120)
    assert pace.minutes_of(0, 8) == pytest.approx(8 * 1.5 / 2)
    assert pace.minutes_of(3, 8) == pytest.approx((8 * 1.5 + 3 * 6) / 2)
    pace.took(CELL, 240)
    assert pace.minutes_of(3, 8) == pytest.approx((8 * 1.5 + 3 * 4) / 2)


def test_minutes_of_training_go_by_the_records_flops() -> None:
    pace = Pace(0.25, 2)
    assert pace.minutes_for(1e12) is None
    pace.recorded(1e12, 60)
    assert pace.minutes_for(4e12) == pytest.approx(2)
    assert pace.minutes_for(4e12, [(1e12, 180)]) == pytest.approx(4)
