"""`colaflex plugins new`: what it writes installs, holds its promises, and runs in a spec."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from colaflex.cli.new_plugin import SUMMARIES, PackageNames, render
from colaflex.errors import UserError
from colaflex.hooks import KINDS
from colaflex.interfaces import configs

PREFIX = "colaflex-test-"


def write_all(site: Any, folder: Path) -> None:
    """Every kind's package written by the command, and installed."""
    calls = [
        ["plugins", "new", f"{PREFIX}{kind}", "--kind", kind, "--out", str(folder / kind)]
        for kind in SUMMARIES
    ]
    code = f"from colaflex.cli.main import main\nfor each in {calls!r}: assert main(each) == 0"
    done = site.python("-c", code)
    assert done.returncode == 0, done.stderr
    for kind in SUMMARIES:
        project = tomllib.loads((folder / kind / "pyproject.toml").read_text())["project"]
        ((point, module),) = project["entry-points"]["colaflex"].items()
        package = folder / kind / module.partition(".")[0]
        files = {f"{package.name}/{path.name}": path.read_text() for path in package.iterdir()}
        site.add(project["name"], files, f"[colaflex]\n{point} = {module}\n", project["version"])


def test_every_kind_holds_its_promises_and_runs_in_a_spec(site: Any, tmp_path: Path) -> None:
    write_all(site, tmp_path)
    rows = json.loads(site.run("plugins", "--json").stdout)
    found = {(r["kind"], r["name"]): r["status"] for r in rows if r["distribution"] != "colaflex"}
    assert found == {(kind, f"test_{kind}"): "ready" for kind in SUMMARIES}
    tests = [str(tmp_path / kind / "tests") for kind in SUMMARIES]
    done = site.python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests)
    assert done.returncode == 0, done.stdout + done.stderr
    code = (
        "import json, colaflex\nfrom pathlib import Path\n"
        f"folder = Path({str(tmp_path)!r})\n"
        f"for kind in {list(SUMMARIES)!r}:\n"
        "    spec = colaflex.Spec.load(folder / kind / 'spec.yaml')\n"
        "    run = colaflex.run(spec, out=folder / 'runs' / kind)\n"
        "    result = json.loads((folder / 'runs' / kind / 'result.json').read_text())\n"
        "    assert result['status'] == 'complete', kind\n"
        "    print(kind, sorted(result['metrics']))\n"
    )
    done = site.python("-c", code)
    assert done.returncode == 0, done.stderr
    ran = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " [" in line)
    assert set(ran) == set(SUMMARIES)
    assert "generation.right_sums" in ran["corpus"]
    assert "task.test_task.accuracy" in ran["task"]
    assert "task.last_word.accuracy" in ran["scorer"]


@pytest.mark.parametrize("kind", SUMMARIES)
def test_configs_import_no_torch_and_are_described(site: Any, tmp_path: Path, kind: str) -> None:
    files = render(PackageNames.of(f"{PREFIX}{kind}"), kind)
    names = [name for name in files if name.startswith(f"colaflex_test_{kind}/")]
    assert len(names) == 4
    light = ("config", "hooks")
    for name in names:
        if Path(name).stem in light:
            assert "import torch" not in files[name] and "from torch" not in files[name]
    component = files[f"colaflex_test_{kind}/{kind}.py"]
    if kind == "prior":
        assert len(component.splitlines()) <= 40
    for name, text in files.items():
        assert "{{" not in text and "{%" not in text, name
        assert text.endswith("\n"), name
        if name.endswith(".py"):
            compile(text, name, "exec")


def test_there_is_a_template_for_every_kind_with_a_config_base() -> None:
    bases = [getattr(configs, name) for name in configs.__all__]
    assert {base.kind for base in bases if hasattr(base, "kind")} == set(SUMMARIES)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - set(SUMMARIES)))
def test_a_kind_without_template_is_refused(
    colaflex_command: Callable[..., Any], tmp_path: Path, kind: str
) -> None:
    done = colaflex_command("plugins", "new", "mine", "--kind", kind, "--out", tmp_path / "x")
    assert done.code == 2
    assert kind in done.err
    assert "segmenter, representation, prior" in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["my prior", "--kind", "prior"], "no name of a package"),
        (["-p", "--kind", "prior"], "-p"),
        (["9lives", "--kind", "prior"], "no name of a package"),
        (["colaflex-9", "--kind", "prior"], "begin with a letter"),
        (["über", "--kind", "prior"], "no name of a package"),
        (["json", "--kind", "prior"], "Python has a 'json' already"),
        (["class", "--kind", "prior"], "Python has a 'class' already"),
        (["colaflex", "--kind", "prior"], "Python has a 'colaflex' already"),
        (["pydantic", "--kind", "prior"], "Python has a 'pydantic' already"),
        (["colaflex-euler", "--kind", "solver"], "colaflex has a solver 'euler' already"),
        (["mine", "--kind", "piror"], "did you mean 'prior'?"),
        (["mine"], "--kind"),
        (["mine", "--kind", "prior", "--out", "{full}"], "not an empty folder"),
        (["mine", "--kind", "prior", "--out", "{full}/file"], "not an empty folder"),
        (["mine", "--kind", "prior", "--out", "{full}/file/below"], "can't be written"),
    ],
)
def test_a_wrong_request_writes_nothing(
    colaflex_command: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    expected: str,
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "file").write_text("mine")
    monkeypatch.chdir(tmp_path)
    done = colaflex_command("plugins", "new", *(a.format(full=full) for a in arguments))
    assert (done.code, done.out) == (2, "")
    assert expected in done.err
    assert [p.name for p in tmp_path.rglob("*")] == ["full", "file"]
    assert (full / "file").read_text() == "mine"


def test_names_follow_from_one() -> None:
    names = PackageNames.of("Colaflex_Two.Step")
    assert names == PackageNames("colaflex-two-step", "colaflex_two_step", "two_step", "TwoStep")
    with pytest.raises(UserError, match="no name of a package"):
        PackageNames.of("")


def test_an_empty_folder_will_do_even_the_one_one_stands_in(
    colaflex_command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = colaflex_command("plugins", "new", "mine", "--kind", "solver", "--out", ".")
    assert done.code == 0
    assert "cd ." not in done.out
    assert "pip install -e ." in done.out and "runs/mine" in done.out
    assert sorted(p.name for p in Path().iterdir()) == [
        "README.md",
        "mine",
        "pyproject.toml",
        "spec.yaml",
        "tests",
    ]
    told = colaflex_command("plugins", "new", "other", "--kind", "solver", "--json").json
    assert told["folder"] == "other" and "other/hooks.py" in told["files"]
    assert all((tmp_path / "other" / name).is_file() for name in told["files"])


def test_pip_installs_it(tmp_path: Path, colaflex_command: Callable[..., Any]) -> None:
    pytest.importorskip("hatchling")
    made, target = tmp_path / "made", tmp_path / "target"
    assert colaflex_command("plugins", "new", "mine", "--kind", "coupling", "--out", made).code == 0
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"),
            *("--no-build-isolation", "--target", str(target), str(made)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (target / "mine" / "coupling.py").is_file()
    (points,) = target.glob("mine-0.1.0.dist-info/entry_points.txt")
    assert points.read_text() == "[colaflex]\nmine = mine.hooks\n"
