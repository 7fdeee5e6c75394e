"""Documentation is true: generated pages are current, and examples run or are checked."""

from __future__ import annotations

import json
import math
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import torch

import colaflex
from colaflex.cli.main import COMMANDS, main
from colaflex.cli.main import _cli as cli
from colaflex.corpora.bible import __doc__ as bible_splits
from colaflex.files.yaml import read_file
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.values import LatentBatch
from colaflex.spec import Spec

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```', re.DOTALL | re.MULTILINE)
SMALL = {
    "corpus": {
        "type": "worlds",
        "documents": 400,
        "validation_documents": 40,
        "test_documents": 40,
        "judge_documents": 40,
    },
    "tokenizer.vocab_size": 300,
    "representation.width": 32,
    "representation.embedding_dim": 16,
    "representation.latent_dim": 4,
    "representation.heads": 2,
    "prior.block_size": 4,
    "prior.network": {"width": 32, "layers": 1, "heads": 2, "time_width": 16},
    "training.steps": 8,
    "training.batch_size": 8,
    "training.max_tokens": 64,
    "training.log_every": 2,
    "evaluation.samples": 4,
    "evaluation.documents": 8,
    "evaluation.sweep_steps": [1, 2],
    "evaluation.sweep_guidance": [1, 2],
    "evaluation.sweep_samples": 2,
    "evaluation.bootstrap": 100,
    "evaluation.judge.enabled": False,
    "sampling.steps": 2,
    "sampling.max_new_tokens": 16,
}
"""What makes a spec of the documentation train in seconds."""


def blocks(page: Path, language: str) -> Iterator[tuple[str, str]]:
    """(title, text) of a page's code blocks in a language."""
    for found, title, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if found == language:
            yield title, text


def command_lines() -> list[tuple[str, str]]:
    """(page, line) of every `colaflex ...` that a reader may type."""
    lines = []
    for page in PAGES:
        text = re.sub(r"\\\n\s*", "", page.read_text(encoding="utf-8"))
        for line in text.splitlines():
            match = re.match(r"(?:\$ |    |.*&& )(?:\.venv/bin/|.* -m )?(colaflex [^#]*)", line)
            if match and "COMMAND" not in line:
                lines.append((page.name, match[1].strip()))
        lines += [(page.name, each) for each in re.findall(r"`(colaflex [a-z][^`…\n]*)`", text)]
    return lines


def test_generated_pages_are_current() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs/generate.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("page", "line"), command_lines())
def test_every_command_and_option_exists(page: str, line: str) -> None:
    words = [w for w in shlex.split(line) if not w.isupper()][1:]
    command: click.Command = cli
    context = click.Context(command, info_name="colaflex")
    rest: list[str] = []
    for word in words:
        if isinstance(command, click.Group) and not word.startswith("-") and not rest:
            found = command.get_command(context, word)
            assert found is not None, f"{page}: {line}"
            command, context = found, click.Context(found, parent=context)
        else:
            rest.append(word)
    options = {name for p in command.params for name in p.opts} | {"--help", "-h"}
    assert {word for word in rest if word.startswith("--")} <= options, f"{page}: {line}"


def test_every_command_is_documented() -> None:
    text = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    assert all(f"colaflex {name}" in text for name in COMMANDS)


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_books_of_each_split_are_those_of_the_corpus() -> None:
    table = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \(\d+ % of the text\) \| (.+) \|$|", table, re.MULTILINE)
    written = " ".join((bible_splits or "").split())
    books = [books for _, books in rows if books and books != "all other books"]
    assert len(books) >= 1
    assert all(listed in written for listed in books)


def yaml_examples() -> list[tuple[str, str]]:
    pages = [page for page in PAGES if page.name != "plugin-guide.md"]
    found = [(page, title, text) for page in pages for title, text in blocks(page, "yaml")]
    return [(page.name, text) for page, title, text in found if not title]  # titled: other files


@pytest.mark.parametrize(("page", "text"), yaml_examples())
def test_every_spec_is_valid(page: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("corpus: bible\n")
    example = tmp_path / "example.yaml"
    example.write_text(text)
    assert Spec.load(example).digest(), page


@pytest.fixture(scope="module")
def guide() -> dict[str, str]:
    """The files of the plugin guide."""
    return {
        title: text
        for language in ("toml", "python", "yaml")
        for title, text in blocks(ROOT / "docs/plugin-guide.md", language)
        if title
    }


def install_guide(site: Any, guide: dict[str, str]) -> None:
    project = tomllib.loads(guide["pyproject.toml"])["project"]
    points = project["entry-points"]["colaflex"].items()
    package = {name: text for name, text in guide.items() if "/" in name}
    folder = next(iter(package)).partition("/")[0]
    site.add(
        project["name"],
        {f"{folder}/__init__.py": "", **package},
        "[colaflex]\n" + "".join(f"{name} = {value}\n" for name, value in points),
        project["version"],
    )


def test_the_plugin_of_the_guide_is_found_and_its_spec_valid(
    site: Any, guide: dict[str, str], tmp_path: Path
) -> None:
    install_guide(site, guide)
    listed = json.loads(site.run("plugins", "--json").stdout)
    row = next(row for row in listed if row["name"] == "huber_flow")
    assert row["status"] == "ready"
    (tmp_path / "spec.yaml").write_text(guide["spec.yaml"])
    done = site.run("spec", "validate", str(tmp_path / "spec.yaml"))
    assert done.returncode == 0, done.stderr
    assert len(guide["colaflex_huber_flow/prior.py"].splitlines()) <= 40


def test_the_prior_of_the_guide_learns(site: Any, guide: dict[str, str], tmp_path: Path) -> None:
    install_guide(site, guide)
    (tmp_path / "try_it.py").write_text(guide["try_it.py"])
    done = site.python(str(tmp_path / "try_it.py"))
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) > 0.8, done.stdout
    (tmp_path / "learns.py").write_text(guide["learns.py"])
    done = site.python(str(tmp_path / "learns.py"))
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.04, done.stdout


def test_the_readout_of_the_guide_is_taken_and_learns(guide: dict[str, str]) -> None:
    """By a prior on paths, whose latents stand for one of four shapes, each a point."""
    text = guide["shape_readout.py"]
    body = text[text.index("class") :]
    assert len(body.splitlines()) <= 25
    known: dict[str, Any] = {}
    exec(text, known)
    torch.manual_seed(0)
    network = {"type": "block_causal", "width": 32, "layers": 1, "heads": 2, "time_width": 16}
    shape = {"latent_dim": 2, "block_size": 1, "prediction": "x0", "history_dropout": 0}
    schedule = {"distribution": "uniform"}
    prior = colaflex.build("prior", "flow_matching", **shape, network=network, schedule=schedule)
    readout = known["ShapeReadout"](32, 4, 2)
    readout.weight = 1.0  # so that little training tells
    prior.take(readout, None)
    points = torch.tensor([[1.4, 0.0], [-1.4, 0.0], [0.0, 1.4], [0.0, -1.4]])
    optimizer = torch.optim.Adam(prior.parameters(), 1e-2)
    costs = []
    for step in range(120):
        kinds = torch.randint(4, (128, 1))
        mask = torch.ones(128, 1, dtype=torch.bool)
        batch = LatentBatch(points[kinds], mask, content=kinds[..., None])
        terms = prior.losses(batch, Noise(0, step))
        optimizer.zero_grad()
        sum(term.weight * term.total for term in terms.values()).backward()
        optimizer.step()
        costs.append(float(terms["content"].total) / 128)
    assert costs[0] == pytest.approx(math.log(4), abs=0.3)
    assert sum(costs[-10:]) / 10 < 0.8 * math.log(4)


def test_the_prior_of_the_guide_conforms(site: Any, guide: dict[str, str], tmp_path: Path) -> None:
    install_guide(site, guide)
    done = site.run("plugins", "check", "colaflex_huber_flow.prior:HuberFlow", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(json.loads(done.stdout)) > 30
    test = tmp_path / "test_conformance.py"
    test.write_text(guide["test_conformance.py"])
    shown = site.python("-m", "pytest", "--co", "-q", "-p", "no:cacheprovider", str(test))
    assert "test_conformance[prior.pinned]" in shown.stdout, shown.stdout + shown.stderr


def test_the_steps_of_the_guide_work(site: Any, guide: dict[str, str], tmp_path: Path) -> None:
    """Its commands in order, at a small size: shown, checked, in the schema, run, overridden."""
    install_guide(site, guide)
    (tmp_path / "spec.yaml").write_text(guide["spec.yaml"])
    page = ROOT / "docs/plugin-guide.md"
    small = [
        word for key, value in SMALL.items() for word in ("--set", f"{key}={json.dumps(value)}")
    ]
    lines = [shlex.split(line)[2:] for _, t in blocks(page, "console") for line in t.splitlines()]
    commands = [[*line, *(small if line[0] == "run" else [])] for line in lines]
    code = (
        "import os\nfrom colaflex.cli.main import main\n"
        f"os.chdir({str(tmp_path)!r})\n"
        f"for each in {commands!r}:\n    print()\n    assert main(each) == 0, each"
    )
    done = site.python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("stage 1: reused") == 2
    assert '"prior.huber_flow"' in done.stdout
    for name, width in (("huber", 0.2), ("wide", 0.5)):
        saved = read_file(tmp_path / "runs" / name / "spec.yaml").plain["prior"]
        assert (saved["type"], saved["width"]) == ("colaflex-huber-flow:huber_flow", width)


def test_the_options_of_the_guides_prior_are_searched(
    site: Any, guide: dict[str, str], tmp_path: Path
) -> None:
    """By its study, two trials at a small size, without a line of ours that knows the prior."""
    install_guide(site, guide)
    (tmp_path / "spec.yaml").write_text(guide["spec.yaml"])
    small = json.dumps(SMALL)
    study = guide["study.yaml"].replace("{trials: 4}", "{trials: 2}")
    study += f"trials: {small}\nfresh: {{seeds: 1, set: {small}}}\n"
    (tmp_path / "study.yaml").write_text(study)
    done = site.python("-c", in_folder(tmp_path, ["study", "run", "study.yaml", "--json"]))
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    assert (status["complete"], status["fresh"]["complete"]) == (2, 1)
    runs = sorted((tmp_path / "runs/studies/huber").glob("search-*/*/spec.yaml"))
    priors = [read_file(path).plain["prior"] for path in runs]
    assert [prior["type"] for prior in priors] == ["colaflex-huber-flow:huber_flow"] * 2
    assert priors[0]["width"] != priors[1]["width"]
    assert all(0.05 <= prior["width"] <= 1.0 for prior in priors)
    best = ["study", "report", "study.yaml", "--write-best", "best.yaml"]
    done = site.python("-c", in_folder(tmp_path, best))
    assert done.returncode == 0, done.stderr
    written = read_file(tmp_path / "best.yaml").plain["prior"]
    assert written["width"] == status["best"]["point"]["prior.width"]
    assert "prior.width" in (tmp_path / "runs/studies/huber/report.html").read_text()


def in_folder(folder: Path, command: list[str]) -> str:
    """A program that runs a command within a folder."""
    return (
        "import os\nfrom colaflex.cli.main import main\n"
        f"os.chdir({str(folder)!r})\nraise SystemExit(main({command!r}))"
    )


def test_the_study_of_the_studies_page_is_valid(
    tmp_path: Path, colaflex_command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((title, text),) = blocks(ROOT / "docs/studies.md", "yaml")
    monkeypatch.chdir(tmp_path)
    (tmp_path / title).write_text(
        text.replace("specs/worlds.yaml", str(ROOT / "specs/worlds.yaml"))
    )
    ended = colaflex_command("study", "status", title, "--json")
    assert ended.code == 0, ended.err
    assert set(ended.json["controls"]) == {"one_at_a_time"}


def test_the_task_of_the_task_page_is_scored_as_shown(site: Any, tmp_path: Path) -> None:
    """Its file scores what the page shows, by its path and as a component."""
    page = ROOT / "docs/tasks.md"
    files = {
        title: text
        for language in ("yaml", "jsonl", "python")
        for title, text in blocks(page, language)
        if title
    }
    for name in ("capitals.yaml", "capitals.jsonl"):
        (tmp_path / name).write_text(files[name])
    ((_, shown),) = blocks(page, "console")
    command, _, expected = shown.partition("\n")
    package = {name: text for name, text in files.items() if "/" in name}
    package["colaflex_capitals/capitals.yaml"] = files["capitals.yaml"]
    site.add(
        "colaflex-capitals",
        {"colaflex_capitals/__init__.py": "", **package},
        "[colaflex]\ncapitals = colaflex_capitals.hooks\n",
    )
    for task in ("capitals.yaml", "capitals"):
        words = shlex.split(command.replace("capitals.yaml", task))[2:]
        code = (
            "import os, sys\nfrom colaflex.cli.main import main\n"
            f"os.chdir({str(tmp_path)!r})\nsys.exit(main({words!r}))"
        )
        done = site.python("-c", code)
        assert done.returncode == 0, done.stderr
        assert done.stdout == expected


def test_the_hook_of_the_guide_is_called(site: Any, tmp_path: Path) -> None:
    guide_page = ROOT / "docs/plugin-guide.md"
    hook = next(text for title, text in blocks(guide_page, "python") if not title)
    site.add_plugin("watch", hook)
    code = (
        "from pathlib import Path\n"
        "from colaflex.hooks import RunInfo\n"
        "from colaflex.host.registry import registry\n"
        "run = RunInfo(Path('.'), 'first', 0, {})\n"
        "registry().life_cycle().run_ended(run, {'status': 'complete'})"
    )
    done = site.python("-c", code)
    assert "first: complete" in done.stderr, done.stderr


def test_the_tutorial_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its commands and its Python, in order, at a small size."""
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs/tutorial.md"
    small = [
        word for key, value in SMALL.items() for word in ("--set", f"{key}={json.dumps(value)}")
    ]
    for line in (line for _, text in blocks(page, "console") for line in text.splitlines()):
        arguments = shlex.split(line)[2:]
        assert main([*arguments, *(small if arguments[0] == "run" else [])]) == 0, line
    assert "stage 1: reused" in capsys.readouterr().err
    ((_, python),) = blocks(page, "python")
    swap = '{"prior": "rectified_flow"}'
    assert swap in python
    script = tmp_path / "tutorial.py"
    script.write_text(python.replace(swap, repr({"prior": "rectified_flow", **SMALL})))
    runpy.run_path(str(script))
    assert "torch.Size" in capsys.readouterr().out


def test_the_rows_of_the_statistics_page_compare_as_it_says() -> None:
    ((_, text),) = blocks(ROOT / "docs/statistics.md", "python")
    assert text.count("assert") == 5
    exec(compile(text, "statistics.md", "exec"), {})
