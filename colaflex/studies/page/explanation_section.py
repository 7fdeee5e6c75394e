"""What a page says of importances, interactions and drift."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from colaflex.report.drawing import Figure
from colaflex.statistics.ranking import holm
from colaflex.studies.explanation.explanation import Drift, Explanation
from colaflex.studies.page.drift_figures import curve_figures, drift_figure
from colaflex.studies.page.goals import GoalText
from colaflex.studies.page.importance_figures import importance_figure, interaction_figure
from colaflex.studies.page.page_tables import interaction_rows, level_rows
from colaflex.studies.page.sentences import (
    drift_answer,
    drift_verdict,
    importance_sentence,
    interaction_sentence,
    interval_text,
)
from colaflex.studies.summary import StudySummary

__all__ = ["DriftPanel", "explanation_section"]

_LARGE, _SMALL = (8.2, 4.0), (3.9, 2.7)


@dataclass(frozen=True)
class DriftPanel:
    """All about whether the best of one setting is a function of another."""

    of: str
    along: str
    answer: str
    verdict: str
    found: bool
    law: bool
    figure: Figure | None
    curves: list[Figure]
    levels: list[tuple[str, str, str, str]]

    @property
    def question(self) -> str:
        """What is asked."""
        return f"Is the best {self.of} a function of {self.along}?"


def explanation_section(
    summary: StudySummary, text: GoalText | None, names: Mapping[str, str]
) -> dict[str, Any]:
    """Figures, tables and sentences of the explanation; empty where there is none."""
    explanation = summary.explanation
    if explanation is None or text is None:
        return {
            **dict.fromkeys(("importance", "importances", "interactions", "drifts"), ()),
            **dict.fromkeys(("important", "together"), ""),
            "notes": explanation.notes if explanation else (),
        }
    explanation = _corrected(explanation)
    figures = (importance_figure(explanation, names), interaction_figure(explanation, names))
    drifts = sorted(explanation.drifts, key=lambda one: one.law is None)
    return {
        "importance": [figure for figure in figures if figure is not None],
        "importances": [(one.name, interval_text(one, 100, 1)) for one in explanation.importances],
        "interactions": interaction_rows(explanation),
        "important": importance_sentence(explanation, names),
        "together": interaction_sentence(explanation, names),
        "drifts": [_panel(place, one, summary, text, names) for place, one in enumerate(drifts)],
        "notes": explanation.notes,
    }


def _corrected(explanation: Explanation) -> Explanation:
    """The same with the p-values of interactions corrected for the number of pairs (Holm)."""
    known = {i: one.p_value for i, one in enumerate(explanation.interactions)}
    p = holm({i: value for i, value in known.items() if math.isfinite(value)})
    pairs = (
        replace(one, p_value=p.get(i, math.nan)) for i, one in enumerate(explanation.interactions)
    )
    return replace(explanation, interactions=tuple(pairs))


def _panel(
    place: int, drift: Drift, summary: StudySummary, text: GoalText, names: Mapping[str, str]
) -> DriftPanel:
    size = _SMALL if drift.law is None else _LARGE
    return DriftPanel(
        names.get(drift.of, drift.of),
        names.get(drift.along, drift.along),
        drift_answer(drift, names),
        drift_verdict(drift),
        drift.found,
        drift.law is not None,
        drift_figure(f"fig-drift-{place}", drift, summary.law, names, size),
        curve_figures(f"fig-curve-{place}", drift, text, names),
        level_rows(drift),
    )
