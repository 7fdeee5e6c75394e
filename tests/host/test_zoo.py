"""A zoo of broken plugins: none takes a command down, and each is told what is wrong with it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from colaflex.host.metadata import spare_libraries
from colaflex.host.registry import registry
from colaflex.spec.schema import json_schema

HOOK = "import colaflex\n\n@colaflex.hookimpl\ndef colaflex_components():\n    "
SPEC = "corpus: worlds\nprior: {type: flow_matching, block_size: 4}\n"
SOUND_CONFIG = """
    from colaflex.interfaces.configs import SolverConfig

    class Config(SolverConfig):
        pass
"""


def component(name: str, **changes: object) -> str:
    """A call that registers a solver of the package `zoo`."""
    fields = {
        "kind": "solver",
        "name": name,
        "target": "zoo.solver:Solver",
        "config": "zoo.config:Config",
        "summary": "It.",
        **changes,
    }
    return f"colaflex.Component(**{fields!r})"


@dataclass(frozen=True)
class Animal:
    """A broken plugin of the distribution colaflex-zoo, and what is said of it.

    Attributes:
        hooks: source of zoo/hooks.py.
        expected: part of the cause that `--why` shows.
        status: in the list; of a component that can't be told from a sound one, ready.
        files: further modules of the package.
        entry_points: its entry_points.txt.
    """

    hooks: str
    expected: str
    status: str = "failed"
    files: dict[str, str] = field(default_factory=dict)
    entry_points: str = "[colaflex]\nzoo = zoo.hooks\n"


def registered(*, config: str = SOUND_CONFIG, expected: str, **changes: object) -> Animal:
    """One whose hook is sound, and the component is not."""
    hooks = f"{HOOK}return [{component('odd', **changes)}]"
    return Animal(hooks, expected, "ready", {"config": config, "solver": "class Solver: pass"})


ZOO = {
    "import_error": Animal("import no_such_module_at_all", "No module named 'no_such_module"),
    "syntax_error": Animal("def broken(:", "SyntaxError"),
    "null_bytes": Animal("x = 1\0", "null bytes"),
    "system_exit": Animal("import sys\nsys.exit(3)", "it called sys.exit(3) while loading"),
    "skips_itself": Animal("import pytest\npytest.skip('no', allow_module_level=True)", "Skipped"),
    "recursion": Animal("def f(): f()\nf()", "RecursionError"),
    "unprintable_error": Animal(
        "class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd", "Odd"
    ),
    "wrong_interface": Animal(
        f"{HOOK}return [{component('odd', interface=7)}]",
        "written for interface version 7, this colaflex has version 1",
    ),
    "unknown_kind": Animal(f"{HOOK}return [{component('odd', kind='solvr')}]", "unknown kind"),
    "no_hooks": Animal("x = 1", "has no function decorated by @colaflex.hookimpl"),
    "misspelt_hook": Animal(
        "import colaflex\n@colaflex.hookimpl\ndef colaflex_componentz(): return []",
        "did you mean 'colaflex_components'?",
    ),
    "unknown_argument": Animal(
        "import colaflex\n@colaflex.hookimpl\ndef colaflex_step(run, colour): pass",
        "PluginValidationError",
    ),
    "raises_in_a_hook": Animal(f"{HOOK}raise OSError('no disk')", "OSError: no disk"),
    "nonsense": Animal(f"{HOOK}return 42", "colaflex_components returned 42"),
    "registers_then_raises": Animal(
        f"{HOOK}yield {component('odd')}\n    raise ValueError('halfway')", "ValueError: halfway"
    ),
    "claims_a_name_twice": Animal(f"{HOOK}return 2 * [{component('odd')}]", "'odd' twice"),
    "half_imported": Animal(
        "import sys, types\nimport zoo.part\nsys.modules['zoo.hooks'] = types.ModuleType('empty')",
        "has no function decorated by @colaflex.hookimpl",
        files={"part": "import zoo.hooks"},
    ),
    "not_imported": Animal("import sys\nsys.modules['zoo.hooks'] = None", "the NoneType 'zoo'"),
    "asks_for_the_registry": Animal(
        "from colaflex.host.registry import registry\nregistry()", "before there is a registry"
    ),
    "unresolved_module": Animal(
        "", "No module named 'zoo.hoks'", entry_points="[colaflex]\nzoo = zoo.hoks\n"
    ),
    "unresolved_attribute": Animal(
        "", "AttributeError", entry_points="[colaflex]\nzoo = zoo.hooks:plugin\n"
    ),
    "malformed_metadata": Animal(
        "", "entry_points.txt can't be read", entry_points="[colaflex]\nno equals sign here\n"
    ),
    "malformed_entry_point": Animal(
        "", "expected module or module:object", entry_points="[colaflex]\nzoo = not a module!\n"
    ),
    "takes_our_name": Animal(
        f"{HOOK}return [{component('euler')}]",
        "target zoo.solver:Solver: there is no such module",
        "ambiguous",
        {"config": SOUND_CONFIG},
    ),
    "prints": Animal(
        f"import os\nprint('hello')\nos.write(1, b'world')\n{HOOK}return [{component('odd')}]",
        "target zoo.solver:Solver: there is no such module",
        "ready",
        {"config": SOUND_CONFIG},
    ),
    "no_target": registered(
        target="zoo.missing:Solver", expected="zoo.missing:Solver: there is no such module"
    ),
    "no_config": registered(config="x = 1", expected="has no attribute 'Config'"),
    "config_is_no_model": registered(
        config="class Config: pass", expected="is no subclass of ComponentConfig"
    ),
    "config_of_another_kind": registered(
        config="from colaflex.interfaces.configs import PriorConfig as Config",
        expected="has kind = 'prior'",
    ),
    "config_exits": registered(config="raise SystemExit('no')", expected="sys.exit('no')"),
    "config_without_schema": registered(
        config="""
            from collections.abc import Callable
            from colaflex.interfaces.configs import SolverConfig

            class Config(SolverConfig):
                call: Callable[[], int]
        """,
        expected="has no JSON Schema",
    ),
    "config_imports_torch": registered(
        config="import torch\nfrom colaflex.interfaces.configs import SolverConfig as Config",
        expected="imports torch",
    ),
}

COMMANDS = """
import contextlib, io, json, sys
from colaflex.cli.main import main

