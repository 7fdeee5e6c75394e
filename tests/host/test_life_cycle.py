from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import colaflex
from colaflex.hooks import RunInfo
from colaflex.host.plugin import PluginError

RUN = RunInfo(Path("runs/a"), "a", 0, {"name": "a"})

LOGGER = """
    import colaflex
    seen = []

    @colaflex.hookimpl
    def colaflex_run_started(run):
        seen.append(("started", run.name))

    @colaflex.hookimpl
    def colaflex_step(record):
        print("on the way")
        seen.append(("step", record["loss"]))

    @colaflex.hookimpl
    def colaflex_checkpoint(run, path):
        seen.append(("checkpoint", path.name))

    @colaflex.hookimpl
    def colaflex_run_ended(result):
        seen.append(("ended", result["status"]))
"""

RAISING = """
    import colaflex

    @colaflex.hookimpl
    def colaflex_step(record):
        raise SystemExit("no") if record["step"] else ValueError("bad\\nthing")
"""


def live(life: Any) -> None:
    life.run_started(RUN)
    life.step(RUN, {"loss": 2.0, "step": 0})
    life.step(RUN, {"loss": 1.0, "step": 1})
    life.checkpoint(RUN, Path("runs/a/checkpoints/1"))
    life.run_ended(RUN, {"status": "done"})


def test_every_hook_reaches_the_plugin_with_what_it_asks_for(
    site: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    site.add_plugin("logger", LOGGER)
    live(site.registry().life_cycle())
    import logger.hooks

    assert logger.hooks.seen == [
        ("started", "a"),
        ("step", 2.0),
        ("step", 1.0),
        ("checkpoint", "1"),
        ("ended", "done"),
    ]
    output = capfd.readouterr()
    assert output.out == "" and "on the way" in output.err


def test_a_raising_hook_is_reported_once_and_the_run_goes_on(
    site: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    site.add_plugin("raising", RAISING)
    site.add_plugin("zlogger", LOGGER)
    live(site.registry().life_cycle())
    import zlogger.hooks

    assert len(zlogger.hooks.seen) == 5
    lines = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(lines) == 1
    assert "colaflex_step of the plugin colaflex-raising 1.0" in lines[0]
    assert "ValueError: bad thing" in lines[0]


def test_strict_raises(site: Any) -> None:
    site.add_plugin("raising", RAISING)
    life = site.registry(COLAFLEX_STRICT_PLUGINS="1").life_cycle()
    with pytest.raises(ValueError, match="bad"):
        life.step(RUN, {"loss": 1.0, "step": 0})


def test_an_observer_belongs_to_one_run(site: Any) -> None:
    class Observer:
        def __init__(self) -> None:
            self.losses = []

        @colaflex.hookimpl
        def colaflex_step(self, record: Any) -> Any:
            self.losses.append(record["loss"])

    observer = Observer()
    registry = site.registry()
    live(registry.life_cycle(observer))
    live(registry.life_cycle())
    assert observer.losses == [2.0, 1.0]
    with pytest.raises(PluginError, match="object 'object' has no function decorated"):
        registry.life_cycle(object())
