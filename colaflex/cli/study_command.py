"""`colaflex study`: search settings that go together, and explain what was found."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from colaflex.cli.common import (
    PATH,
    json_option,
    no_verify_option,
    print_json,
    print_table,
    write_file,
)
from colaflex.cli.lazy import Group
from colaflex.errors import UserError
from colaflex.files.reading import user_path

if TYPE_CHECKING:
    from colaflex.studies.study import Study
    from colaflex.studies.summary import StudySummary

__all__ = ["command"]

STUDIES = Path("specs") / "studies"
SHOWN = 5


def _study_path(context: click.Context, option: click.Parameter, name: str) -> Path:
    """The file of a study, by path or name; raises UserError with the nearest name."""
    del context, option
    path = user_path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file() or len(path.parts) > 1:
        return path
    known = STUDIES / f"{name}.yaml"
    if known.is_file():
        return known
    from colaflex import hints

    hint = hints.hint(name, [file.stem for file in STUDIES.glob("*.yaml")], "studies")
    raise UserError(
        f"there is no study {name!r} in {STUDIES}{hint}; give its name or the path of a study file"
    )


study_argument = click.argument("study", callback=_study_path)
out_option = click.option(
    "--out", type=PATH, help="Folder of the study. Default runs/studies/NAME."
)
storage_option = click.option(
    "--storage",
    metavar="URL",
    help="journal, journal:PATH, sqlite:///FILE, postgresql://..., grpc://HOST:PORT.",
)


@click.group("study", cls=Group)
def command() -> None:
    """Search settings that go together, on one machine or many, and explain what was found."""


@command.command("run")
@study_argument
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    help="Completed trials in total, in place of the file's.",
)
@click.option("--workers", type=click.IntRange(1, 1024), default=1, help="Trials side by side.")
@click.option("--arms", metavar="A,B", help="Only these: search, and controls that search.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Of every arm.")
@out_option
@storage_option
@click.option("--device", default="auto", show_default=True, help="cpu, cuda or auto.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="auto",
    show_default=True,
    help="Of the arithmetic; auto is bf16 where the hardware multiplies it natively.",
)
@no_verify_option
@json_option
def run_command(study: Path, **options: Any) -> int:
    """Go on with STUDY until its budget is spent, then run its optimum on fresh seeds.

    Start it as often, and on as many machines, as you like: all processes that name one storage
    share the work. What a killed one was doing is gone on with.
    """
    from colaflex.studies.storage.storages import storage_answers

    with storage_answers():
        current = _open(study, options["out"], options["storage"])
        arms = _arms(current, options["arms"])
        _note_others(current)
        code = _work(current, arms, options)
        _show_status(current, options["as_json"])
    if not options["as_json"] and code == 0:
        print(f"read more with: colaflex study report {study}", file=sys.stderr)
    if code == 130:
        print("stopped; the same command goes on", file=sys.stderr)
    return code


def _note_others(study: Study) -> None:
    for other in study.others():
        more = f" and {len(other.keys) - SHOWN} more" if len(other.keys) > SHOWN else ""
        keys = f" ({', '.join(other.keys[:SHOWN])}{more})" if other.keys else ""
        print(
            f"note: {other.name} ({other.complete} complete) is another study of this name: its "
            f"space, objectives, base spec or components differ{keys}, so its trials are kept and "
            "not counted",
            file=sys.stderr,
        )


def _work(study: Study, arms: tuple[str, ...], options: dict[str, Any]) -> int:
    budget = study.file.budget
    from colaflex.studies.work.limits import Limits

    limits = Limits(
        options["trials"] or budget.trials,
        options["minutes"] or budget.minutes,
        budget.flops,
        budget.failures,
    )
    from colaflex.studies.work.running import WorkSettings, work
    from colaflex.training.progress import shown

    settings = WorkSettings(limits, arms, options["device"], options["precision"])
    if options["workers"] > 1:
        from colaflex.runtime.terminal import say
        from colaflex.studies.work.agreement import join
        from colaflex.studies.work.worker_processes import WorkerPool

        # What stands in the way is said once, and what is taken for granted.
        join(study, arms, options["precision"], options["device"], say)
        return WorkerPool(study, settings, options["workers"]).run()
    with shown(stays=False) as progress:  # what stays are the lines of the trials
        return 0 if work(study, settings, progress) else 130


@command.command("status")
@study_argument
@out_option
@storage_option
@json_option
def status_command(study: Path, out: Path | None, storage: str | None, as_json: bool) -> None:
    """How many trials of STUDY are complete, pruned, failed and why, running, waiting; the best.

    Nothing is made or changed.
    """
    from colaflex.studies.storage.storages import storage_answers

    with storage_answers():
        current, missing = _look(study, out, storage)
        if missing:
            print(f"{missing}; begin with: colaflex study run {study}", file=sys.stderr)
        _note_others(current)
        _show_status(current, as_json)


@command.command("report")
@study_argument
@out_option
@storage_option
@click.option("--html", type=PATH, help="The page. Default FOLDER/report.html.")
@click.option("--data", type=PATH, help="Also write all it shows as JSON.")
@click.option(
    "--from", "source", type=PATH, help="Make the page of such a JSON file; no storage is read."
)
@click.option("--write-best", type=PATH, help="Write the optimum's spec.")
@json_option
def report_command(study: Path, **options: Any) -> None:
    """Write what STUDY found as a page: the optimum, what matters, what depends on what."""
    from colaflex.studies.best import write_best
    from colaflex.studies.file.study_file import StudyFile
    from colaflex.studies.page.report import build_page
    from colaflex.studies.study import Where
    from colaflex.studies.summary import to_json

    file = StudyFile.load(study)
    where = Where.of(file, options["out"], options["storage"])
    source = options["source"]
    summary = _summary(study, options) if source is None else _stored(source)
    if options["write_best"] is not None:
        best = next(iter(summary.arms.values())).best
        if best is None:
            raise UserError(f"{study}: no trial is complete yet: there is no optimum to write")
        spec = file.searched.spec(file.base_spec, best.point)
        write_best(spec, best.point, options["write_best"])
        print(f"the optimum's spec: {options['write_best']}", file=sys.stderr)
    if options["data"] is not None:
        write_file(options["data"], to_json(summary))
    page = options["html"] or where.folder / "report.html"
    write_file(page, build_page(summary))
    if options["as_json"]:
        print_json(json.loads(to_json(summary)))
        return
    print(page)


def _summary(path: Path, options: dict[str, Any]) -> StudySummary:
    from colaflex.studies.storage.storages import storage_answers
    from colaflex.studies.summary_of_study import summarise

    with storage_answers():
        study, missing = _look(path, options["out"], options["storage"])
        if missing:
            raise UserError(f"{path}: no trial is complete yet: {missing}")
        return summarise(study)


def _stored(path: Path) -> StudySummary:
    from colaflex.files.reading import MAX_JSON, read_text
    from colaflex.studies.summary import from_json

    return from_json(read_text(path, MAX_JSON), str(path))


def _look(path: Path, out: Path | None, storage: str | None) -> tuple[Study, str]:
    """A study that nothing is made of, and what is missing where it has not begun.

    Raises:
        UserError: there is none where the options say.
    """
    from optuna.storages import InMemoryStorage

    from colaflex.studies.file.study_file import StudyFile
    from colaflex.studies.storage.read_only import NothingStored, open_read_only
    from colaflex.studies.storage.storages import without_password
    from colaflex.studies.study import Study, Where

    file = StudyFile.load(path)
    where = Where.of(file, out, storage)
    places = [f"--out {out}"] if out else []
    places += [f"--storage {without_password(storage)}"] if storage else []
    if out is not None and not os.path.isdir(out):  # noqa: PTH112  # raises nothing
        raise UserError(f"--out {out}: there is no such folder")
    try:
        study, missing = Study(file, where, open_read_only(where.storage, where.folder)), ""
    except NothingStored as nothing:
        study, missing = Study(file, where, InMemoryStorage()), str(nothing)
    if not missing and not study.begun and not study.others():
        missing = f"no study {file.study!r} is kept there{study.names_hint()}"
    if missing and places:
        raise UserError(f"{' '.join(places)}: {missing}")
    return study, missing


def _open(path: Path, out: Path | None, storage: str | None) -> Study:
    from colaflex.studies.file.study_file import StudyFile
    from colaflex.studies.study import Study, Where

    file = StudyFile.load(path)
    return Study(file, Where.of(file, out, storage))


def _arms(study: Study, names: str | None) -> tuple[str, ...]:
    """The arms that are asked for, all by default; raises UserError with the nearest name."""
    if names is None:
        return study.arms
    from colaflex import hints

    chosen = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    if not chosen:
        raise UserError(f"--arms {names}: names no arm{hints.hint('', study.arms, 'arms')}")
    for name in chosen:
        if name not in study.arms:
            hint = hints.hint(name, study.arms, "arms")
            raise UserError(f"--arms {name}: this study has no such arm{hint}")
    return chosen


def _show_status(study: Study, as_json: bool) -> None:
    status = study.status()
    if as_json:
        print_json(status)
        return
    from colaflex.studies.objective import point_in_words
    from colaflex.studies.study import SEARCH
    from colaflex.studies.trials import failed_in_words

    states = ("complete", "pruned", "failed", "running", "waiting")
    rows = []
    for name, row in {SEARCH: status, **status["controls"], "fresh": status["fresh"]}.items():
        best = row.get("best")
        value = "" if best is None else ", ".join(f"{v:.4g}" for v in best["values"].values())
        where = "" if best is None else f"trial {best['trial']}: {point_in_words(best['point'])}"
        rows.append((name, *(str(row[state]) for state in states), value, where))
    metrics = ", ".join(objective.metric for objective in study.file.objectives)
    print_table(("arm", *states, f"best {metrics}", "at"), rows)
    for line in failed_in_words(status["failures"]):
        print(f"failed: {line}")
