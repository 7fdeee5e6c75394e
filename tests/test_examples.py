"""Every example in a docstring runs, and public classes have one.

An example knows the public names of its module, `torch` and `colaflex`, and stands in a folder
with `spec.yaml`, a spec that trains in a second, and `runs/first`, a finished run of it.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import colaflex
import colaflex.testing
from colaflex.experiment.loading import LoadedModel
from colaflex.interfaces.component import ComponentConfig

ROOT = Path(__file__).parent.parent
PROMPT = re.compile(r"^ *>>> ", re.MULTILINE)
PARSER = doctest.DocTestParser()
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
ROOMS = (
    *("baselines", "corpora", "couplings", "networks", "priors", "representations", "scorers"),
    *("segmenters", "solvers", "tasks"),
)
API = (
    *(value for name in colaflex.__all__ if inspect.isclass(value := getattr(colaflex, name))),
    *(colaflex.build, colaflex.load, colaflex.run, colaflex.Spec.load, colaflex.Spec.resolved),
    *(colaflex.Spec.override, LoadedModel, LoadedModel.generate, LoadedModel.log_prob),
    *(getattr(colaflex.testing, name) for name in colaflex.testing.__all__),
)


def modules(folder: str) -> dict[str, str]:
    """Name and source of all modules in a folder of the repository."""
    paths = sorted((ROOT / folder).rglob("*.py"))
    named = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in paths}
    return {name.removesuffix(".__init__"): p.read_text("utf-8") for name, p in named.items()}


def public(module: ModuleType) -> Iterator[type]:
    """The public classes that a module defines."""
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        if inspect.isclass(value) and value.__module__ == module.__name__:
            yield value


def classes(folder: str) -> list[type]:
    return [each for name in modules(folder) for each in public(importlib.import_module(name))]


def bases() -> list[type]:
    """Of the components' rooms, what others derive from or build on, configs aside."""
    found = [each for room in ROOMS for each in classes(f"colaflex/{room}")]
    above = {base for each in found for base in each.__mro__[1:]}
    blocks = [each for each in found if issubclass(each, torch.nn.Module)]
    return [
        each
        for each in found
        if not issubclass(each, ComponentConfig)
        and (each in above or inspect.isabstract(each) or (each in blocks and is_network(each)))
    ]


def is_network(each: type) -> bool:
    return each.__module__.startswith("colaflex.networks.")


def names(values: list[Any]) -> list[Any]:
    return [pytest.param(v, id=f"{v.__module__}.{v.__qualname__}") for v in dict.fromkeys(values)]


@pytest.fixture(scope="module")
def place(tiny: Path, finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    shutil.copy(tiny, folder / "spec.yaml")
    shutil.copytree(finished, folder / "runs/first")
    return folder


@pytest.mark.parametrize(
    "name", [name for name, source in modules("colaflex").items() if PROMPT.search(source)]
)
def test_the_examples_of_a_module_run(
    name: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    module, source = importlib.import_module(name), modules("colaflex")[name]
    known = {each: getattr(module, each) for each in getattr(module, "__all__", ())}
    known |= {"torch": torch, "colaflex": colaflex, "__name__": "example"}
    tests = doctest.DocTestFinder().find(module, name, globs=known)
    assert sum(len(test.examples) for test in tests) == len(PROMPT.findall(source))
    wrong: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for test in tests:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            runner.run(test, out=wrong.append)
    assert not wrong, "".join(wrong)


@pytest.mark.parametrize("value", names([*classes("colaflex/interfaces"), *bases(), *API]))
def test_what_is_public_shows_how_to_use_it(value: Any) -> None:
    examples = PARSER.get_examples(vars(value).get("__doc__", value.__doc__) or "")
    assert examples, f"{value.__qualname__}: its docstring has no example"
    assert sum(example.source.count("\n") for example in examples) <= 10


def test_a_class_without_an_example_is_found() -> None:
    assert not PARSER.get_examples(SchemaOnly.__doc__ or "")
    assert {each.__name__ for each in bases()} >= {
        "PathPrior",
        "SegmentDecoder",
        "SingleStageBaseline",
    }
    assert {each.__name__ for each in classes("colaflex/interfaces")} >= {"Prior", "Posterior"}


class SchemaOnly:
    """A class that shows nothing."""
