"""Study results in sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from colaflex.metrics.numbers import tick
from colaflex.studies.explanation.explanation import Drift, Explanation, Importance, Interval
from colaflex.studies.page.comparisons import FreshResult, Gap
from colaflex.studies.page.goals import GoalText, p_text
from colaflex.studies.page.importance_figures import pair_text

__all__ = [
    "LEVEL",
    "drift_answer",
    "drift_verdict",
    "gap_sentence",
    "importance_sentence",
    "interaction_sentence",
    "interval_text",
    "optimism_sentence",
]

LEVEL = 0.05


def interval_text(one: Interval | Importance, scale: float = 1.0, places: int = 2) -> str:
    """An estimate with its bounds: 0.48 [0.31, 0.66]; "" where it is not known."""
    if not math.isfinite(one.value):
        return ""
    value, low, high = (_fixed(scale * each, places) for each in (one.value, one.low, one.high))
    if not (math.isfinite(one.low) and math.isfinite(one.high)):
        return value
    return f"{value} [{low}, {high}]"


def gap_sentence(gap: Gap, rows: Sequence[FreshResult], text: GoalText) -> str:
    """Whether the best point of the search is better than another row, on fresh seeds."""
    difference = gap.difference
    bounds = text.gap_interval(difference)
    if not math.isfinite(difference.value):
        return ""
    sentence = f"Against {gap.arm}: {text.gap(difference.value)}"
    if not bounds:
        fewest = min(len(row.values) for row in rows if row.arm in (rows[0].arm, gap.arm))
        return f"{sentence}, without an interval: {_count(fewest, 'fresh seed')} of one of the two."
    known = f"(95 % interval {bounds}, {p_text(gap.p_value)})"
    if gap.p_value >= LEVEL:
        return f"{sentence} {known}: these seeds can't tell the two apart."
    ahead = difference.value * text.goal.sign > 0
    return f"{sentence}, {'better' if ahead else 'worse'} {known}."


def optimism_sentence(row: FreshResult, text: GoalText) -> str:
    """How much better the search saw the point than fresh seeds do."""
    if not math.isfinite(row.seen):
        return ""
    rosy = text.goal.sign * (row.seen - row.measured.value)
    sentence = f"The search itself saw {text.value(row.seen)} on validation, "
    if text.number(abs(rosy)).strip("0.") == "":
        return sentence + "the same."
    amount = text.gap(abs(rosy)).removeprefix("+")
    if rosy > 0:
        return f"{sentence}{amount} better than fresh seeds: the best of many is partly luck."
    return f"{sentence}{amount} worse than fresh seeds."


def importance_sentence(explanation: Explanation, names: Mapping[str, str]) -> str:
    """Which settings matter most."""
    known = [one for one in explanation.importances if math.isfinite(one.value)]
    if not known:
        return ""
    settings = [
        f"{names.get(one.name, one.name)} ({_percent(one.value, one.low, one.high)})"
        for one in known[:3]
    ]
    return f"What matters most, as shares of what the settings explain: {', '.join(settings)}."


def interaction_sentence(explanation: Explanation, names: Mapping[str, str]) -> str:
    """Which settings act together."""
    known = [one for one in explanation.interactions if math.isfinite(one.share.value)]
    clear = [one for one in known if one.p_value < LEVEL]
    if not known:
        return ""
    if not clear:
        most = known[0]
        return (
            "No pair is known to act together: the effects may simply add up (nearest to it: "
            f"{pair_text(most.first, most.second, names)}, {p_text(most.p_value)})."
        )
    pairs = [
        f"{pair_text(one.first, one.second, names)} "
        f"({_percent(one.share.value, one.share.low, one.share.high)}, {p_text(one.p_value)})"
        for one in clear[:3]
    ]
    return f"Pairs that explain together what neither does alone: {', '.join(pairs)}."


def drift_answer(drift: Drift, names: Mapping[str, str]) -> str:
    """Is the best of one setting a function of another? One sentence."""
    of, along = names.get(drift.of, drift.of), names.get(drift.along, drift.along)
    if not math.isfinite(drift.slope.value):
        if not math.isfinite(drift.p_value):
            return f"Whether the best {of} depends on {along} could not be estimated."
        if drift.p_value < LEVEL:
            return f"The best {of} depends on {along} ({p_text(drift.p_value)})."
        return (
            f"Not found: that the best {of} depends on {along} ({p_text(drift.p_value)}); "
            "the data allow that it doesn't."
        )
    per = f"ln {along}" if drift.log else along
    slope = f"slope {interval_text(drift.slope)} per unit of {per}, {p_text(drift.p_value)}"
    if drift.found:
        way = "rises" if drift.slope.value > 0 else "falls"
        return f"Found: the best {of} {way} with {along} ({slope})."
    return f"Not found: that the best {of} depends on {along} ({slope}); the data allow no drift."


def drift_verdict(drift: Drift) -> str:
    """Whether a drift agrees with the law; "" where there is no law."""
    agrees, slope = drift.agrees, drift.slope
    if agrees is None or drift.law is None or not math.isfinite(slope.low + slope.high):
        return ""
    law = "½" if drift.law == 0.5 else tick(drift.law)
    if drift.found:
        return (
            f"The interval covers the law's {law}."
            if agrees
            else f"The interval leaves out the law's {law}."
        )
    if agrees:
        return f"The interval covers the law's {law} as well: the data can't tell it from no drift."
    return f"The interval leaves out the law's {law}."


def _percent(value: float, low: float, high: float) -> str:
    text = f"{_fixed(100 * value, 0)} %"
    if math.isfinite(low) and math.isfinite(high):
        text += f" [{_fixed(100 * low, 0)}, {_fixed(100 * high, 0)}]"
    return text


def _fixed(value: float, places: int) -> str:
    text = f"{abs(value):.{places}f}"
    return f"−{text}" if value < 0 and text.strip("0.") else text


def _count(number: int, noun: str) -> str:
    return f"only {number} {noun}{'' if number == 1 else 's'}"
