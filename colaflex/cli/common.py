"""What all commands share: paths, `--json`, `--no-verify`, `--no-plugin`, and how they print."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from colaflex.errors import RunFailure, UserError
from colaflex.files.reading import NO_VERIFY, user_path
from colaflex.host.metadata import REFUSE
from colaflex.runtime.failures import is_request, reason
from colaflex.runtime.terminal import console, in_json, shown

__all__ = [
    "FOLDER",
    "PATH",
    "json_option",
    "no_plugin_option",
    "no_verify_option",
    "print_json",
    "print_table",
    "write_file",
]


class UserPath(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """A path as users write it, `~` for the home folder."""

    name = "path"

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Path:
        """The path; a UserError becomes click's own, which names the option."""
        try:
            return user_path(value)
        except UserError as error:
            self.fail(str(error), param, ctx)


class UserFolder(UserPath):
    """The path of a folder that is there."""

    name = "directory"

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Path:
        """The path, which has to be a folder's."""
        path = super().convert(value, param, ctx)
        if not path.is_dir():
            self.fail(f"{path}: there is no such folder", param, ctx)
        return path


PATH, FOLDER = UserPath(), UserFolder()


def _or_by_group(context: click.Context, option: click.Parameter, wanted: bool) -> bool:
    """Whether `--json` was given to the command or to the group that it belongs to."""
    del option
    return wanted or (context.parent is not None and bool(context.parent.params.get("as_json")))


json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    callback=_or_by_group,
    help="Print one JSON document on stdout.",
)


def _skip(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    """Into the environment, so that worker processes keep to it as well, until the command ends."""
    del option
    if wanted and NO_VERIFY not in os.environ:
        os.environ[NO_VERIFY] = "1"
        context.call_on_close(lambda: os.environ.pop(NO_VERIFY, None))


no_verify_option = click.option(
    "--no-verify",
    is_flag=True,
    expose_value=False,
    callback=_skip,
    help="Use large files without comparing them with their digests.",
)


def print_json(value: Any) -> None:
    """Print one JSON document; raises ValueError for a number that JSON doesn't have.

    What a terminal would obey is escaped in JSON's own way, which changes no value, and so is what
    stdout can't encode.
    """
    plain = (sys.stdout.encoding or "utf-8").lower().replace("-", "") != "utf8"
    text = json.dumps(value, indent=2, ensure_ascii=plain, allow_nan=False)
    print(text if plain else in_json(text))


def write_file(path: Path, text: str) -> None:
    """Write a file that was asked for, its folder too.

    Raises:
        UserError: no such file can be.
        RunFailure: it could be, but say the disk is full.
    """
    from colaflex.files.writing import write_atomic

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text)
    except OSError as error:
        kind = UserError if is_request(error) else RunFailure
        raise kind(f"{path}: can't be written: {reason(error)}") from None


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], width: int | None = None
) -> None:
    """Print a table, as wide as the terminal, in which cells are broken and never cut.

    Words stay whole where there is room for those of all columns, else those of the first column
    up to half of the width. Where there is no terminal, rows are whole.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    page = console(sys.stdout, width=width if width or sys.stdout.isatty() else 200)
    cells = [tuple(shown(cell, sys.stdout) for cell in row) for row in rows]
    columns = [shown(column, sys.stdout) for column in columns]
    sizes = [_sizes(column) for column in zip(columns, *cells, strict=True)]
    room = sum(word for word, _ in sizes) + 3 * len(sizes) <= page.width
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index, (column, (word, cell)) in enumerate(zip(columns, sizes, strict=True)):
        first = None if room or index else min(cell, page.width // 2)
        table.add_column(Text(column), overflow="fold", no_wrap=room and word == cell, width=first)
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    page.print(table)


def _sizes(column: Iterable[str]) -> tuple[int, int]:
    """The widths of a column's longest word and longest cell."""
    from rich.cells import cell_len

    cells = list(column)
    words = [word for cell in cells for word in cell.split()]
    return max(map(cell_len, words), default=0), max(map(cell_len, cells), default=0)


def no_plugin_option(hidden: bool = False) -> click.Option:
    """`--no-plugin NAME`, before or behind the command's name."""
    return click.Option(
        ["--no-plugin"],
        multiple=True,
        metavar="NAME",
        expose_value=False,
        is_eager=True,
        hidden=hidden,
        callback=_refuse,
        help="Don't load this plugin (entry point or distribution); repeatable.",
    )


def _refuse(context: click.Context, option: click.Parameter, names: tuple[str, ...]) -> None:
    """Into the environment, so that worker processes keep to it as well."""
    del context, option
    if names:
        before = os.environ.get(REFUSE, "")
        os.environ[REFUSE] = ",".join([*([before] if before else []), *names])
