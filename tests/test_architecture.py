"""The page on the architecture is true: what it names exists, and its picture is the house."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "colaflex"
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
PICTURES = re.findall(r"^```\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
PATH = re.compile(r"[\w.-]+(?:/[\w.-]+)*/?")
WORD = re.compile(r"(?<![\w/.])[\w.-]*\w/[\w./-]*\w|(?<![\w/.])\w+\.py\b")


def named() -> list[str]:
    """What the page names: `path`, or `path:Name`, between backticks, and paths of pictures."""
    quoted = [each for each in re.findall(r"`([^`\n]+)`", PAGE) if "/" in each or ".py" in each]
    pictured = [path for picture in PICTURES for path in WORD.findall(picture)]
    return sorted({each for each in (*quoted, *pictured) if not OTHERS.fullmatch(each)})


OTHERS = re.compile(r"checkpoints/|\.ci/run|\.importlinter|colaflex/|colaflex [a-z ]+")
"""Quoted as well, and no files of the package."""


def place(path: str) -> Path | None:
    found = [folder / path for folder in (PACKAGE, ROOT) if (folder / path).exists()]
    return found[0] if found else None


@pytest.mark.parametrize("each", named())
def test_what_the_page_names_exists(each: str) -> None:
    path, _, name = each.partition(":")
    assert PATH.fullmatch(path), each
    found = place(path)
    assert found is not None, f"docs/architecture.md names {path}, which is not there"
    if name:
        defined = re.compile(rf"^(?:class|def) {name}\b|^{name}\b.* = ", re.MULTILINE)
        assert defined.search(found.read_text("utf-8")), f"{path} defines no {name}"


def rows(text: str) -> list[frozenset[str]]:
    """The rooms of each row, before what is said of them."""
    heads = [re.split(r"\s{2,}", line)[0] for line in text.strip().splitlines()]
    return [frozenset(re.findall(r"\w+", head)) for head in heads]


def test_the_picture_shows_the_rooms_as_imports_go() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    layers = rows(contracts["importlinter:contract:arrows"]["layers"])
    assert rows(PICTURES[0]) == layers
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    files = {path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")}
    assert frozenset().union(*layers) == folders | files


def test_enough_is_named_to_find_the_way() -> None:
    everything = named()
    assert len(everything) > 80
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms <= {each.partition("/")[0] for each in everything}
