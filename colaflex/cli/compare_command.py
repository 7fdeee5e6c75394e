"""`colaflex compare`: what differs between runs, in spec and metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from colaflex.cli.common import PATH, json_option, print_json, print_table
from colaflex.errors import UserError

__all__ = ["command"]

ITEMS = "items.json"


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, type=PATH)
@json_option
def command(runs: tuple[Path, ...], as_json: bool) -> int:
    """Show what differs between RUNS, in their specs, their stages and their metrics."""
    if len(runs) < 2:
        raise UserError("compare takes two runs or more")
    from colaflex.evaluation.compare import compare_metrics
    from colaflex.evaluation.terms import differences_of
    from colaflex.experiment.folder import RunFolder
    from colaflex.spec import Spec

    folders = [RunFolder(run) for run in runs]
    results = [folder.read("result.json") for folder in folders]
    specs = [Spec.of_run(run / "spec.yaml") for run in runs]
    differences = _spec_differences(specs)
    terms = [_terms(*each) for each in zip(folders, results, specs, strict=True)]
    metrics: list[Any] = compare_metrics([r["metrics"] for r in results], _items(folders), terms)
    measured = differences_of(terms)
    stages = _stage_steps(results)
    names = [str(run) for run in runs]
    if as_json:
        document = {
            "specs": differences,
            "stages": stages,
            "measured": measured,
            "metrics": metrics,
        }
        print_json({"runs": names, **document})
        return 0
    print_table(["spec", *names], [[d["key"], *map(str, d["values"])] for d in differences])
    rows = [[s["stage"], *("-" if n is None else str(n) for n in s["steps"])] for s in stages]
    print_table(["steps of stage", *names], rows)
    if measured:
        shown = [[row["what"], *map(_brief, row["values"])] for row in measured]
        print_table(["measured otherwise", *names], shown)
    tested = any("p" in (d or {}) for row in metrics for d in row["differences"])
    apart = any((d or {}).get("reason") for row in metrics for d in row["differences"])
    columns = ["metric", *names, *([f"p {name}" for name in names[1:]] if tested else [])]
    columns += ["doesn't compare"] if apart else []
    declared = [result.get("likelihood") for result in results]
    reasons = [_reasons(row, names) if apart else [] for row in metrics]
    shown = [_metric_row(row, tested, declared) for row in metrics]
    print_table(columns, [[*row, *each] for row, each in zip(shown, reasons, strict=True)])
    for remark in _remarks(metrics, tested):
        click.echo(remark)
    return 0


def _terms(folder: Any, result: dict[str, Any], spec: Any) -> Any:
    """What a run's figures depend on besides its model."""
    from colaflex.corpora.tokenizer import load_tokenizer
    from colaflex.evaluation.terms import Terms

    data = str(folder.read("run.json").get("data_digest"))
    file, tokenizer = folder.path / "tokenizer.json", ""
    if not (result.get("measurement") or {}).get("tokenizer") and file.exists():
        tokenizer = load_tokenizer(file).digest
    return Terms.of(result, data, {key: value for key, value, _ in spec.values()}, tokenizer)


def _brief(value: Any) -> str:
    """A digest by its beginning."""
    text = "-" if value is None else str(value)
    return text[:12] if len(text) in (32, 64) and set(text) <= set("0123456789abcdef") else text


def _remarks(metrics: list[Any], tested: bool) -> list[str]:
    """What a reader must know of the differences."""
    apart = [row["metric"] for row in metrics if any(map(_reason, row["differences"]))]
    first = f"{len(apart)} of {len(metrics)} metrics don't compare: no difference is tested there"
    one = "p is of these trained models on further items; of the methods, one training says nothing"
    return [*([first] if apart else []), *([one] if tested else [])]


def _reason(difference: dict[str, Any] | None) -> str:
    return str((difference or {}).get("reason", ""))


def _items(runs: list[Any]) -> list[dict[str, Any]]:
    """Each run's items; none of a run whose data are not the first one's."""
    from colaflex.evaluation.compare import items_of

    data = [run.read("run.json").get("data_digest") for run in runs]
    known = [
        digest == data[0] and (run.path / ITEMS).exists()
        for run, digest in zip(runs, data, strict=True)
    ]
    return [
        items_of(run.read(ITEMS), run.path / ITEMS) if has else {}
        for run, has in zip(runs, known, strict=True)
    ]


def _spec_differences(specs: list[Any]) -> list[dict[str, Any]]:
    flat = [{key: value for key, value, _ in spec.values()} for spec in specs]
    keys = dict.fromkeys(key for values in flat for key in values)
    rows = [{"key": key, "values": [values.get(key) for values in flat]} for key in keys]
    return [row for row in rows if any(value != row["values"][0] for value in row["values"])]


def _stage_steps(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each stage of any run, its steps in every run: how each came to be what it is."""
    runs = [{s["name"]: s["steps"] for s in result["training"]["stages"]} for result in results]
    names = dict.fromkeys(name for stages in runs for name in stages)
    return [{"stage": name, "steps": [stages.get(name) for stages in runs]} for name in names]


def _metric_row(row: dict[str, Any], tested: bool, declared: list[Any]) -> list[str]:
    from colaflex.metrics.likelihood import signed

    cells = []
    for value, likelihood in zip(row["values"], declared, strict=True):
        if value is None:
            cells.append("-")
            continue
        low, high = value.get("low"), value.get("high")
        interval = "" if low is None or high is None else f" [{low:.4g}, {high:.4g}]"
        number = signed(str(row["metric"]), f"{value['value']:.4g}", likelihood)
        cells.append(f"{number}{interval}")
    p = [(difference or {}).get("p") for difference in row["differences"] if tested]
    return [str(row["metric"]), *cells, *("-" if each is None else f"{each:.2g}" for each in p)]


def _reasons(row: dict[str, Any], names: list[str]) -> list[str]:
    """The cell that says why a metric's values don't compare, of several runs whose."""
    reasons = [_reason(difference) for difference in row["differences"]]
    if len(reasons) > 1:
        named = zip(names[1:], reasons, strict=True)
        reasons = [f"{name}: {reason}" for name, reason in named if reason]
    return ["; ".join(reasons)]
