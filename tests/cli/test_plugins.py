from __future__ import annotations

import json
from typing import Any

import pytest

HOOK = "import colaflex\n@colaflex.hookimpl\n"
ZOO = {
    "import_error": "import no_such_module_at_all",
    "syntax_error": "def broken(:",
    "exit": "import sys\nsys.exit(3)",
    "no_hooks": "x = 1",
    "misspelt_hook": HOOK + "def colaflex_componentz(): return []",
    "raises": HOOK + "def colaflex_components(): raise ValueError('no')",
    "nonsense": HOOK + "def colaflex_components(): return 42",
    "other_interface": HOOK
    + "def colaflex_components():\n"
    + "    return [colaflex.Component('prior', 'new', 'a.b:C', 'a.c:D', 'It.', interface=7)]",
}


@pytest.fixture
def zoo(site: Any) -> Any:
    """Every kind of broken plugin, two that quarrel, one that shadows, one that chatters."""
    for name, source in ZOO.items():
        site.add_plugin(name, source)
    site.add_solver("one", "leapfrog")
    site.add_solver("two", "leapfrog")
    site.add_solver("shadow", "euler")
    site.add_solver("unfit", "unfit_solver", config="class Config: pass")
    site.add_plugin(
        "chatter",
        "print('hello')\nimport os\nos.write(1, b'world')\n" + HOOK + "def colaflex_step(): pass",
    )
    return site


def test_a_zoo_of_broken_plugins_takes_no_command_down(zoo: Any) -> None:
    shown = zoo.run("--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert zoo.run("doctor").returncode == 0
    listed = zoo.run("plugins", "--json")
    assert listed.returncode == 0
    assert "Traceback" not in listed.stderr
    assert "hello" in listed.stderr and "world" in listed.stderr
    rows = json.loads(listed.stdout)
    assert all(
        list(row)
        == [
            "kind",
            "name",
            "target",
            "summary",
            "distribution",
            "version",
            "entry_point",
            "status",
            "reason",
        ]
        for row in rows
    )
    status = {row["entry_point"]: row["status"] for row in rows if row["entry_point"] != "builtin"}
    assert status == {
        **dict.fromkeys(ZOO, "failed"),
        **dict.fromkeys(("one", "two", "shadow"), "ambiguous"),
        "unfit": "ready",
        "chatter": "ready",
    }
    for name in ZOO:
        lines = [line for line in listed.stderr.splitlines() if f"colaflex-{name} 1.0" in line]
        assert len(lines) == 1
        assert f"entry point {name} = {name}.hooks" in lines[0]
        assert f"colaflex plugins --why {name}" in lines[0]


def test_the_table_names_the_same(zoo: Any) -> None:
    shown = zoo.run("plugins", "list")
    assert shown.returncode == 0
    for text in ("flow_matching", "colaflex-import_error 1.0", "failed", "ambiguous", "(chatter)"):
        assert text in shown.stdout


def test_why_shows_the_traceback(zoo: Any) -> None:
    shown = zoo.run("plugins", "--why", "import_error")
    assert shown.returncode == 0
    assert "Traceback" in shown.stdout
    assert "No module named 'no_such_module_at_all'" in shown.stdout
    (told,) = json.loads(zoo.run("plugins", "--why", "colaflex-exit", "--json").stdout)
    assert (told["status"], told["entry_point"]) == ("failed", "exit")
    assert "sys.exit(3)" in told["reason"] and "Traceback" in told["traceback"]
    wrong = zoo.run("plugins", "--why", "import_eror")
    assert wrong.returncode == 2
    assert "did you mean 'import_error'" in wrong.stderr


def test_show(zoo: Any) -> None:
    shown = zoo.run("plugins", "show", "solver", "colaflex-one:leapfrog")
    assert shown.returncode == 0
    assert "colaflex-one" in shown.stdout and "Some rate." in shown.stdout
    about = json.loads(zoo.run("plugins", "--json", "show", "solver", "dopri5").stdout)
    assert about["target"] == "colaflex.solvers.ode:AdaptiveOdeSolver"
    assert about["schema"]["properties"]["rtol"]["default"] == 1e-5
    assert "place" not in about


def test_show_tells_the_place_of_a_baseline(site: Any) -> None:
    shown = site.run("plugins", "show", "baseline", "autoregressive").stdout
    lines = [line for line in shown.splitlines() if line.startswith("factorisation")]
    assert lines and lines[0].endswith("∏ p(x_i | x_<i)")
    about = json.loads(site.run("plugins", "show", "baseline", "autoregressive", "--json").stdout)
    assert about["place"] == {
        "state_space": "prefixes of tokens",
        "path": "direct generation",
        "factorisation": "∏ p(x_i | x_<i)",
        "continuity": "nowhere",
        "explicit_latent": False,
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["show", "solver", "leapfrog"], "colaflex-one:leapfrog or colaflex-two:leapfrog"),
        (["show", "prior", "new"], "written for interface version 7"),
        (["show", "prior", "unknown"], "colaflex-import_error 1.0"),
        (["show", "solver", "unfit_solver"], "colaflex-unfit 1.0"),
        (["show", "solver", "eulr"], "did you mean 'euler'"),
        (["list", "--kind", "solvr"], "did you mean 'solver'"),
        (["lst"], "did you mean 'list'"),
        (["--why", "exit", "list"], "--why goes without a command"),
        (["show", "solver"], "Missing argument 'NAME'"),
        (["--jso"], "--json"),
    ],
)
def test_a_wrong_request_is_one_message(zoo: Any, arguments: list[str], expected: str) -> None:
    done = zoo.run("plugins", *arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "how",
    [
        (["plugins", "--json"], {"COLAFLEX_PLUGINS": ""}),
        (["plugins", "--json"], {"COLAFLEX_DISABLE_PLUGINS": "import_error"}),
        (["--no-plugin", "import_error", "plugins", "--json"], {}),
        (["plugins", "list", "--json", "--no-plugin", "colaflex-import-error"], {}),
        (["plugins", "--json", "--no-plugin", "import_error"], {"COLAFLEX_DISABLE_PLUGINS": "x"}),
    ],
)
def test_plugins_are_switched_off_before_import(site: Any, how: Any) -> None:
    site.add_plugin("import_error", "import no_such_module_at_all")
    arguments, environment = how
    done = site.run(*arguments, **environment)
    assert done.returncode == 0
    assert "no_such_module" not in done.stderr
    (row,) = [r for r in json.loads(done.stdout) if r["distribution"] != "colaflex"]
    assert row["status"] == "disabled"
    assert "COLAFLEX_" in row["reason"]


