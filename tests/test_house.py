"""The rules of the house: which way imports point, what stays light, what is documented."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import annotated_types
import pytest
from pydantic import BaseModel

from colaflex.host.builtin import colaflex_components
from colaflex.host.registry import registry
from colaflex.spec.sections import Document
from colaflex.testing.config_checks import number_constraints

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "colaflex"
MODULES = {path: path.relative_to(ROOT).with_suffix("") for path in PACKAGE.rglob("*.py")}
LIGHT = (
    *("cli", "corpora", "files", "host", "metrics", "report", "scorers", "spec", "statistics"),
    "tasks",
)
LIGHT_INTERFACES = (
    *("capabilities", "component", "configs", "corpus", "metric", "options"),
    *("scorer", "task", "task_item"),
)
LIGHT_FILES = ("__init__", "errors", "hints", "hooks")
BOUNDS = (annotated_types.Ge, annotated_types.Gt, annotated_types.Le, annotated_types.Lt)


def dotted(path: Path) -> str:
    return ".".join(MODULES[path].parts).removesuffix(".__init__")


def is_light(path: Path) -> bool:
    package, name = path.parent, path.stem
    if package == PACKAGE:
        return name in LIGHT_FILES
    if package.name == "interfaces":
        return name in LIGHT_INTERFACES
    return path.relative_to(PACKAGE).parts[0] in LIGHT or name.endswith(("_config", "configs"))


def test_imports_point_the_way_they_should() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_light_modules_import_no_torch() -> None:
    names = sorted(dotted(path) for path in MODULES if is_light(path))
    assert len(names) > 50
    code = (
        "import importlib, sys\n"
        f"for name in {names!r}:\n"
        "    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, name"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sorted(MODULES), ids=dotted)
def test_every_module_says_what_it_is_and_what_is_public(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    only_docstring = len(tree.body) == 1
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert only_docstring or path.stem == "__main__" or "__all__" in assigned


def models(cls: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and those nested in it."""
    yield cls
    for field in cls.model_fields.values():
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from models(part)


def described() -> list[tuple[str, type[BaseModel]]]:
    configs = [registry().config_class(c.kind, c.name) for c in colaflex_components()]
    return sorted({(m.__name__, m) for c in (Document, *configs) for m in models(c)}, key=str)


@pytest.mark.parametrize(("name", "model"), described(), ids=str)
def test_every_option_is_described_and_bounded(name: str, model: type[BaseModel]) -> None:
    assert model.model_config.get("extra") == "forbid", name
    for key, field in model.model_fields.items():
        assert (field.description or "").endswith("."), f"{name}.{key}"
        for constraints in number_constraints(field.annotation, tuple(field.metadata)):
            assert any(isinstance(c, BOUNDS) for c in constraints), f"{name}.{key} has no bounds"


def test_the_package_holds_all_that_it_reads() -> None:
    from importlib import resources

    files = resources.files("colaflex")
    assert files.joinpath("py.typed").is_file()
    assert files.joinpath("report/templates/report.html.j2").is_file()
    assert files.joinpath("cli/templates/plugin/pyproject.toml.j2").is_file()
    assert files.joinpath("tasks/lambada.yaml").is_file()
