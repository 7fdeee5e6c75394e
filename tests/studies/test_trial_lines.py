"""What a worker says of its trials while bars are shown."""

from __future__ import annotations

import os
import pty
import re
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from colaflex.studies.file.study_file import StudyFile
from colaflex.studies.study import SEARCH, Study, Where
from colaflex.studies.work.limits import Limits
from colaflex.studies.work.trial_lines import TrialLines
from colaflex.training.progress import LiveProgress, progress_on


@pytest.fixture
def study(with_study: Callable[..., Path], tmp_path: Path) -> Study:
    return Study(StudyFile.load(with_study()), Where(tmp_path / "out", "journal"))


def screen(sent: str) -> list[str]:
    """The lines that a terminal shows after what it was sent."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", sent):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            column = 0
        elif part.startswith("\x1b"):
            if part.endswith("A"):
                row -= int(part[2:-1] or 1)
            elif part.endswith("K"):
                lines[row] = ""
        else:
            line = lines[row].ljust(column)
            lines[row] = line[:column] + part + line[column + len(part) :]
            column += len(part)
    return [line.rstrip() for line in lines if line.strip()]


def test_on_a_terminal_lines_of_trials_stay_and_bars_go(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller, side = pty.openpty()
    settings = termios.tcgetattr(side)
    settings[1] &= ~termios.OPOST
    termios.tcsetattr(side, termios.TCSANOW, settings)
    sent: list[str] = []

    def read() -> None:
        with os.fdopen(controller, errors="replace", newline="") as shown:
            try:
                while text := shown.read(1):
                    sent.append(text)
            except OSError:  # the other side is closed
                return

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(side, "w", newline="\r\n") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("COLUMNS", "200")
        progress = progress_on(stays=False)
        assert isinstance(progress, LiveProgress)
        lines = TrialLines(study, SEARCH, Limits(trials=3))
        lines.begin()
        for _ in range(3):
            for stage in ("representation", "prior"):
                progress.begin(stage, 0, 9)
                progress.advance(9)
            lines.waiting(1)  # while a bar is shown
            time.sleep(0.3)
            progress.end()
            progress.count("evaluation", 1, 2, "documents")
            progress.count("evaluation", 2, 2, "documents")
            lines.waiting(2)
        stream.flush()
    reader.join()
    text = "".join(sent)
    assert "representation" in text and "evaluation" in text
    shown = screen(text)
    arm = SEARCH
    waits = [f"{arm}: waits for {count} that others run" for _ in range(3) for count in (1, 2)]
    assert shown == [f"{arm}: no trials yet; goes on to 3 complete trials", *waits]