told = []
for arguments in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    told.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(told))
"""


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """What a plugin did to the table of modules is undone."""
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "zoo"]:
        del sys.modules[name]


def install(site: Any, animal: Animal, distribution: str = "colaflex-zoo") -> None:
    files = {"hooks": animal.hooks, **animal.files}
    texts = {f"zoo/{name}.py": text for name, text in files.items()}
    site.add(distribution, {"zoo/__init__.py": "", **texts}, animal.entry_points)


@pytest.mark.parametrize("name", ZOO)
def test_no_command_fails_and_the_cause_is_told(site: Any, tmp_path: Path, name: str) -> None:
    animal = ZOO[name]
    install(site, animal)
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC)
    commands = [
        ["--help"],
        ["plugins"],
        ["plugins", "--json"],
        ["spec", "validate", str(spec)],
        ["plugins", "--why", "colaflex-zoo"],
    ]
    done = site.python("-c", COMMANDS, json.dumps(commands))
    assert done.returncode == 0, done.stderr
    helped, table, listed, validated, why = json.loads(done.stdout)
    assert [code for code, _, _ in (helped, table, listed, validated, why)] == [0] * 5
    assert helped[2] == "" and "zoo" not in helped[1]
    rows = [row for row in json.loads(listed[1]) if row["distribution"] == "colaflex-zoo"]
    assert {row["status"] for row in rows} == {animal.status}
    warnings = [line for line in table[2].splitlines() if line.startswith("warning:")]
    assert all("colaflex-zoo 1.0" in line for line in warnings)
    assert len(warnings) == (animal.status == "failed")
    assert "colaflex-zoo 1.0" in table[1]
    assert animal.expected in why[1], why[1]
    assert "colaflex-zoo 1.0" in why[1]


@pytest.fixture
def crowded(site: Any) -> Any:
    """All of them at once, each a package of its own, and two that claim one name."""
    for name, animal in ZOO.items():
        files = {"hooks": animal.hooks, **animal.files}
        site.add(
            f"colaflex-{name.replace('_', '-')}",
            {
                f"{name}/__init__.py": "",
                **{f"{name}/{n}.py": text.replace("zoo.", f"{name}.") for n, text in files.items()},
            },
            animal.entry_points.replace("zoo", name),
        )
    for name in ("left", "right"):
        site.add_solver(name, "twin")
    return site


def test_all_at_once_leave_commands_as_they_are(crowded: Any, tiny: Path, tmp_path: Path) -> None:
    helped = crowded.run("--help")
    assert (helped.returncode, helped.stderr) == (0, "")
    listed = crowded.run("plugins", "--json")
    assert listed.returncode == 0
    found = {row["distribution"]: row["status"] for row in json.loads(listed.stdout)}
    odd = [name.replace("_", "-") for name, animal in ZOO.items() if animal.status == "failed"]
    assert {d for d, s in found.items() if s == "failed"} == {f"colaflex-{name}" for name in odd}
    for name in odd:
        assert f"colaflex-{name} 1.0" in listed.stderr
    assert found["colaflex-left"] == found["colaflex-right"] == "ambiguous"
    schema = crowded.run("spec", "schema")
    assert schema.returncode == 0
    names = json.loads(schema.stdout)["$defs"]["solver"]["anyOf"][0]["enum"]
    assert "euler" in names and "colaflex-left:twin" in names
    assert "colaflex-config-without-schema:odd" not in names
    ran = crowded.run("run", str(tiny), "--out", str(tmp_path / "run"), "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["status"] == "complete"


@pytest.mark.parametrize("name", ["no_target", "config_is_no_model", "wrong_interface"])
def test_a_spec_that_names_one_fails_with_its_cause(
    site: Any, tiny: Path, tmp_path: Path, name: str
) -> None:
    install(site, ZOO[name])
    run = ("run", str(tiny), "--set", "prior.solver=odd", "--out", str(tmp_path / "run"))
    done = site.run(*run)
    assert done.returncode == 2
    assert "colaflex-zoo 1.0" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", [name for name in ZOO if name != "config_imports_torch"])
def test_the_host_tells_a_plugins_faults(site: Any, name: str) -> None:
    registry.cache_clear()
    install(site, ZOO[name])
    known = registry()
    registry.cache_clear()
    plugins = [p for p in known.plugins if not p.source.own]
    told = [text for p in plugins for text in (*known.faults(p), p.reason, p.trace)]
    assert any(ZOO[name].expected in text for text in told), told
    assert "euler" in json.dumps(json_schema(known))


def test_an_interrupt_is_no_fault(site: Any) -> None:
    install(site, registered(config="raise KeyboardInterrupt", expected=""))
    known = site.registry()
    with pytest.raises(KeyboardInterrupt):
        known.faults(known.plugins[-1])


def test_libraries_are_spared_what_cannot_be_read(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("PYDANTIC_DISABLE_PLUGINS", "TORCH_DEVICE_BACKEND_AUTOLOAD"):
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    spare_libraries()
    assert "PYDANTIC_DISABLE_PLUGINS" not in os.environ
    install(site, ZOO["malformed_metadata"])
    spare_libraries()
    assert os.environ["PYDANTIC_DISABLE_PLUGINS"] == "__all__"
    assert os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] == "0"
