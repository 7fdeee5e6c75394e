"""metrics.jsonl survives torn tails and full disks; windows keep every step."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from colaflex.errors import RunFailure, UserError
from colaflex.training.distributed import Processes
from colaflex.training.metrics_log import MetricsLog
from colaflex.training.stage_loop import Window


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_cuts_what_the_checkpoint_did_not_know(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    log.append({"step": 1})
    kept = log.sync()
    log.append({"step": 2})
    log.close()
    with path.open("a") as file:
        file.write('{"step": 3, "lo')
    log = MetricsLog(path, kept)
    log.append({"step": 4})
    log.close()
    assert lines(path) == [{"step": 1}, {"step": 4}]
    MetricsLog(path).close()
    assert path.read_bytes() == b""


@pytest.mark.parametrize("tail", [b"", b'{"step": 1}\n', b'{"step": 1}\n{"st'])
def test_a_file_shorter_than_the_checkpoint_knew_is_reported(
    tmp_path: Path, tail: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(tail)
    log = MetricsLog(path, 40)
    log.append({"step": 9})
    log.close()
    assert lines(path)[-1] == {"step": 9}
    assert len(lines(path)) == tail.count(b"\n") + 1
    assert "has lost lines" in caplog.text


def test_lines_wait_for_room_on_a_full_disk(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.append({"step": 1})
    real = log._file

    class Full:
        """Takes five bytes more, then none."""

        room = 5

        def write(self, data: bytes) -> int:
            if not self.room:
                raise OSError(errno.ENOSPC, "No space left on device")
            taken, self.room = real.write(data[: self.room]), 0
            return taken

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

    log._file = Full()  # type: ignore[assignment]
    log.append({"step": 2})
    log.append({"step": 3})
    with pytest.raises(OSError, match="No space left"):
        log.sync()
    assert lines(log.path) == [{"step": 1}]
    assert caplog.text.count("No space left") == 1
    log._file = real
    log.append({"step": 4})
    assert log.sync() == log.path.stat().st_size
    assert [line["step"] for line in lines(log.path)] == [1, 2, 3, 4]
    log.close()


def test_a_window_sums_shares_and_averages_steps() -> None:
    window = Window("prior", Processes())
    for step in range(3):
        for share in (0.25, 0.75):
            window.add(step, ("loss.a", "loss"), torch.tensor([step * share, share]))
    window.add(2, ("gradient_norm",), torch.tensor([4.0]))
    window.read()
    assert len(window.rows) == 3
    assert window.means() == {"loss.a": 1.0, "loss": 1.0, "gradient_norm": 4.0}
    assert window.means() == {}


def test_what_is_not_finite_is_named_with_its_first_step() -> None:
    window = Window("prior", Processes())
    window.add(7, ("loss.a", "loss.b", "loss"), torch.tensor([1.0, 2.0, 3.0]))
    window.add(8, ("loss.a", "loss.b", "loss"), torch.tensor([1.0, torch.inf, torch.inf]))
    window.add(9, ("loss.a", "loss.b", "loss"), torch.tensor([torch.nan] * 3))
    with pytest.raises(RunFailure, match=r"stage prior, step 8: loss\.b is inf"):
        window.means()


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(UserError, match="a pipe"):
        MetricsLog(path, 5)
    os.close(reader)
