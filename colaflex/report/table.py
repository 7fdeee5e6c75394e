"""The summary of a result for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TextIO

from colaflex.metrics.caveats import caveats
from colaflex.metrics.likelihood import signed
from colaflex.metrics.measurements import left_out, measurements_of, settings_of, vocabulary
from colaflex.metrics.names import place, short_label
from colaflex.metrics.numbers import compact, duration, with_unit
from colaflex.report.record import clean
from colaflex.report.sections import Cell, family_rows, generation_of
from colaflex.runtime import terminal

__all__ = ["print_summary"]

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
    own = {name: measured for name, measured in metrics.items() if not place(name).point}
    others = family_rows(own, "reconstruction", "likelihood", "task", "geometry", "speed")
    if others:
        table = Table(box=None, pad_edge=False, show_header=False)
        for one in others:
            value = signed(one.name, with_unit(one.value, one.unit), result.get("likelihood"))
            table.add_row(
                Text(one.name), Text(value, justify="right"), Text(one.interval, style="dim")
            )
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
    said = [str(result.get("name") or "run"), str(result.get("status") or "")]
    if isinstance(parameters, Mapping) and isinstance(parameters.get("total"), int | float):
        said.append(f"{compact(parameters['total'])} parameters")
    if isinstance(training, Mapping) and isinstance(training.get("seconds"), int | float):
        said.append(duration(training["seconds"]))
    if measured := settings_of(result):
        said.append(f"measured with {measured}")
    return " · ".join(" ".join(part.split()) for part in said if part)
