"""What all tests share: a cache of their own, and plugins that are real distributions."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import settings

from colaflex.files.manifest import RunManifest
from colaflex.host.metadata import Selection
from colaflex.host.registry import Registry

# Tests are small: threads would only wait for each other. Processes (pytest -n) share the work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("colaflex", deadline=None)
settings.load_profile("colaflex")

CACHE = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Never touch the user's cache; parallel workers inherit that of the session."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        config.stash[CACHE] = tempfile.mkdtemp(prefix="colaflex-tests-")
        os.environ["COLAFLEX_CACHE"] = config.stash[CACHE]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing behind."""
    if CACHE in config.stash:
        shutil.rmtree(config.stash[CACHE], ignore_errors=True)


HOOKS = """
    import colaflex

    @colaflex.hookimpl
    def colaflex_components():
        return [{components}]
"""

CONFIG = """
    from pydantic import Field

    from colaflex.interfaces.configs import SolverConfig

    class Config(SolverConfig):
        rate: float = Field(1.0, ge=0.0, description="Some rate.")

        def evaluations(self, steps):
            return steps
"""

SOLVER = """
    class Solver:
        def __init__(self, config, width=1):
            self.config, self.width = config, width
"""


TINY = """
name: tiny
corpus: {type: worlds, documents: 120, validation_documents: 12, test_documents: 12}
tokenizer: {vocab_size: 300}
segmenter: {type: fixed_patch, size: 4}
representation:
  {type: text_vae, latent_dim: 4, width: 16, encoder_layers: 1, decoder_layers: 1, heads: 2,
   embedding_dim: 8}
prior:
  type: flow_matching
  block_size: 4
  network: {type: block_causal, width: 16, layers: 1, heads: 2, time_width: 8}
training: {batch_size: 4, max_tokens: 64, steps: 15, log_every: 2, checkpoint_every: 3}
sampling: {max_new_tokens: 40, steps: 2}
evaluation:
  {samples: 4, documents: 8, sweep_steps: [1], sweep_guidance: [2], sweep_samples: 2,
   bootstrap: 100}
"""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec that trains in a second: 6 steps of stage 1, 9 of the prior."""
    path = tmp_path_factory.mktemp("specs") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def finished(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of it, which tests leave as it is."""
    import colaflex

    folder = tmp_path_factory.mktemp("runs") / "finished"
    with pytest.MonkeyPatch.context() as patch:
        # Parallel workers share a cache; this run has to train its stage 1 itself.
        patch.setenv("COLAFLEX_CACHE", str(tmp_path_factory.mktemp("own-cache")))
        colaflex.run(colaflex.Spec.load(tiny), out=folder)
    return folder


@pytest.fixture
def unfinished(finished: Path, tmp_path: Path) -> Path:
    """A copy of it that lacks what is written after training."""
    folder = tmp_path / "unfinished"
    shutil.copytree(finished, folder)
    ended = ("samples.jsonl", "items.json", "result.json", "report.html")
    for name in ended:
        (folder / name).unlink()
    manifest = RunManifest.of(folder)
    assert manifest is not None
    files = {k: v for k, v in manifest.files.items() if k not in (*ended, "metrics.jsonl")}
    RunManifest(files).write(folder)
    return folder


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as the one JSON document that it must be."""
        return json.loads(self.out)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file, by default a spec's, and gives its path."""

    def write(text: str | bytes, name: str = "spec.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


@pytest.fixture
def colaflex_command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """The command line within this process, which spares the import of torch."""
    from colaflex.cli.main import main

    def call(*arguments: object) -> Ended:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Ended(code, *capsys.readouterr())

    return call


@dataclass
class Site:
    """A folder of installed distributions, on the import path."""

    path: Path

    def add(
        self,
        distribution: str,
        files: Mapping[str, str],
        entry_points: str,
        version: str = "1.0",
    ) -> None:
        """Install a distribution from its files' texts and its entry_points.txt."""
        for name, text in files.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(text))
        info = self.path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        (info / "entry_points.txt").write_text(dedent(entry_points))
        importlib.invalidate_caches()

    def add_plugin(self, package: str, hooks: str, **files: str) -> None:
        """Install the distribution colaflex-PACKAGE whose entry point PACKAGE is its hooks."""
        texts = {f"{package}/{name}.py": text for name, text in {"hooks": hooks, **files}.items()}
        self.add(
            f"colaflex-{package}",
            {f"{package}/__init__.py": "", **texts},
            f"[colaflex]\n{package} = {package}.hooks\n",
        )

    def add_solver(self, package: str, name: str, **files: str) -> None:
        """Install a plugin with one sound solver."""
        component = (
            f'colaflex.Component("solver", "{name}", "{package}.solver:Solver", '
            f'"{package}.config:Config", "A solver.")'
        )
        texts = {"solver": SOLVER, "config": CONFIG, **files}
        self.add_plugin(package, HOOKS.format(components=component), **texts)

    def registry(self, **environment: str) -> Registry:
        """What is discovered under these environment variables."""
        return Registry.discover(Selection.from_environment(environment))

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """The command line, in a process of its own that sees these distributions."""
        return self.python("-m", "colaflex", *arguments, **environment)

    def python(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Python, in a process of its own that sees these distributions."""
        path = [str(self.path), *filter(None, [os.environ.get("PYTHONPATH")])]
        return subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path), **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An empty folder of distributions; what is imported from it is forgotten afterwards."""
    path = tmp_path / "site"
    path.mkdir()
    monkeypatch.syspath_prepend(str(path))
    yield Site(path)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(path)):
            del sys.modules[name]
