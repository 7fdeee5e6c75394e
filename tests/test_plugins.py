"""Every package under plugins/ says what it is, and its own tests pass with it alone installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from colaflex.host.metadata import normalised

ROOT = Path(__file__).parent.parent / "plugins"
PACKAGES = sorted(path.parent for path in ROOT.glob("*/pyproject.toml"))
EVERY = pytest.mark.parametrize("folder", PACKAGES, ids=lambda path: path.name)


def project(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return found


def files(folder: Path) -> dict[str, str]:
    """The texts of its import packages' files, by their path."""
    inits = folder.glob("*/__init__.py")
    paths = (path for init in inits for path in init.parent.rglob("*.*"))
    texts = (path for path in paths if path.suffix in (".py", ".json"))
    return {str(path.relative_to(folder)): path.read_text() for path in texts}


def missing(folder: Path) -> list[str]:
    """Requirements that are not installed, or in another version."""

    def there(needed: Requirement) -> bool:
        try:
            return needed.specifier.contains(metadata.version(needed.name), prereleases=True)
        except metadata.PackageNotFoundError:
            return False

    needed = map(Requirement, project(folder)["dependencies"])
    return [str(each) for each in needed if each.name != "colaflex" and not there(each)]


def test_there_is_no_folder_without_a_package() -> None:
    folders = {ROOT / path.relative_to(ROOT).parts[0] for path in ROOT.rglob("*.py")}
    assert sorted(folders) == PACKAGES


@EVERY
def test_a_package_says_what_it_is(folder: Path) -> None:
    told = project(folder)
    assert normalised(told["name"]) == folder.name
    assert told["description"].endswith(".")
    assert told["license"] == "Apache-2.0"
    assert told["requires-python"] == ">=3.11"
    assert any(re.match(r"colaflex\b(?!-)", each) for each in told["dependencies"])
    readme = (folder / told["readme"]).read_text()
    assert readme.startswith(f"# {folder.name}\n")
    for command in ("pip install -e", "python -m pytest"):
        assert f"{command} plugins/{folder.name}" in readme, command
    assert list(folder.glob("tests/test_*.py"))


@EVERY
def test_its_entry_points_are_modules_of_its_own(folder: Path) -> None:
    points = project(folder)["entry-points"]["colaflex"]
    assert points
    for target in points.values():
        module = target.partition(":")[0].replace(".", "/")
        assert f"{module}.py" in files(folder) or f"{module}/__init__.py" in files(folder)


@pytest.mark.timeout(900)  # seconds on an idle machine, minutes on a busy one
@EVERY
def test_its_own_tests_pass_with_it_alone(folder: Path, site: Any) -> None:
    lacking = missing(folder)
    if lacking:
        pytest.skip(f"pip install {' '.join(map(repr, lacking))}")
    told = project(folder)
    points = told["entry-points"]["colaflex"]
    lines = "".join(f"{name} = {target}\n" for name, target in points.items())
    site.add(told["name"], files(folder), f"[colaflex]\n{lines}", told["version"])
    path = [str(site.path), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", folder],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path),
            "COLAFLEX_PLUGINS": ",".join(points),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED:
        pytest.skip(done.stdout.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr
