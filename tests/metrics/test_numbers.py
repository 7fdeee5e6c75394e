from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colaflex.interfaces.metric import Measurement
from colaflex.metrics.numbers import compact, decimals, duration, interval, number, with_unit


@pytest.mark.parametrize(
    ("value", "text"),
    [(2_712_320, "2.71 M"), (3.1e14, "310 T"), (999_600, "1.00 M"), (12, "12.0"), (0, "0")],
)
def test_compact(value: float, text: str) -> None:
    assert compact(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.25 s"), (59.6, "1 min"), (371, "6 min 11 s"), (7200, "2 h"), (2e5, "2 d 7 h")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_numbers_show_what_the_interval_supports() -> None:
    measured = Measurement(0.99781, 0.9974, 0.9982, 100)
    places = decimals([measured], "share")
    assert (number(measured.value, "share", places), interval(measured, "share", places)) == (
        "99.78",
        "99.74 – 99.82",
    )
    assert number(0.644, "share") == "64.4"
    assert number(-8.32, "", 2) == "−8.32" and number(-0.001, "", 2) == "0.00"
    assert interval(Measurement(0, -1.0, 1.0, 2), "", 1) == "−1.0 to 1.0"
    assert interval(Measurement(1, math.nan, 1, 2)) == "" and decimals([]) is None
    assert with_unit("5.31 k", "tokens/s") == "5.31 k tokens/s"
    assert with_unit("1.13 G", "bytes") == "1.13 GB"
    assert with_unit("61.0", "share") == "61.0 %"


@given(st.floats(allow_nan=True, allow_infinity=True), st.sampled_from(["", "share", "bytes"]))
def test_every_float_can_be_printed(value: float, unit: str) -> None:
    assert "nan" not in number(value, unit) and "inf" not in number(value, unit)
    compact(value)
    duration(abs(value))
