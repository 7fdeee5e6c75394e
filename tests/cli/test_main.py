from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def ending(site: Any, body: str, *arguments: str) -> Any:
    """What becomes of a command whose body is `body`."""
    site.add(
        "colaflex-ending",
        {
            "ending.py": "import click\nfrom colaflex.errors import *\n@click.command()\n"
            f"def command(): {body}\n"
        },
        "[colaflex.commands]\nending = ending:command\n",
    )
    return site.run("ending", *arguments)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ("pass", 0, ""),
        ("raise UserError('spec.yaml:3: no')", 2, "Error: spec.yaml:3: no\n"),
        ("raise RunFailure('NaN at step 3')", 1, "Error: NaN at step 3\n"),
        ("raise click.BadParameter('no')", 2, "Error: Invalid value: no\n"),
        ("click.get_current_context().exit(1)", 1, ""),
        ("raise SystemExit(5)", 5, ""),
    ],
)
def test_exit_codes(site: Any, body: str, code: int, message: str) -> None:
    done = ending(site, body)
    assert done.returncode == code
    assert done.stderr.endswith(message)
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_an_interrupt_is_130(site: Any) -> None:
    done = ending(site, "raise KeyboardInterrupt")
    assert done.returncode == 130
    assert done.stderr.strip() == "interrupted"


def test_a_defect_keeps_its_traceback(site: Any) -> None:
    done = ending(site, "raise ZeroDivisionError('a defect')")
    assert done.returncode == 1
    assert "Traceback" in done.stderr and "a defect" in done.stderr


@pytest.mark.parametrize("body", ["print('x' * 10**6)", "print('x')", "click.echo('x' * 10**6)"])
def test_a_reader_who_leaves_is_no_news(site: Any, body: str) -> None:
    ending(site, body)
    done = subprocess.run(
        [
            "bash",
            "-c",
            'PYTHONPATH=$1 "$2" -m colaflex ending | true',
            "-",
            str(site.path),
            sys.executable,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["plugns"], "did you mean 'plugins'"),
        (["--versoin"], "--version"),
        (["doctor", "--jsn"], "--json"),
        (["doctor", "extra"], "unexpected extra argument"),
    ],
)
def test_typos_are_answered_with_the_nearest(
    site: Any, arguments: list[str], expected: str
) -> None:
    done = site.run(*arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_no_command_shows_the_help(site: Any) -> None:
    done = site.run()
    assert done.returncode == 2
    assert "Commands:" in done.stdout + done.stderr


def test_doctor(site: Any, tmp_path: Path) -> None:
    site.add_plugin("zoo", "import no_such_module_at_all")
    done = site.run("doctor", "--json", COLAFLEX_CACHE=str(tmp_path / "new" / "cache"))
    checks = {check["check"]: check for check in json.loads(done.stdout)}
    assert done.returncode == 0
    assert {"python", "torch", "cores", "cache", "free disk space", "extra hf"} <= set(checks)
    assert "colaflex-zoo 1.0" in checks["plugin"]["value"]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("environment", "check", "words"),
    [
        (
            {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
            "bf16",
            "--precision auto takes fp32",
        ),
        ({"CXX": "/nowhere/g++"}, "compiler", "training.compile can't be used"),
    ],
)
def test_doctor_says_what_is_slow_here(
    site: Any, environment: dict[str, str], check: str, words: str
) -> None:
    done = site.run("doctor", "--json", **environment)
    (found,) = [line for line in json.loads(done.stdout) if line["check"] == check]
    assert (done.returncode, found["status"]) == (0, "note")
    assert words in found["value"]


def test_doctor_finds_a_torch_that_cannot_be_imported(site: Any) -> None:
    (site.path / "torch").mkdir()
    (site.path / "torch" / "__init__.py").write_text("raise OSError('no such library')")
    done = site.run("doctor")
    assert done.returncode == 1
    assert "can't be imported: OSError: no such library" in done.stdout


def test_doctor_finds_a_cache_that_is_no_folder(site: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = site.run("doctor", COLAFLEX_CACHE=str(tmp_path / "file" / "cache"))
    assert done.returncode == 1
    assert "set COLAFLEX_CACHE" in done.stdout