def test_strict_ends_the_command(site: Any) -> None:
    site.add_plugin("zoo", "import no_such_module_at_all")
    done = site.run("plugins", COLAFLEX_STRICT_PLUGINS="1")
    assert done.returncode == 2
    assert "colaflex-zoo 1.0" in done.stderr and "ModuleNotFoundError" in done.stderr


COMMAND = """
    import click

    print("loading")

    @click.command()
    def command():
        click.echo("{text}")
"""


def add_command(site: Any, package: str, name: str, text: str) -> None:
    site.add(
        f"colaflex-{package}",
        {f"{package}.py": text},
        f"[colaflex.commands]\n{name} = {package}:command\n",
    )


def test_commands_of_plugins(site: Any) -> None:
    add_command(site, "greet", "greet", COMMAND.format(text="good day"))
    add_command(site, "broken", "fails", "import no_such_module_at_all")
    add_command(site, "number", "number", "command = 3")
    add_command(site, "thief", "doctor", COMMAND.format(text="stolen"))
    for package in ("left", "right"):
        add_command(site, package, "twin", COMMAND.format(text=package))
    shown = site.run("--help")
    assert shown.stderr == ""
    for text in (
        "greet",
        "From colaflex-greet 1.0.",
        "colaflex-thief:doctor",
        "colaflex-left:twin",
    ):
        assert text in shown.stdout
    done = site.run("greet")
    assert (done.returncode, done.stdout) == (0, "good day\n")
    assert site.run("colaflex-right:twin").stdout == "right\n"
    assert "stolen" not in site.run("doctor").stdout
    for name, expected in {
        "twin": "write colaflex-left:twin or colaflex-right:twin",
        "fails": "colaflex-broken 1.0",
        "number": "expected a click command",
        "gret": "did you mean 'greet'",
    }.items():
        done = site.run(name)
        assert done.returncode == 2
        assert expected in done.stderr and "Traceback" not in done.stderr
    assert "Traceback" in site.run("fails", COLAFLEX_STRICT_PLUGINS="1").stderr
    assert "greet" not in site.run("--help", COLAFLEX_PLUGINS="").stdout
