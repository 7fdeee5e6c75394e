"""Names of metrics: how they are built, taken apart, and looked up in the catalogue.

A dotted name is `<family>.<metric>`. In the family `generation` it may carry a row other than the
model's (`generation.real.distinct_2`) or a point of a sweep (`generation.at_steps.4.distinct_2`,
`generation.at_guidance.2.at_temperature.0.7.distinct_2`, `generation.at_grid.law.distinct_2`,
`generation.at_guidance_interval.0-0.5.distinct_2`), as it may in the family `speed`; in
`denoising` the point is a noise level (`denoising.at_logit_time.-1.x0_error`).
`place` takes names apart, here and nowhere else; `describe` says what they mean.

Entropy and distinct-n of 16 texts say less than those of 64. Points of a sweep are of fewer texts
than the model's own row and its references; these are therefore measured at the sweep's number as
well: `generation.at_samples.16.unigram_entropy`, `generation.at_samples.16.real.unigram_entropy`.
`beside` finds the one that compares.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from colaflex.files.problems import nearest
from colaflex.interfaces.metric import Measurement
from colaflex.metrics.catalogue import METRICS, MetricInfo

__all__ = [
    "ROWS",
    "SAMPLES",
    "Placement",
    "beside",
    "describe",
    "generation_order",
    "is_known",
    "near_metric",
    "place",
    "row_label",
    "row_order",
    "short_label",
]

SAMPLES = "samples"
"""The axis that is no setting of the sampler but a number of texts."""

ROWS: dict[str, str] = {
    "model": "Model",
    "unadapted": "Model, decoder not adapted",
    "real": "Real text",
    "oracle_latents": "Decoder on encoder latents",
    "oracle_unadapted": "Decoder not adapted on encoder latents",
    "trigram": "Trigram sampler",
    "bigram": "Bigram sampler",
    "unigram": "Unigram sampler",
    "shuffled": "Shuffled sentences",
}
"""Whose text the metrics of `generation` are measured on, in the order of the results table."""

_SHORT = {
    "unadapted": "Not adapted",
    "oracle_latents": "Encoder latents",
    "oracle_unadapted": "Encoder latents, not adapted",
}
_NUMBER = r"\d+(?:\.\d+)?(?:e-?\d+)?"
_WORD = rf"{_NUMBER}-{_NUMBER}|[a-z_]+(?:\({_NUMBER}\))?"
_SWEEP = re.compile(rf"at_([a-z_]+)\.(?:({_WORD})|(-?{_NUMBER}))\.(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Placement:
    """A metric's name taken apart.

    Attributes:
        family: first part of the name.
        metric: what is measured, without row or sweep.
        row: whose text is measured; "model" unless the name says otherwise.
        point: where in a sweep it was measured: the swept settings ("steps", "guidance", ...) with
            their values, several in a grid; empty at the spec's own settings. "samples" is the
            number of texts: the same as without, of fewer. What is no number is a word.
    """

    family: str
    metric: str
    row: str = "model"
    point: tuple[tuple[str, float | str], ...] = ()

    @property
    def axis(self) -> str | None:
        """What is swept, where it is one setting; else None."""
        return self.point[0][0] if len(self.point) == 1 else None

    @property
    def at(self) -> float | None:
        """The value of that setting, or None where there is none or it is a word."""
        value = self.point[0][1] if len(self.point) == 1 else None
        return value if isinstance(value, float) else None

    @property
    def canonical(self) -> str:
        """The name without row and sweep."""
        return f"{self.family}.{self.metric}" if self.metric else self.family


def place(name: str) -> Placement:
    """Take a metric's dotted name apart."""
    family, _, rest = name.partition(".")
    if family not in ("generation", "speed", "denoising"):
        return Placement(family, rest)
    point: list[tuple[str, float | str]] = []
    while match := _SWEEP.fullmatch(rest):
        axis, word, number, rest = match.groups()
        point.append((axis, word or float(number)))
    if family != "generation":
        return Placement(family, rest, point=tuple(point))
    row, _, metric = rest.partition(".")
    if point and not (metric and row in ROWS):
        return Placement(family, rest, point=tuple(point))
    # A corpus may bring references of its own: their rows are known by their metrics.
    own = _pattern(f"generation.{rest}") is None and _pattern(f"generation.{metric}") is not None
    if metric and (row in ROWS or own):
        return Placement(family, metric, row=row, point=tuple(point))
    return Placement(family, rest)


def is_known(metric: str) -> bool:
    """Whether a metric of this name is described."""
    return _pattern(place(metric).canonical) is not None


def _pattern(canonical: str) -> str | None:
    """The first pattern of the catalogue that a name has."""
    return next((pattern for pattern in METRICS if fnmatchcase(canonical, pattern)), None)


def near_metric(metric: str) -> str:
    """What to do about a name that isn't known: the nearest one, or where they are listed."""
    plain = [pattern for pattern in METRICS if not set(pattern) & set("*?")]
    hint = nearest(metric, plain)
    return hint if hint.startswith("did") else "docs/metrics.md lists them"


def row_label(row: str) -> str:
    """Whose text it is, for humans."""
    return ROWS.get(row, row.replace("_", " ").capitalize())


def row_order(row: str) -> tuple[int, str]:
    """Sort key: rows in the order of `ROWS`, unknown ones behind."""
    return (list(ROWS).index(row) if row in ROWS else len(ROWS), row)


def describe(name: str) -> MetricInfo:
    """What a metric is, by its full or canonical name; an unknown one is named after itself."""
    placement = place(name)
    canonical = placement.canonical
    pattern = _pattern(canonical)
    if pattern is None:
        return MetricInfo((placement.metric or name).replace("_", " ").replace(".", " · "))
    label = METRICS[pattern].label
    for index, words in enumerate(_wild(canonical, pattern)):
        label = label.replace(f"{{{index}}}", words)
    return replace(METRICS[pattern], label=label)


def generation_order(metric: str) -> tuple[int, str]:
    """Sort key: metrics of generated text in the order of `METRICS`, unknown ones behind."""
    pattern = _pattern(f"generation.{metric}")
    return (len(METRICS) if pattern is None else list(METRICS).index(pattern)), metric


def short_label(row: str) -> str:
    """A row's label where space is dear."""
    label = row_label(row).removesuffix(" sampler").removesuffix(" sentences")
    return _SHORT.get(row, label)


def _wild(name: str, pattern: str) -> list[str]:
    """The text that each of the pattern's wildcards stands for."""
    literal = map(re.escape, re.split(r"[*?]", pattern))
    match = re.fullmatch("(.*?)".join(literal), name, re.DOTALL)
    return [] if match is None else [words.replace("_", " ") for words in match.groups()]


def beside(metrics: Mapping[str, Measurement], name: str, n: int) -> Measurement | None:
    """A figure of a row of texts that compares with those of n texts; None where there is none.

    Args:
        metrics: of a run, by full name.
        name: of the figure, at the spec's own settings.
        n: how many texts the points of a sweep are of.
    """
    if not describe(name).sized:
        return metrics.get(name)
    placement = place(name)
    for other, measurement in metrics.items():
        at = place(other)
        if at.axis == SAMPLES and (at.row, at.metric) == (placement.row, placement.metric):
            return measurement
    own = metrics.get(name)
    return own if own is not None and own.n == n else None
