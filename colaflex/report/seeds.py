"""The main results of several seeds beside each other, for the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any, TextIO

from colaflex.metrics.catalogue import HEADLINES
from colaflex.metrics.likelihood import signed
from colaflex.metrics.measurements import measurements_of
from colaflex.metrics.names import describe
from colaflex.metrics.numbers import MISSING, number, unit_text
from colaflex.runtime import terminal

__all__ = ["print_seeds", "seed_rows"]


def seed_rows(results: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Of each of `HEADLINES` that a result has: its label, each seed's value, mean and spread.

    The spread is the standard deviation over seeds, which says how much chance in training does; an
    interval of one run says what chance there is in its samples. A seed that lacks the metric shows
    so, and mean and spread are of the others.
    """
    found = [measurements_of(result) for result in results]
    rows = []
    for name in HEADLINES:
        values = [metrics[name].value if name in metrics else math.nan for metrics in found]
        known = [value for value in values if math.isfinite(value)]
        if not known:
            continue
        info = describe(name)
        spread = stdev(known) if len(known) > 1 else math.nan
        label = f"{info.label}, {unit_text(info.unit)}" if info.unit else info.label
        declared = results[0].get("likelihood")
        printed = (number(value, info.unit) for value in (*values, fmean(known)))
        cells = [signed(name, text, declared) for text in printed]
        rows.append([label, *cells, "" if math.isnan(spread) else f"± {number(spread, info.unit)}"])
    return rows


def print_seeds(results: Sequence[Mapping[str, Any]], file: TextIO) -> None:
    """Print the main results of seeds, as in their `result.json`, with mean and spread."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(Text(f"{len(results)} seeds"), no_wrap=True)
    names = [f"seed {result.get('seed', MISSING)}" for result in results]
    for name in (*names, "mean", "spread"):
        table.add_column(Text(name), justify="right", no_wrap=True)
    for row in seed_rows(results):
        table.add_row(*map(Text, row))
    console = terminal.console(file)
    unbounded = console.options.update(max_width=10_000)
    console.width = max(console.width, console.measure(table, options=unbounded).maximum)
    console.print(table)
