"""Tasks of lm-evaluation-harness on a run folder: `python -m colaflex.interop.lm_eval RUN`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from colaflex.errors import UserError
from colaflex.experiment.loading import load
from colaflex.files.reading import user_path
from colaflex.hints import hint
from colaflex.runtime.failures import report_failure
from colaflex.runtime.terminal import guarded, in_json

__all__ = ["evaluate", "main"]


def evaluate(
    run: str | Path,
    tasks: Sequence[str],
    include_path: str | Path | None = None,
    *,
    limit: int | None = None,
    num_fewshot: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, Any]:
    """Run the harness's tasks, or tasks of one's own, on the model of a run folder.

    Args:
        run: the run folder.
        tasks: names of tasks or groups.
        include_path: a folder with further task files.
        limit: only the first so many items of a task.
        num_fewshot: examples before each item, by default the task's own number.
        seed: keys the model's draws.
        device: where the model is put.

    Returns:
        What `lm_eval.simple_evaluate` returns; `results` has the scores.

    Raises:
        UserError: the harness is not installed, the run can't be loaded, there is no such task, or
            a task needs a likelihood that the model doesn't declare.
    """
    try:
        from lm_eval import simple_evaluate
        from lm_eval.tasks import TaskManager

        from colaflex.interop.lm_eval_model import HarnessModel
    except ImportError as error:
        raise UserError(
            f"lm-evaluation-harness can't be imported ({error}); install it with "
            "`pip install 'colaflex[lm-eval]'`"
        ) from None
    if not tasks or isinstance(tasks, str):
        raise UserError(f"tasks: expected names of tasks or groups, got {tasks!r}")
    if include_path is not None and not (include_path := user_path(include_path)).is_dir():
        raise UserError(f"{include_path}: there is no such folder of task files")
    model = HarnessModel(load(run, device), seed)
    manager = TaskManager(include_path=include_path, include_defaults=include_path is None)
    if include_path is not None and not set(tasks) <= set(manager.all_tasks):
        # The harness's own, of which there are so many that they take a while.
        manager = TaskManager(include_path=include_path)
    for task in tasks:
        if task not in manager.all_tasks:
            raise UserError(f"unknown task {task!r}{hint(task, manager.all_tasks)}")
    results: dict[str, Any] = simple_evaluate(
        model=model,
        tasks=list(tasks),
        num_fewshot=num_fewshot,
        limit=limit,
        task_manager=manager,
        random_seed=seed,
        numpy_random_seed=seed % 2**32,  # numpy takes no more
        torch_random_seed=seed,
        fewshot_random_seed=seed,
    )
    return results


@click.command("lm-eval")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--tasks", required=True, metavar="A,B", help="Tasks or groups, by name.")
@click.option("--include-path", metavar="DIR", help="Folder with task files of your own.")
@click.option("--limit", type=click.IntRange(1), help="Only the first N items of each task.")
@click.option("--num-fewshot", type=click.IntRange(0), help="Examples before each item.")
@click.option("--seed", type=int, default=0, show_default=True, help="Keys the draws.")
@click.option("--device", default="cpu", show_default=True, help="Where the model is put.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def main(run: Path, tasks: str, as_json: bool, **options: Any) -> None:
    """Run tasks of lm-evaluation-harness on the model of RUN."""
    try:
        names = [name.strip() for name in tasks.split(",") if name.strip()]
        if not names:
            raise UserError(f"--tasks {tasks}: names no task")
        results = evaluate(run, names, **options)
        with guarded():
            _show(results, as_json)
    except Exception as error:
        sys.exit(report_failure(error))


def _show(results: dict[str, Any], as_json: bool) -> None:
    from lm_eval.utils import make_table

    if as_json:
        shown = {name: results[name] for name in ("results", "versions", "n-samples", "config")}
        print(in_json(json.dumps(shown, indent=2, ensure_ascii=False, default=str)))
    else:
        print(make_table(results))


if __name__ == "__main__":
    main(prog_name="python -m colaflex.interop.lm_eval")
