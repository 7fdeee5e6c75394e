"""`colaflex score`: what stored generations are worth."""

from __future__ import annotations

from pathlib import Path

import click

from colaflex.cli.common import PATH, json_option, print_json

__all__ = ["command"]


@click.command("score")
@click.argument("task")
@click.argument("file", type=PATH)
@click.option(
    "--scorer", metavar="NAME", help="exact, best_option or another; by default the task's own."
)
@json_option
def command(task: str, file: Path, scorer: str | None, as_json: bool) -> None:
    """Score the stored generations of FILE, one JSON object a line, as answers to TASK.

    TASK is the name of a task (`colaflex plugins list --kind task`) or the path of a task file.
    """
    from colaflex.evaluation.scoring import score_file
    from colaflex.spec.tasks import scored_by, task_named

    score = score_file(scored_by(task_named(task), scorer), file)
    if as_json:
        print_json(score.as_json())
        return
    accuracy = score.accuracy
    print(f"task      {score.task}")
    print(f"scorer    {score.scorer}")
    print(f"n         {accuracy.n}")
    interval = f"{100 * accuracy.low:.2f}, {100 * accuracy.high:.2f}"
    print(f"accuracy  {100 * accuracy.value:.2f} %  [{interval}]")
