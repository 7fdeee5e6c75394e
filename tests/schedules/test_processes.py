"""Two processes have the law of one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from processes import ROWS, trained


def test_two_processes_follow_one_law_together(tmp_path: Path) -> None:
    script = Path(__file__).with_name("processes.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one, other = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    alone = trained(0, ROWS).state_dict()
    even = torch.linspace(-8, 8, 65, dtype=torch.float64)
    assert not torch.allclose(alone["shares"], torch.special.ndtr(even - 1), atol=1e-2)
    for name, value in alone.items():
        assert one[name].equal(other[name]), name
        torch.testing.assert_close(one[name], value, rtol=1e-5, atol=1e-6)
