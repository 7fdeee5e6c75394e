"""`colaflex plugins new`: a package with a working component, to be changed into one's own."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from colaflex.cli.common import PATH, json_option, print_json
from colaflex.errors import UserError

__all__ = ["SUMMARIES", "PackageNames", "command", "render", "write_package"]

SUMMARIES = {
    "segmenter": "Segments of equally many tokens.",
    "representation": "Variational autoencoder of single segments.",
    "prior": "Flow matching with Min-SNR weights of the training times.",
    "network": "Recurrent network: a GRU reads the history, others mix the block.",
    "solver": "Adams-Bashforth: order 2, one network evaluation a step.",
    "coupling": "Sliced minibatch optimal transport between noise and data.",
    "schedule": "Times whose logits lie evenly between two ends.",
    "baseline": "Recurrent language model over tokens, with an exact likelihood.",
    "corpus": "Sums of which is known whether they are right.",
    "task": "Held-out words written twice, of which the last one is asked for.",
    "scorer": "Right is what has enough words in common with the truth.",
}
"""The kinds that there are templates for, and what each makes."""

DISTRIBUTION = re.compile(r"[a-z][a-z0-9]*([-_.]+[a-z0-9]+)*", re.IGNORECASE)
PREFIX = "colaflex-"


@dataclass(frozen=True, slots=True)
class PackageNames:
    """What a plugin's parts are called.

    Attributes:
        distribution: as pip knows it, e.g. colaflex-two-step.
        package: as Python imports it, e.g. colaflex_two_step.
        component: the word in a spec, e.g. two_step.
        cls: the component's class, e.g. TwoStep.
    """

    distribution: str
    package: str
    component: str
    cls: str

    @classmethod
    def of(cls, name: str) -> PackageNames:
        """All names from the one that was given.

        Raises:
            UserError: it names no distribution, or Python could not import a package of that name.
        """
        if not DISTRIBUTION.fullmatch(name):
            raise UserError(
                f"{name!r} is no name of a package: expected ASCII letters and digits, joined by "
                "-, _ or ., beginning with a letter, e.g. colaflex-two-step"
            )
        distribution = re.sub(r"[-_.]+", "-", name).lower()
        package = distribution.replace("-", "_")
        component = distribution.removeprefix(PREFIX).replace("-", "_")
        if component[0].isdigit():
            raise UserError(f"{name!r}: what follows {PREFIX} has to begin with a letter")
        reserved = keyword.iskeyword(package) or package in sys.stdlib_module_names
        if reserved or _is_installed(package):
            raise UserError(
                f"{name!r}: Python has a {package!r} already, another would not be importable; "
                f"how about {PREFIX}{distribution.removeprefix(PREFIX)}-plugin?"
            )
        words = component.split("_")
        return cls(distribution, package, component, "".join(word.capitalize() for word in words))


def _is_installed(package: str) -> bool:
    spec = importlib.util.find_spec(package)
    # A folder without code, such as the one that is to be filled, is in nobody's way.
    return spec is not None and spec.origin is not None


def render(names: PackageNames, kind: str) -> dict[str, str]:
    """The texts of a package's files by their path in it.

    Args:
        names: of the package.
        kind: one of `SUMMARIES`.
    """
    import colaflex
    from colaflex.files.templates import file_templates

    templates = file_templates("colaflex.cli", "templates/plugin")
    sources = {
        "pyproject.toml": "pyproject.toml.j2",
        "README.md": "README.md.j2",
        "spec.yaml": "spec.yaml.j2",
        f"{names.package}/__init__.py": "init.py.j2",
        f"{names.package}/hooks.py": "hooks.py.j2",
        f"{names.package}/config.py": f"{kind}/config.py.j2",
        f"{names.package}/{kind}.py": f"{kind}/component.py.j2",
        f"tests/test_{names.component}.py": f"{kind}/test.py.j2",
        f"tests/test_{names.component}_conforms.py": "conforms.py.j2",
    }
    values = {
        "kind": kind,
        "summary": SUMMARIES[kind],
        "colaflex_version": ".".join(colaflex.__version__.split(".")[:2]),
        "distribution": names.distribution,
        "package": names.package,
        "component": names.component,
        "cls": names.cls,
    }
    return {path: templates.get_template(source).render(values) for path, source in sources.items()}


def write_package(folder: Path, files: Mapping[str, str]) -> None:
    """Write all files or none; raises UserError where the folder is not new or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is there already and not an empty folder; nothing is written")
    try:
        (folder if folder.exists() else folder.parent).mkdir(parents=True, exist_ok=True)
        home = folder if folder.exists() else folder.parent
        with tempfile.TemporaryDirectory(prefix=".colaflex-", dir=home) as temporary:
            staged = Path(temporary) / "package"
            for name, text in files.items():
                path = staged / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            if home == folder:
                for path in sorted(staged.iterdir()):
                    path.rename(folder / path.name)
            else:
                staged.rename(folder)
    except OSError as error:
        raise UserError(f"{folder}: can't be written: {error.strerror or error}") from error


@click.command("new")
@click.argument("name")
@click.option("--kind", required=True, metavar="KIND", help=f"One of {', '.join(SUMMARIES)}.")
@click.option(
    "--out", type=PATH, metavar="DIR", help="Folder to make; by default the package's name."
)
@json_option
def command(name: str, kind: str, out: Path | None, as_json: bool) -> None:
    """Write the package NAME with a small working component and its tests."""
    from colaflex.host.registry import registry

    _check_kind(kind)
    names = PackageNames.of(name)
    rivals = [e for e in registry().entries(kind) if e.component.name == names.component]
    if rivals:
        raise UserError(
            f"{rivals[0].distribution} has a {kind} {names.component!r} already; "
            "choose another name"
        )
    folder = Path(names.distribution) if out is None else out
    files = render(names, kind)
    write_package(folder, files)
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "files": list(files),
                "distribution": names.distribution,
                "kind": kind,
                "component": names.component,
            }
        )
        return
    print(f"wrote {len(files)} files to {folder}; next:")
    for line in (
        f"cd {folder}" if str(folder) != "." else "",
        "pip install -e .",
        "python -m pytest",
        f"colaflex plugins show {kind} {names.component}",
        f"colaflex run spec.yaml --out runs/{names.component}",
    ):
        if line:
            print(f"  {line}")


def _check_kind(kind: str) -> None:
    from colaflex.hints import hint
    from colaflex.hooks import KINDS

    if kind not in KINDS:
        raise UserError(f"unknown kind of component {kind!r}{hint(kind, SUMMARIES, 'kinds')}")
    if kind not in SUMMARIES:
        raise UserError(f"there is no template for a {kind} yet; there are: {', '.join(SUMMARIES)}")
