"""Summaries for the terminal: of a result, and of several seeds beside each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any, TextIO

from colaflex.metrics.catalogue import HEADLINES
from colaflex.metrics.caveats import caveats
from colaflex.metrics.likelihood import signed
from colaflex.metrics.limits import what_limits
from colaflex.metrics.measurements import left_out, measurements_of, settings_of, vocabulary
from colaflex.metrics.names import describe, place, short_label
from colaflex.metrics.numbers import MISSING, compact, duration, number, unit_text, with_unit
from colaflex.report.run_record import clean
from colaflex.report.tables import Cell, family_rows, generation_of
from colaflex.runtime import terminal

__all__ = ["print_seeds", "print_summary", "seed_rows"]

_COLUMNS = 4  # as many as fit 80 characters


def print_summary(result: Mapping[str, Any], file: TextIO) -> None:
    """Print the main metrics of a result (as in `result.json`) to a text stream.

    Generated text stands beside its references, with 95 % intervals; colours appear on terminals
    only. No text of the result is taken for markup or passes control characters on.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    result = clean(result)
    metrics = measurements_of(result)
    console = terminal.console(file)
    console.print(Text(_headline(result), style="bold"))
    for caveat in caveats(metrics, vocabulary(result)):
        console.print(Text(caveat, style="yellow"), soft_wrap=True)
    generation = generation_of(metrics)
    heads = generation.heads()[:_COLUMNS]
    if heads:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column(Text("generated text"), no_wrap=True)
        for _, info, arrow in heads:
            unit = "%" if info.unit == "share" else info.unit
            table.add_column(Text(f"{info.label} {arrow}\n{unit}".strip()), justify="right")
        for row, _, cells in generation.lines():
            texts = [Text(_cell(cell), no_wrap=True) for cell in cells[:_COLUMNS]]
            table.add_row(Text(short_label(row)), *texts, style="bold" if row == "model" else None)
        console.print(table)
    if limits := what_limits(metrics):
        console.print(Text(limits), soft_wrap=True)
    own = {name: measurement for name, measurement in metrics.items() if not place(name).point}
    families = ("reconstruction", "likelihood", "task", "geometry", "speed")
    others = family_rows(own, *families, likelihood=result.get("likelihood"))
    if others:
        table = Table(box=None, pad_edge=False, show_header=False)
        for one in others:
            value = Text(with_unit(one.value, one.unit), justify="right")
            table.add_row(Text(one.name), value, Text(one.interval, style="dim"))
        console.print(table)
    for name, why in left_out(result):
        console.print(Text(f"{name} is left out: {why}", style="yellow"), soft_wrap=True)


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return ""
    return f"{cell.value}\n{cell.interval.replace(' – ', '–')}" if cell.interval else cell.value


def _headline(result: Mapping[str, Any]) -> str:
    """Name, status and what it took, in one line."""
    training = result.get("training")
    parameters = result.get("parameters")
    parts = [str(result.get("name") or "run"), str(result.get("status") or "")]
    if isinstance(parameters, Mapping) and isinstance(parameters.get("total"), int | float):
        parts.append(f"{compact(parameters['total'])} parameters")
    if isinstance(training, Mapping) and isinstance(training.get("seconds"), int | float):
        parts.append(duration(training["seconds"]))
    if settings := settings_of(result):
        parts.append(f"measured with {settings}")
    return " · ".join(" ".join(part.split()) for part in parts if part)


def seed_rows(results: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Of each of `HEADLINES` that a result has: its label, each seed's value, mean and spread.

    The spread is the standard deviation over seeds, which says how much chance in training does; an
    interval of one run says what chance there is in its samples. A seed that lacks the metric shows
    so, and mean and spread are of the others.
    """
    runs = [measurements_of(result) for result in results]
    rows = []
    for name in HEADLINES:
        values = [metrics[name].value if name in metrics else math.nan for metrics in runs]
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
