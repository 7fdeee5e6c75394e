from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from colaflex.hooks import Component
from colaflex.host.metadata import PluginSource
from colaflex.host.plugin import load_plugin, stdout_to_stderr

COMPONENT = 'colaflex.Component("solver", "mine", "zoo.solver:Solver", "zoo.config:Config", "It.")'

BROKEN = {
    "import_error": ("import no_such_module_at_all", "ModuleNotFoundError: No module named"),
    "syntax_error": ("def broken(:", "SyntaxError"),
    "exit": ("import sys\nsys.exit(3)", "it called sys.exit(3) while loading"),
    "error_without_text": ("raise KeyError", "KeyError"),
    "no_hooks": ("x = 1", "has no function decorated by @colaflex.hookimpl"),
    "misspelt_hook": (
        "import colaflex\n@colaflex.hookimpl\ndef colaflex_component(): return []",
        "unknown hook 'colaflex_component'; did you mean 'colaflex_components'?",
    ),
    "unknown_argument": (
        "import colaflex\n@colaflex.hookimpl\ndef colaflex_step(run, colour): pass",
        "PluginValidationError",
    ),
    "raises_in_hook": (
        "import colaflex\n@colaflex.hookimpl\ndef colaflex_components(): raise OSError('no disk')",
        "OSError: no disk",
    ),
    "number": (
        "import colaflex\n@colaflex.hookimpl\ndef colaflex_components(): return 42",
        "colaflex_components returned 42, expected a list of colaflex.Component",
    ),
    "text": (
        "import colaflex\n@colaflex.hookimpl\ndef colaflex_components(): return 'solver'",
        "colaflex_components returned 'solver', expected a list",
    ),
    "list_of_numbers": (
        "import colaflex\n@colaflex.hookimpl\ndef colaflex_components(): return [1]",
        "colaflex_components returned 1 in its list, expected a colaflex.Component",
    ),
    "twice": (
        "import colaflex\n@colaflex.hookimpl\ndef colaflex_components():\n"
        f"    return 2 * [{COMPONENT}]",
        "registers the solver 'mine' twice",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_returned_with_its_cause(site: Any, case: str) -> None:
    source, expected = BROKEN[case]
    site.add_plugin("zoo", source)
    plugin = load_plugin(PluginSource("colaflex-zoo", "1.0", "zoo", "zoo.hooks"))
    assert plugin.status == "failed"
    assert expected in plugin.reason
    assert "\n" not in plugin.reason
    assert "Traceback" in plugin.trace
    assert plugin.hooks is None
    assert "colaflex-zoo 1.0 (entry point zoo = zoo.hooks)" in plugin.warning


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"interface": 2}, "written for interface version 2, this colaflex has version 1"),
        ({"kind": "solvr"}, "unknown kind; did you mean 'solver'?"),
        ({"kind": ["solver"]}, "kind must be a string"),
        ({"name": "Mine!"}, "a name is lower-case letters"),
        ({"target": "zoo.solver"}, "target is 'zoo.solver', expected 'package.module:Class'"),
        ({"config": "zoo config:C"}, "config is 'zoo config:C'"),
        ({"config": None}, "config must be a string, not None"),
        ({"summary": " "}, "summary and version must not be empty"),
        ({"version": 3}, "version must be a string, not 3"),
    ],
)
def test_a_wrong_registration_fails_the_plugin(site: Any, change: Any, expected: str) -> None:
    fields = {
        "kind": "solver",
        "name": "mine",
        "target": "zoo.solver:Solver",
        "config": "zoo.config:Config",
        "summary": "It.",
    }
    site.add_plugin(
        "zoo",
        "import colaflex\n@colaflex.hookimpl\ndef colaflex_components():\n"
        f"    return [colaflex.Component(**{ {**fields, **change}!r})]",
    )
    plugin = load_plugin(PluginSource("colaflex-zoo", "1.0", "zoo", "zoo.hooks"))
    assert plugin.status == "failed"
    assert expected in plugin.reason


def test_interrupts_pass_through(site: Any) -> None:
    site.add_plugin("zoo", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_plugin(PluginSource("colaflex-zoo", "1.0", "zoo", "zoo.hooks"))


def test_an_object_can_be_a_plugin(site: Any) -> None:
    site.add_plugin(
        "zoo",
        f"""
        import colaflex

        class Plugin:
            @colaflex.hookimpl
            def colaflex_components(self):
                return [{COMPONENT}]

        plugin = Plugin()
        nothing = None
        """,
    )
    sound = load_plugin(PluginSource("colaflex-zoo", "1.0", "zoo", "zoo.hooks:plugin"))
    assert sound.components == (
        Component("solver", "mine", "zoo.solver:Solver", "zoo.config:Config", "It."),
    )
    for attribute in ("nothing", "missing", "Plugin"):
        source = PluginSource("colaflex-zoo", "1.0", "zoo", f"zoo.hooks:{attribute}")
        assert load_plugin(source).status == "failed"


def test_unreadable_metadata_is_the_plugins_failure() -> None:
    plugin = load_plugin(PluginSource("x", "1.0", "x", "?", problem="it can't be read"))
    assert (plugin.status, plugin.reason) == ("failed", "it can't be read")


def test_what_is_printed_meanwhile_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    print("before")
    with stdout_to_stderr():
        print("by python")
        print("past the redirection", file=sys.__stdout__)
        os.write(1, b"by native code\n")
    print("after")
    sys.stdout.flush()
    output = capfd.readouterr()
    assert output.out.split() == ["before", "after"]
    for text in ("by python", "past the redirection", "by native code"):
        assert text in output.err


def test_stdout_is_restored_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="oh"), stdout_to_stderr():
        raise ValueError("oh")
    print("again")
    assert capfd.readouterr().out == "again\n"


def test_a_process_without_stdout_loads_plugins_too(site: Any) -> None:
    done = site.python(
        "-c",
        "import os, sys\n"
        "from colaflex.host.plugin import stdout_to_stderr\n"
        "os.close(1); sys.stdout = None\n"
        "with stdout_to_stderr(): print('hello')\n",
    )
    assert done.returncode == 0
    assert "hello" in done.stderr
