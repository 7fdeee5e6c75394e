"""A leaderboard as one HTML file: no network, no other files, readable without scripts."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from colaflex.files.templates import page_templates
from colaflex.files.yaml import write_yaml
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.figures import (
    Looks,
    diversity_figure,
    pareto_figure,
    scaling_figure,
    speed_figure,
)
from colaflex.leaderboard.lines import FILTERS, Line, groups_of
from colaflex.leaderboard.record import Record
from colaflex.leaderboard.standings import Entry, Standings
from colaflex.leaderboard.tradeoffs import Level, frontier, levels, timed
from colaflex.metrics.catalogue import DIVERSITY, QUALITY
from colaflex.metrics.likelihood import signed
from colaflex.metrics.names import beside, describe
from colaflex.metrics.numbers import compact, decimals, duration, number, unit_text
from colaflex.report.drawing import plots_available
from colaflex.report.page import sample_columns
from colaflex.report.run_record import components
from colaflex.report.tables import family_rows, parameter_shares, stage_rows

__all__ = ["build_page"]

_MACHINE = ("device", "precision", "threads", "torch", "colaflex")


@dataclass(frozen=True)
class LevelRow:
    """How fast rows reach one quality: (name, tokens a second, settings), fastest first."""

    quality: str
    reached: list[tuple[str, str, str]]
    missed: list[str]


def build_page(standings: Standings) -> str:
    """The page of a board; its one script runs only as it is written here (by its digest)."""
    templates = page_templates(board="colaflex.leaderboard", report="colaflex.report")
    assert templates.loader is not None
    script = templates.loader.get_source(templates, "board/leaderboard.js")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return templates.get_template("board/leaderboard.html.j2").render(
        script=Markup(script),  # noqa: S704  # a file of this package
        script_digest=digest,
        **_context(standings),
    )


def _context(standings: Standings) -> dict[str, Any]:
    board, groups = standings.board, groups_of(standings)
    looks = Looks([row.name for table in reversed(standings.tables) for row in table.ranked])
    lines = [line for group in groups for block in group.blocks for line in block.lines]
    return {
        "board": board,
        "groups": groups,
        "several": len(board.budgets) > 1,
        "lines": lines,
        "overs": {table.over for table in standings.tables if table.ranked},
        "bounded": any(row.bounds & set(board.metrics) for row in standings.rows),
        "estimated": any(row.estimates & set(board.metrics) for row in standings.rows),
        "filters": _filters(lines),
        "plots": plots_available(),
        "facts": _facts(standings),
        "compute": [
            figure
            for at, group in enumerate(groups)
            if (figure := pareto_figure(f"fig-pareto-{at}", group.tables, board, looks))
        ],
        "scaling": [
            figure
            for at, group in enumerate(groups)
            if (figure := scaling_figure(f"fig-scaling-{at}", group.tables, board, looks))
        ],
        **_sampling(standings, looks),
        "details": [_details(board, line) for line in lines],
        "tuned": _tuned(board),
    }


def _filters(lines: Sequence[Line]) -> list[tuple[str, list[str]]]:
    """Of every filter that tells lines apart, its values."""
    filters = ((name, sorted({line.filters[name] for line in lines})) for name in FILTERS)
    return [(name, values) for name, values in filters if len(values) > 1]


def _facts(standings: Standings) -> list[tuple[str, list[str]]]:
    """How it was measured: what all rows share, or what they hold instead."""
    records = [record for row in standings.rows for record in row.records]
    board = standings.board
    tokenizers = [f"{r.tokenizer.vocab_size} tokens, {r.tokenizer.digest[:12]}" for r in records]
    machines = [record.environment for record in records]
    shared: list[tuple[str, list[str]]] = [
        ("corpus", [r.components["corpus"].name for r in records if "corpus" in r.components]),
        ("data digest", [record.data_digest[:12] for record in records]),
        ("tokenizer", tokenizers),
        ("protocol digest", [record.protocol[:12] for record in records]),
        ("machine", [", ".join(f"{k} {e[k]}" for k in _MACHINE if e.get(k)) for e in machines]),
    ]
    tolerance = board.tolerance
    return [
        ("parameters", [f"{board.parameters:,} ± {100 * tolerance.parameters:g} %"]),
        (
            "training FLOPs",
            [
                f"{name}: {compact(flops)} ± {100 * tolerance.flops:g} %"
                for name, flops in sorted(board.budgets.items(), key=lambda item: item[1])
            ],
        ),
        ("seeds", [", ".join(map(str, board.seeds))]),
        *((name, [v for v in dict.fromkeys(values) if v]) for name, values in shared),
    ]


def _sampling(standings: Standings, looks: Looks) -> dict[str, Any]:
    """What settings of sampling trade: quality for speed, and for diversity; largest budget."""
    empty: dict[str, Any] = {"speed": None, "levels": [], "frontier": None, "sampled_budget": ""}
    budgets, ranked = standings.board.budgets, [t for t in standings.tables if t.ranked]
    most = max((t.budget for t in ranked), key=lambda name: budgets.get(name, 0.0), default="")
    largest = [table for table in ranked if table.budget == most]
    rows = [row for table in largest for row in table.ranked]
    quality, sign = _quality(standings, rows)
    if not quality:
        return empty
    by_speed = {row.name: timed(row, quality) for row in rows}
    diversity = _diversity(standings, rows)
    frontiers = {row.name: frontier(row, quality, diversity) for row in rows} if diversity else {}
    size = next((p.x.n for points in frontiers.values() for p in points if p.settings), 0)
    real = tuple(
        next(filter(None, (beside(r.metrics, f"generation.real.{m}", size) for r in rows)), None)
        for m in (quality, diversity)
    )
    swept = any(len(points) > 1 for points in by_speed.values())
    return {
        "speed": speed_figure("fig-speed", quality, sign, by_speed, looks),
        "levels": _level_rows(quality, levels(by_speed, sign)) if swept else [],
        "frontier": diversity_figure(
            "fig-frontier", (quality, diversity), sign, frontiers, (real[0], real[1]), looks
        ),
        "quality": describe(f"generation.{quality}"),
        "sampled_budget": largest[0].budget if len(budgets) > 1 else "",
    }


def _quality(standings: Standings, rows: Sequence[Entry]) -> tuple[str, float]:
    """The quality that most rows have at several settings, the ranked metric first; 1: more."""
    ranked = [(one.metric, one.direction) for one in standings.board.rank]
    known = [(name, describe(name).better) for name in (f"generation.{q}" for q in QUALITY)]
    for name, better in [*ranked, *known]:
        if name.startswith("generation.") and any(name in row.metrics for row in rows):
            return name.removeprefix("generation."), 1.0 if better == "higher" else -1.0
    return "", 1.0


def _diversity(standings: Standings, rows: Sequence[Entry]) -> str:
    shown = [name.removeprefix("generation.") for name in standings.board.show]
    order = [name for name in shown if name in DIVERSITY] + list(DIVERSITY)
    return next((n for n in order if any(f"generation.{n}" in row.metrics for row in rows)), "")


def _level_rows(quality: str, levels_reached: Sequence[Level]) -> list[LevelRow]:
    info = describe(f"generation.{quality}")
    every = [p.y for level in levels_reached for p in level.fastest.values() if p]
    places = decimals(every, info.unit)
    return [
        LevelRow(
            f"{number(level.value, info.unit, places)} {unit_text(info.unit)}".strip(),
            [(name, compact(p.x.value), p.text) for name, p in level.by_speed],
            [name for name, point in level.fastest.items() if point is None],
        )
        for level in levels_reached
    ]


def _details(board: Board, line: Line) -> dict[str, Any]:
    """What stands behind a row."""
    row, record = line.entry, line.entry.first
    seconds, plain = [each.training.seconds for each in row.records], record.as_json()
    return {
        "line": line,
        "ranked": describe(row.metric),
        "place": record.place,
        "tuning": record.tuning,
        "chosen": _chosen(record),
        "searched": _searched(board, row),
        "minutes": duration(sum(seconds) / len(seconds)),
        "shares": parameter_shares(plain),
        "stages": stage_rows(plain),
        "samples": sample_columns(plain["samples"]),
        "metrics": [
            ("over items", family_rows(row.metrics, likelihood=row.likelihood)),
            ("over seeds", family_rows(row.over_seeds, likelihood=row.likelihood)),
        ],
        "components": components(plain),
        "seeds": _seed_lines(row),
        "environment": [(key, str(value)) for key, value in record.environment.items()],
        "spec": write_yaml(record.spec),
    }


def _tuned(board: Board) -> str:
    """How the board tunes its rows, in words; "" where it doesn't."""
    plan = board.tuning
    if plan is None:
        return ""
    ways = f" at {plan.samplings} settings of sampling each" if plan.samplings > 1 else ""
    return (
        f"in {plan.trials} trials of {100 * plan.fidelity:g} % of its budget, with seed "
        f"{plan.seed}, measured on the validation split{ways}; the first of them is its own recipe"
    )


def _chosen(record: Record) -> dict[str, str] | None:
    """What tuning has chosen over a row's own recipe, in words; None where nothing tuned it."""
    settings = record.tuning.settings
    if settings is None:
        return None
    return {path: f"{v:.4g}" if isinstance(v, float) else str(v) for path, v in settings.items()}


def _searched(board: Board, row: Entry) -> list[str]:
    """The space of a row that has one of its own."""
    own = board.rows.get(row.name)
    return [] if own is None else list(own.tuning.space or ())


def _seed_lines(row: Entry) -> list[tuple[int, str, str, str]]:
    """Of each seed: its value of the ranked metric, FLOPs and digest."""
    info = describe(row.metric)
    measured = [metrics.get(row.metric) for metrics in row.by_seed]
    places = decimals([m for m in measured if m], info.unit)
    values = [number(m.value if m else math.nan, info.unit, places) for m in measured]
    return [
        (
            record.seed,
            signed(row.metric, value, row.likelihood),
            compact(record.matched.flops.found),
            record.digest,
        )
        for record, value in zip(row.records, values, strict=True)
    ]
