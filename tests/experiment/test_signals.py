"""A command that is asked to stop ends with 130 and says what is left to do; real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def found(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """How each of some commands ended."""
    script, root = Path(__file__).with_name("signal_command.py"), tmp_path_factory.mktemp("signals")
    done = subprocess.run(
        [sys.executable, str(script), str(root), str(tiny)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLAFLEX_CACHE": str(root / "cache")},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_run_that_is_stopped_while_it_is_measured_goes_on_there(found: Any, name: str) -> None:
    ended = found[f"run {name}"]
    assert ended["code"] == 130
    assert "Traceback" not in ended["said"]
    last = ended["said"].splitlines()[-1]
    assert last == (
        "interrupted; training is done and kept, --resume measures the model without training again"
    )


def test_a_resumed_run_is_measured_without_training(found: Any) -> None:
    assert "prior: step 9 of 9" in found["run SIGHUP"]["said"]
    again = found["run again"]
    assert again["code"] == 130 and "step" not in again["said"]
    assert "--resume measures the model" in again["said"]


@pytest.mark.parametrize("name", ["evaluate", "generate"])
def test_a_command_that_keeps_nothing_is_interrupted_at_once(found: Any, name: str) -> None:
    ended = found[name]
    assert ended["code"] == 130
    assert ended["said"].splitlines()[-1] == "interrupted"
    assert "Traceback" not in ended["said"]


def test_what_is_to_outlive_its_terminal_does(found: Any) -> None:
    assert found["nohup"]["code"] == 0
    assert "interrupted" not in found["nohup"]["said"]
