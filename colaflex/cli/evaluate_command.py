"""`colaflex evaluate`: measure a finished run again."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from colaflex.cli.common import FOLDER, PATH, json_option, no_verify_option, print_json
from colaflex.interfaces.corpus import Split

__all__ = ["command"]


@click.command("evaluate")
@click.argument("run", type=PATH)
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Measure with another setting, evaluation.* or sampling.*, and make result and report "
    "anew; repeatable.",
)
@click.option(
    "--split",
    type=click.Choice(["test", "validation"]),
    help="Which held-out documents; searches see validation only. Default test; with --set that "
    "of the result.",
)
@click.option(
    "--task",
    "tasks",
    multiple=True,
    metavar="NAME",
    help="Put this task to the model instead, a name or a task file; repeatable.",
)
@click.option("--data", type=FOLDER, metavar="DIR", help="Folder with the data of the tasks.")
@click.option("--scorer", metavar="NAME", help="Of the tasks; by default each task's own.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@no_verify_option
@json_option
def command(
    run: Path,
    sets: tuple[str, ...],
    split: Split | None,
    tasks: tuple[str, ...],
    data: Path | None,
    scorer: str | None,
    device: str,
    as_json: bool,
) -> int:
    """Measure the model of a run folder, which stays as it is but for --set."""
    if tasks and sets:
        raise click.UsageError("--set goes without --task; set evaluation.tasks instead")
    if not tasks and (data is not None or scorer is not None):
        raise click.UsageError("--data and --scorer go with --task")
    from colaflex.spec.tasks import scored_by, task_named

    configs = [scored_by(task_named(task), scorer) for task in tasks]  # before torch is imported
    from colaflex.experiment.folder import measurements_json
    from colaflex.experiment.measuring import evaluate_run, evaluate_tasks
    from colaflex.experiment.remeasuring import remeasure_run
    from colaflex.experiment.settings import chosen_device
    from colaflex.training.progress import shown

    def say(text: str) -> None:
        print(text, file=sys.stderr)

    with shown() as progress:
        how = (chosen_device(device), say, progress)
        if configs:
            measurements = evaluate_tasks(run, configs, data, split or "test", *how)
            metrics = measurements_json(measurements.metrics)
        elif sets:
            metrics = remeasure_run(run, sets, split, *how)
            say(f"results: {run}, report: {run / 'report.html'}")
        else:
            metrics = evaluate_run(run, split or "test", *how)
    if as_json:
        print_json({"metrics": metrics})
        return 0
    for name, value in metrics.items():
        low, high = value["low"], value["high"]
        interval = "" if low is None else f"  [{low:.4g}, {high:.4g}]"
        print(f"{name:58} {value['value']:.4g}{interval}")
    return 0
