"""Why trials failed, in lines: each reason once, with its trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["failed_in_words"]

SHOWN = 5


def failed_in_words(failures: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines on the last reasons.

    Args:
        failures: `arm`, `trial` and `reason` of each trial that failed.
    """
    reasons: dict[str, list[str]] = {}
    for failure in failures:
        trial = f"{failure['arm']} {failure['trial']}"
        reasons.setdefault(" ".join(str(failure["reason"]).split()), []).append(trial)
    lines = []
    for reason, trials in list(reasons.items())[-SHOWN:]:
        more = f" and {len(trials) - SHOWN} more" if len(trials) > SHOWN else ""
        lines.append(f"{', '.join(trials[-SHOWN:])}{more}: {reason}")
    if len(reasons) > SHOWN:
        lines.append(f"{len(reasons) - SHOWN} other reasons; `study status --json` has all of them")
    return lines
