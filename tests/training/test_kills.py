"""Fifty SIGKILLs at random moments: the end is bit-identical, the metrics equal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def test_killed_runs_end_bit_identically(tmp_path: Path) -> None:
    script = Path(__file__).with_name("kill_run.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), "50"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout)
    assert report["kills"] >= 50
    assert report["same"] == report["runs"]
