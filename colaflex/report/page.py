"""`report.html`: one self-contained page, a pure function of the files in a run folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colaflex.files.templates import page_templates
from colaflex.metrics.caveats import caveats
from colaflex.metrics.limits import what_limits
from colaflex.metrics.measurements import left_out, settings_of, vocabulary
from colaflex.metrics.names import ROWS, place, row_order
from colaflex.report.curves import course, loss_curves
from colaflex.report.denoising import loss_by_noise
from colaflex.report.drawing import plots_available
from colaflex.report.figures import quality_diversity, row_plots, sweep_plots
from colaflex.report.headline import costs, knobs, main_results, parts, value_at
from colaflex.report.run_record import RunRecord, components, read_run
from colaflex.report.tables import (
    family_rows,
    generation_of,
    parameter_shares,
    stage_rows,
    sweeps_of,
)
from colaflex.report.training_times import law_of_times

__all__ = ["SampleColumn", "build_report", "sample_columns"]

_SHOWN = ("generation", "reconstruction", "geometry", "speed", "denoising")
_DECLARED = {"exact": "exact", "bound": "bound", "ode": "estimate along an ODE"}
_FAMILIES = {"likelihood": "Likelihood", "task": "Tasks"}
MOSTLY_NOISE = 0.9  # t, above which a prior hardly sees the data: how often it learns there counts
_LONGEST = 1500  # characters of a sample that are shown
_FIRST = {"model": 4, "real": 4, "oracle_latents": 4}  # samples shown; of other sources, 2


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample as it is shown: `left` characters of it are left out."""

    prompt: str
    text: str
    left: int
    finish: str


@dataclass(frozen=True, slots=True)
class SampleColumn:
    """The first samples of one source under one setting."""

    source: str
    title: str
    settings: str
    total: int
    samples: list[Sample]


def build_report(run_dir: Path) -> str:
    """The report of a run as HTML: no scripts, no network, no other files.

    Plots need matplotlib; without it the page holds the tables and says how to get the plots.

    Raises:
        UserError: the folder holds no result, or one of its files is broken.
    """
    record = read_run(run_dir)
    templates = page_templates(report="colaflex.report")
    return templates.get_template("report/report.html.j2").render(_context(record))


def _context(record: RunRecord) -> dict[str, Any]:
    metrics, declared = record.measurements, record.result.get("likelihood")
    generation, sweeps = generation_of(metrics), sweeps_of(metrics)
    settings, statistics = course(record.history)
    families = dict.fromkeys(place(name).family for name in metrics)
    law = law_of_times(
        value_at(record.settings, "prior", "schedule"),
        value_at(record.settings, "representation", "latent_dim"),
    )
    mostly = None if law is None else law.above(MOSTLY_NOISE)
    if "denoising.mostly_noise" in metrics:
        mostly = metrics["denoising.mostly_noise"].value
    return {
        **{key: _text(record.result.get(key)) for key in ("status", "seed", "spec_digest")},
        "name": _text(record.result.get("name")) or "run",
        "parts": parts(record),
        "results": main_results(metrics, likelihood=declared),
        "caveats": caveats(metrics, vocabulary(record.result)),
        "costs": costs(record),
        "knobs": knobs(record),
        "plots": plots_available(),
        "columns": sample_columns(record.samples),
        "generation": generation,
        "limits": what_limits(metrics),
        "row_plots": row_plots(generation),
        "reconstruction": family_rows(metrics, "reconstruction"),
        "losses": loss_curves(record.history),
        "settings": settings,
        "statistics": statistics,
        "denoising": loss_by_noise(metrics, law),
        "law": law is not None,
        "mostly_noise": "" if mostly is None else f"{mostly:.0%}",
        "sweeps": [
            (sweep, [] if sweep.fixed else sweep_plots(sweep, generation)) for sweep in sweeps
        ],
        "tradeoff": quality_diversity(generation, sweeps),
        "families": [
            (_title(f, declared), family_rows(metrics, f, likelihood=declared))
            for f in families
            if f not in _SHOWN
        ],
        "left_out": left_out(record.result),
        "geometry": family_rows(metrics, "geometry"),
        "speed": family_rows(metrics, "speed"),
        "stages": stage_rows(record.result),
        "parameters": parameter_shares(record.result),
        "metrics": family_rows(metrics, likelihood=declared),
        "components": components(record.result),
        "environment": _pairs(record.result.get("environment")),
        "spec": record.spec,
        "measured": settings_of(record.result),
    }


def _title(family: str, declared: object) -> str:
    if family == "likelihood" and declared in _DECLARED:
        return f"Likelihood ({_DECLARED[declared]})"
    return _FAMILIES.get(family, family)


def sample_columns(samples: Sequence[Mapping[str, Any]]) -> list[SampleColumn]:
    """The first samples of every source and setting; known sources first, in their order."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for sample in samples:
        source = str(sample.get("source", "model"))
        settings = sample.get("settings")
        text = _settings(settings) if isinstance(settings, Mapping) else ""
        groups.setdefault((source, text), []).append(sample)
    columns = [
        SampleColumn(
            source,
            ROWS.get(source, source.replace("_", " ")),
            settings if source == "model" else "",
            len(group),
            [_sample(one) for one in group[: _FIRST.get(source, 2)]],
        )
        for (source, settings), group in groups.items()
    ]
    return sorted(columns, key=lambda column: row_order(column.source)[0])


def _sample(record: Mapping[str, Any]) -> Sample:
    text = str(record.get("text") or "")
    return Sample(
        str(record.get("prompt") or ""),
        text[:_LONGEST],
        max(0, len(text) - _LONGEST),
        str(record.get("finish") or ""),
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}".replace("_", " ") for name, value in settings.items())


def _pairs(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """A nested mapping as rows of dotted name and text."""
    if not isinstance(value, Mapping):
        return []
    rows: list[tuple[str, str]] = []
    for key, item in value.items():
        if isinstance(item, Mapping):
            rows.extend(_pairs(item, f"{prefix}{key}."))
        else:
            text = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
            rows.append((f"{prefix}{key}", text))
    return rows
