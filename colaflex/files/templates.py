"""The one place that makes jinja environments: of HTML pages, and of plain files."""

from __future__ import annotations

from typing import Any

from jinja2 import BaseLoader, Environment, PackageLoader, PrefixLoader, StrictUndefined
from markupsafe import Markup

__all__ = ["file_templates", "page_templates"]


def page_templates(**packages: str) -> Environment:
    """Templates of HTML pages, which escape all that they are given but drawings (`| svg`).

    Args:
        packages: by the prefix of its templates' names, each package that has a folder `templates`.
    """
    loaders = {prefix: PackageLoader(package) for prefix, package in packages.items()}
    environment = _environment(PrefixLoader(loaders), autoescape=True)
    # ElementTree has serialised the element, and so escaped what is in it.
    environment.filters["svg"] = lambda drawing: Markup(drawing.svg)  # noqa: S704
    return environment


def file_templates(package: str, folder: str) -> Environment:
    """Templates of files that are no HTML, such as Python: nothing is escaped."""
    return _environment(PackageLoader(package, folder), keep_trailing_newline=True)


def _environment(loader: BaseLoader, **options: Any) -> Environment:
    return Environment(  # noqa: S701  # pages escape, see above
        loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, **options
    )
