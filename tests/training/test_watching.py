"""What one sees of a training run: lines, bars, TensorBoard, peak memory."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tiny_model import train

from colaflex.experiment.watchers import PluginWatcher
from colaflex.hooks import RunInfo
from colaflex.host.life_cycle import LifeCycle
from colaflex.training.interrupts import Interrupts
from colaflex.training.memory import peak_memory_bytes
from colaflex.training.progress import LineProgress, LiveProgress, progress_on
from colaflex.training.tensorboard import TensorBoard
from colaflex.training.watcher import Watcher


def test_plain_lines_away_from_a_terminal(tmp_path: Path) -> None:
    stream = io.StringIO()
    train(tmp_path, watcher=progress_on(stream))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "representation: step 0 of 6"
    assert lines[1].startswith("representation: step 6 of 6, loss ")
    assert lines[1].endswith("0:00 left")
    assert "tokens/s" in lines[1]
    assert [line.split(":")[0] for line in lines[2:]] == ["prior", "prior"]


def test_lines_come_every_few_seconds() -> None:
    stream = io.StringIO()
    progress = LineProgress(stream, seconds=0.0)
    progress.begin("prior", 5, 7205)
    progress._began -= 10
    progress.advance(15)
    assert stream.getvalue().splitlines()[1] == "prior: step 15 of 7205, 1:59:50 left"


def test_what_is_counted_has_lines_too() -> None:
    stream = io.StringIO()
    often, seldom = LineProgress(stream, seconds=0.0), LineProgress(stream)
    for done in (0, 3, 7):
        often.count("evaluation: samples", done, 7, "texts")
        seldom.count("evaluation: task", done, 7, "prompts")
    seldom.count("evaluation: task", 7, 7, "prompts")  # another one of this name
    assert stream.getvalue().splitlines() == [
        "evaluation: samples: 0 of 7 texts",
        "evaluation: samples: 3 of 7 texts",
        "evaluation: samples: 7 of 7 texts",
        "evaluation: task: 7 of 7 prompts",
        "evaluation: task: 7 of 7 prompts",
    ]


def on_a_terminal(watched: Callable[[Watcher], None]) -> str:
    """What a terminal is sent."""
    controller, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stream:
        watched(progress_on(stream))
    shown = b""
    with suppress(OSError):  # the end, where nobody writes any more
        while part := os.read(controller, 100_000):
            shown += part
    os.close(controller)
    return shown.decode()


def test_a_bar_of_what_is_counted_goes_when_it_is_done(tmp_path: Path) -> None:
    def counted(progress: Watcher) -> None:
        for part in ("samples", "a task"):
            for done in range(4):
                progress.count(part, done, 3, "texts")

    shown = on_a_terminal(counted)
    assert "samples" in shown and "a task" in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 2  # cursor away, and back
    assert "3/3" not in shown.rpartition("\x1b[2K")[2]  # erased


def test_counting_within_a_stage_leaves_its_bar(tmp_path: Path) -> None:
    def counted(progress: Watcher) -> None:
        progress.begin("prior", 0, 5)
        progress.advance(2)
        progress.count("samples", 1, 3, "texts")
        progress.count("samples", 3, 3, "texts")
        progress.advance(5)
        progress.end()
        progress.count("given up", 1, 3, "texts")
        progress.end()

    shown = on_a_terminal(counted)
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 2
    assert "5/5" in shown and "given up" in shown


def test_a_bar_on_a_terminal(tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stream:
        progress = progress_on(stream)
        assert isinstance(progress, LiveProgress)
        train(tmp_path, watcher=progress)
        stream.flush()
        shown = os.read(controller, 100_000).decode()
    os.close(controller)
    assert "representation" in shown and "6/6" in shown and "loss" in shown


def test_tensorboard_gets_every_number(tmp_path: Path) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    ).EventAccumulator
    board = TensorBoard()
    run = RunInfo(tmp_path, "tiny", 0, {})

    train(tmp_path, watcher=PluginWatcher(LifeCycle(observers=[board]), run))
    board.colaflex_run_ended()
    events = accumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    written = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    expected = [(r["step"], r["loss"]) for r in written if r["stage"] == "prior"]
    found = [(event.step, event.value) for event in events.Scalars("prior/loss")]
    assert found == [(step, pytest.approx(loss)) for step, loss in expected]


def test_peak_memory_is_in_bytes() -> None:
    before = peak_memory_bytes()
    block = bytearray(64 << 20)
    assert len(block) == 64 << 20
    assert peak_memory_bytes() >= max(before, 64 << 20)


def test_a_second_signal_acts_at_once() -> None:
    # A shell starts background jobs with SIGINT ignored, and what stood before is put back.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGINT)
            assert interrupts.requested
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
