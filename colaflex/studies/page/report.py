"""A study as one HTML file: no scripts, no network, no other files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from colaflex.files.templates import page_templates
from colaflex.report.drawing import Figure, plots_available
from colaflex.studies.page.comparisons import FreshResult, fresh_results, gaps, objective
from colaflex.studies.page.contour_figures import bands_of, contour_figures
from colaflex.studies.page.explanation_section import explanation_section
from colaflex.studies.page.goals import GoalText, goal_texts
from colaflex.studies.page.history_figures import (
    arm_colours,
    fresh_figure,
    spending_figure,
    trials_figure,
)
from colaflex.studies.page.knob_axes import KnobAxis, knobs_of, point_text, short_names, value_text
from colaflex.studies.page.page_tables import arm_rows, front_rows, space_rows, trial_rows
from colaflex.studies.page.sentences import gap_sentence, optimism_sentence
from colaflex.studies.page.slice_figures import slice_figures
from colaflex.studies.page.spending import course
from colaflex.studies.page.tradeoff_figures import cost_figure, pareto_figure
from colaflex.studies.summary import ArmSummary, StudySummary, tidy

__all__ = ["build_page"]


def build_page(summary: StudySummary) -> str:
    """The page of a study, a pure function of its summary.

    Figures need matplotlib; without it the page holds the tables and says how to get the figures.
    """
    templates = page_templates(study="colaflex.studies.page", report="colaflex.report")
    return templates.get_template("study/study.html.j2").render(_context(tidy(summary)))


def _context(summary: StudySummary) -> dict[str, Any]:
    fresh = fresh_results(summary)
    texts = goal_texts(summary, [row.measured for row in fresh])
    knobs = knobs_of(summary)
    paths = list(dict.fromkeys(row.path for row in summary.space))
    paths += sorted(
        {k for arm in summary.arms.values() for r in arm.records for k in r.point} - {*paths}
    )
    names = short_names(paths)
    colours = arm_colours([*summary.arms, *(row.arm for row in summary.fresh)])
    return {
        "study": summary,
        "plots": plots_available(),
        "goals": texts,
        "space": space_rows(summary),
        "fresh_figure": fresh_figure(fresh, texts[0], colours) if texts else None,
        "arms": arm_rows(summary, fresh, knobs, texts[0] if texts else None),
        "names": names,
        **_headline(summary, fresh, knobs, texts),
        **_history(summary, texts, colours),
        **explanation_section(summary, texts[0] if texts else None, names),
        **_landscape(summary, texts, knobs),
        **_tradeoff(summary, texts, knobs, colours),
        "trials": [(name, trial_rows(summary, name, texts, paths)) for name in summary.arms],
        "columns": [names[path] for path in paths],
    }


def _headline(
    summary: StudySummary,
    fresh: Sequence[FreshResult],
    knobs: Sequence[KnobAxis],
    texts: Sequence[GoalText],
) -> dict[str, Any]:
    """The best configuration, what it is worth, and what it is better than."""
    search = _search(summary)
    first = next((row for row in fresh[:1] if row.arm == summary.fresh[0].arm), None)
    point = first.point if first else search.best.point if search and search.best else {}
    names = {knob.path: knob.name for knob in knobs}
    order = [path for path in names if path in point] + [k for k in point if k not in names]
    compared = gaps(fresh) if first else []
    seen = (
        objective(search.best, 0, texts[0].goal) if search and search.best and texts else math.nan
    )
    return {
        "best": [(names.get(key, key), value_text(point[key])) for key in order],
        "best_text": point_text(point, knobs),
        "first": first,
        "seen": texts[0].value(seen) if texts and math.isfinite(seen) else "",
        "optimism": optimism_sentence(first, texts[0]) if first else "",
        "further": [
            (text, row)
            for place, text in enumerate(texts)
            for row in (fresh_results(summary, place) if place else ())
            if first is not None and row.arm == first.arm
        ],
        "gaps": [(gap, gap_sentence(gap, fresh, texts[0])) for gap in compared],
        "unmeasured": [
            row.arm for row in summary.fresh if row.arm not in {one.arm for one in fresh}
        ],
    }


def _history(
    summary: StudySummary, texts: Sequence[GoalText], colours: dict[str, str]
) -> dict[str, Any]:
    if not texts:
        return {"history": []}
    courses = {name: course(arm.records, texts[0].goal) for name, arm in summary.arms.items()}
    figures = (
        trials_figure(courses, texts[0], colours),
        spending_figure(courses, texts[0], colours),
    )
    return {"history": _known(figures)}


def _landscape(
    summary: StudySummary, texts: Sequence[GoalText], knobs: Sequence[KnobAxis]
) -> dict[str, Any]:
    """Slices and pairs of the search."""
    search = _search(summary)
    if search is None or not texts:
        return {"slices": [], "pairs": [], "bands": [], "worst": 0.0}
    explanation, text = summary.explanation, texts[0]
    pairs = (
        [frozenset((one.first, one.second)) for one in explanation.interactions]
        if explanation
        else []
    )
    scaled = [
        text.scale * objective(record, 0, text.goal)
        for record in search.records
        if record.state == "complete"
    ]
    bands = bands_of(scaled, text.goal.sign)
    contours = contour_figures(search.records, knobs, pairs, text, bands)
    return {
        "slices": slice_figures(search.records, knobs, _partners(knobs, pairs), text),
        "pairs": contours,
        "worst": bands.shades[0] if bands else 0.0,
        "bands": list(zip(bands.shades[1:], map(value_text, map(_short, bands.edges)), strict=True))
        if bands and contours
        else [],
    }


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def _partners(knobs: Sequence[KnobAxis], pairs: Sequence[frozenset[str]]) -> dict[str, str]:
    """For each setting the one it interacts with most; without a pair, the next one."""
    partners = {}
    for place, knob in enumerate(knobs):
        others = [each.path for each in knobs if each.path != knob.path]
        known = [path for pair in pairs if knob.path in pair for path in pair - {knob.path}]
        best = next((path for path in known if path in others), None)
        if best is None and others:
            best = others[place % len(others)]
        if best is not None:
            partners[knob.path] = best
    return partners


def _tradeoff(
    summary: StudySummary,
    texts: Sequence[GoalText],
    knobs: Sequence[KnobAxis],
    colours: dict[str, str],
) -> dict[str, Any]:
    if not texts:
        return {"tradeoff": None, "front": []}
    if len(texts) == 1:
        return {"tradeoff": cost_figure(summary.arms, texts[0], colours), "front": []}
    return {
        "tradeoff": pareto_figure(summary.arms, texts, colours),
        "front": front_rows(summary, texts, knobs),
    }


def _search(summary: StudySummary) -> ArmSummary | None:
    """The first arm: the search that the page is about."""
    return next(iter(summary.arms.values()), None)


def _known(figures: Sequence[Figure | None]) -> list[Figure]:
    return [figure for figure in figures if figure is not None]
