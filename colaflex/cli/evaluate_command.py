"""`colaflex evaluate`: measure a finished run again."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from colaflex.cli.output import json_option, print_json
from colaflex.interfaces.corpus import Split

__all__ = ["command"]


@click.command("evaluate")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--split",
    type=click.Choice(["test", "validation"]),
    default="test",
    show_default=True,
    help="Which held-out documents; searches see validation only.",
)
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@json_option
def command(run: Path, split: Split, device: str, as_json: bool) -> int:
    """Measure the model of a run folder; the folder stays as it is."""
    from colaflex.measuring import evaluate_run
    from colaflex.run_settings import chosen_device

    metrics = evaluate_run(
        run, split, chosen_device(device), lambda text: print(text, file=sys.stderr)
    )
    if as_json:
        print_json({"metrics": metrics})
        return 0
    for name, value in metrics.items():
        low, high = value["low"], value["high"]
        interval = "" if low is None else f"  [{low:.4g}, {high:.4g}]"
        click.echo(f"{name:58} {value['value']:.4g}{interval}")
    return 0
