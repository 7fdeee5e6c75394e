"""`colaflex doctor`: is this machine, and this installation, fit for work? Imports no plugin."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import click

from colaflex.cli.common import json_option, print_json
from colaflex.files.writing import cache_dir
from colaflex.host.metadata import COMMANDS, COMPONENTS, Selection, installed

__all__ = ["command"]

GIB = 2**30
LITTLE_SPACE = 1 * GIB
REQUIREMENT = re.compile(r"([\w.-]+)")
SPEED = """
import dataclasses, json
from colaflex.training.hardware import hardware
print(json.dumps(dataclasses.asdict(hardware())))
"""
EXTRA = re.compile(r"extra\s*==\s*['\"]([\w-]+)['\"]")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    check: str
    value: str
    status: Literal["ok", "note", "problem"] = "ok"


@click.command("doctor")
@json_option
def command(as_json: bool) -> int:
    """Check python, packages, cores, memory and the cache; exit code 1 if there is a problem."""
    checks = [*_software(), *_hardware(), *_speed(), *_cache(cache_dir()), *_plugins()]
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        for check in checks:
            print(f"{check.status:9}{check.check:20}{check.value}")
    return int(any(check.status == "problem" for check in checks))


def _software() -> Iterator[Check]:
    yield Check("python", f"{platform.python_version()} ({sys.executable})")
    yield Check("platform", platform.platform())
    requirements = _requirements()
    for extra, names in requirements.items():
        versions = {name: _version(name) for name in names}
        missing = [name for name, version in versions.items() if version is None]
        if extra == "":
            yield Check("colaflex", _version("colaflex") or "not installed")
            torch = versions.get("torch")
            yield Check("torch", torch or "not installed", "ok" if torch else "problem")
            if missing:
                yield Check("packages", f"missing: {', '.join(missing)}", "problem")
        elif missing:
            line = f"missing: {', '.join(missing)} (pip install 'colaflex[{extra}]')"
            yield Check(f"extra {extra}", line, "note")
        else:
            yield Check(f"extra {extra}", ", ".join(f"{n} {v}" for n, v in versions.items()))


def _requirements() -> dict[str, list[str]]:
    """Distributions that colaflex asks for, by extra; those of the core under ""."""
    requirements: defaultdict[str, list[str]] = defaultdict(list)
    for line in metadata.requires("colaflex") or ():
        name, extra = REQUIREMENT.match(line), EXTRA.search(line)
        if name and name[1] != "colaflex":
            requirements[extra[1] if extra else ""].append(name[1])
    return dict(requirements)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _hardware() -> Iterator[Check]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Check("cores", f"{usable} usable of {os.cpu_count()}")
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        yield Check("memory", f"{memory / GIB:.1f} GiB")


def _speed() -> Iterator[Check]:
    """What makes this machine slow, by a process that imports torch: it may not be importable."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", SPEED], capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        if _version("torch") is not None:
            yield Check("torch", f"can't be imported: {last[0][:200]}", "problem")
        return
    machine = json.loads(done.stdout.splitlines()[-1])
    yield Check("device", machine["device"])
    if machine["bf16"]:
        yield Check("bf16", "native: --precision auto takes it")
    else:
        line = "not native here: --precision auto takes fp32, bf16 would be slow"
        yield Check("bf16", line, "note")
    if machine["compiler"] is None:
        yield Check("compiler", "no C++ compiler: training.compile can't be used", "note")
    else:
        yield Check("compiler", machine["compiler"])
    for sentence in machine["slow"]:
        yield Check("speed", sentence, "note")


def _cache(folder: Path) -> Iterator[Check]:
    """The cache folder, or the nearest folder above it that exists."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    writable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    value = str(folder) if writable else f"{folder} can't be written: set COLAFLEX_CACHE"
    yield Check("cache", value, "ok" if writable else "problem")
    free = shutil.disk_usage(existing).free
    little = free < LITTLE_SPACE
    yield Check("free disk space", f"{free / GIB:.1f} GiB", "note" if little else "ok")


def _plugins() -> Iterator[Check]:
    selection = Selection.from_environment()
    for source in [*installed(COMPONENTS), *installed(COMMANDS)]:
        if not source.own:
            refusal = source.problem or selection.refusal(source)
            value = f"{source.place}: {refusal}" if refusal else source.place
            yield Check("plugin", value, "note" if refusal else "ok")
