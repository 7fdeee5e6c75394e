"""What all commands share: `--json`, `--no-plugin`, and how they print."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from colaflex.host.metadata import REFUSE

__all__ = ["json_option", "no_plugin_option", "print_json", "print_table", "wants_json"]

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on stdout."
)


def wants_json(context: click.Context) -> bool:
    """Whether `--json` was given to the command or to the group that it belongs to."""
    chain: Iterable[click.Context] = (c for c in (context, context.parent) if c is not None)
    return any(c.params.get("as_json", False) for c in chain)


def print_json(value: Any) -> None:
    """Print one JSON document; raises ValueError for a number that JSON doesn't have."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], width: int | None = None
) -> None:
    """Print a table, as wide as the terminal, in which cells are broken and never cut.

    Words stay whole where there is room for those of all columns, else those of the first column
    up to half of the width. Where there is no terminal, rows are whole.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=width if width or sys.stdout.isatty() else 200, soft_wrap=False)
    cells = [tuple(row) for row in rows]
    sizes = [_sizes(column) for column in zip(columns, *cells, strict=True)]
    room = sum(word for word, _ in sizes) + 3 * len(sizes) <= console.width
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index, (column, (word, cell)) in enumerate(zip(columns, sizes, strict=True)):
        first = None if room or index else min(cell, console.width // 2)
        table.add_column(column, overflow="fold", no_wrap=room and word == cell, width=first)
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


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
