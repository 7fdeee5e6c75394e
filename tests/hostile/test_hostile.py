"""Files from others, damaged or made to harm: named or harmless, in time, in little memory.

Every case ends with a message, or with the very output of the files as they were. Nothing outside
is written, no traceback is shown. The cases of a test share one process, whose largest size is
looked at as it ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MOST_SECONDS = 30.0
MOST_BYTES = 1 << 30
AT_LEAST = {"runs": 60, "specs": 40, "inputs": 20, "caches": 15}


@pytest.mark.timeout(280)
@pytest.mark.parametrize("what", AT_LEAST)
def test_nothing_harms(what: str, tiny: Path, finished: Path, tmp_path: Path) -> None:
    script = Path(__file__).with_name("hostile_command.py")
    done = subprocess.run(
        [sys.executable, str(script), what, str(tiny), str(finished), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLAFLEX_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    report: dict[str, Any] = json.loads(done.stdout)
    cases = report["cases"]
    assert len(cases) >= AT_LEAST[what]
    wrong = {case["name"]: case["fault"] for case in cases if case["fault"]}
    assert not wrong
    slow = {case["name"]: case["seconds"] for case in cases if case["seconds"] > MOST_SECONDS}
    assert not slow
    assert report["peak"] - report["peak_before"] < MOST_BYTES
