"""What rows are held against: real text, the decoder on encoder latents, n-gram samplers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from colaflex.interfaces.metric import Measurement
from colaflex.leaderboard.standings import Table, digest_of, over_seeds
from colaflex.metrics.names import place, row_label, row_order

__all__ = ["Reference", "references"]

MODELS = ("model", "unadapted")
"""Rows that are a model's own texts."""


@dataclass(frozen=True)
class Reference:
    """A source of text beside the models; it has no rank.

    Attributes:
        name: as in the names of metrics, e.g. "oracle_latents".
        budgets: whose records say the same of it.
        metrics: under the names that they have for the model.
        digest: SHA-256 over the digests of the records that it is read from.
    """

    name: str
    budgets: tuple[str, ...]
    metrics: Mapping[str, Measurement]
    digest: str

    @property
    def label(self) -> str:
        """What it is, for people."""
        return row_label(self.name)


def references(tables: list[Table]) -> list[Reference]:
    """The references of tables of one metric; one that is the same at all budgets is one row."""
    by_name: dict[str, list[Reference]] = {}
    for table in tables:
        for reference in _at_budget(table):
            known = by_name.setdefault(reference.name, [])
            if known and known[-1].metrics == reference.metrics:
                known[-1] = replace(known[-1], budgets=(*known[-1].budgets, table.budget))
            else:
                known.append(reference)
    return [each for name in sorted(by_name, key=row_order) for each in by_name[name]]


def _at_budget(table: Table) -> list[Reference]:
    """Of every seed the first ranked row that knows a reference speaks for it."""
    sources: dict[str, dict[int, tuple[str, dict[str, Measurement]]]] = {}
    for row in sorted(table.rows, key=lambda row: bool(row.reason)):
        for record, metrics in zip(row.records, row.by_seed, strict=True):
            for name, measured in _by_reference(metrics).items():
                sources.setdefault(name, {}).setdefault(record.seed, (record.digest, measured))
    return [
        Reference(
            name,
            (table.budget,),
            _over_seeds([measured for _, measured in seeds.values()]),
            digest_of(digest for digest, _ in seeds.values()),
        )
        for name, seeds in sources.items()
    ]


def _by_reference(metrics: Mapping[str, Measurement]) -> dict[str, dict[str, Measurement]]:
    by_reference: dict[str, dict[str, Measurement]] = {}
    for name, measured in metrics.items():
        at = place(name)
        if at.family == "generation" and at.row not in MODELS and not at.point:
            by_reference.setdefault(at.row, {})[at.canonical] = measured
    return by_reference


def _over_seeds(seeds: list[dict[str, Measurement]]) -> dict[str, Measurement]:
    """The seeds' mean; where they all say the same, the interval over items stands."""
    means = {}
    for name in seeds[0]:
        measured = [each[name] for each in seeds if name in each]
        values = [each.value for each in measured]
        means[name] = measured[0] if len(set(values)) == 1 else over_seeds(name, values)
    return means
