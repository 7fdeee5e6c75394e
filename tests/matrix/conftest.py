"""Makes the matrix importable, and says at the end how many cells there were and how they fared."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

CELL = "cell"


@pytest.hookimpl
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Counts what cells have noted of themselves; of parallel workers as well."""
    fared: Counter[str] = Counter()
    seconds = []
    for outcome, reports in terminalreporter.stats.items():
        for report in reports:
            noted = dict(getattr(report, "user_properties", ())).get(CELL)
            if noted is not None and report.when == "call":
                fared[noted if outcome == "passed" else outcome] += 1
                seconds.append(report.duration)
    if fared:
        counts = ", ".join(f"{count} {how}" for how, count in sorted(fared.items()))
        terminalreporter.write_line(
            f"matrix: {len(seconds)} cells ({counts}), {sum(seconds):.0f} s of work, "
            f"longest {max(seconds):.1f} s"
        )
