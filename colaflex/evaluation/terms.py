"""Whether two runs' figures compare: what each was measured on, with, and how much of it.

A figure depends on more than its model: on the data and the split, on the judge, on the tokenizer
where it is per token, on how long texts may be. Where two runs differ in such a thing, the figures
that hang on it are no measure of the models, and no test is made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from colaflex.metrics.names import describe, place

__all__ = ["Terms", "differences_of", "why_not"]

TEXT = (
    "reconstruction",
    "likelihood",
    "generation",
    "judge",
    "task",
    "geometry",
    "elbo",
    "denoising",
)
PER_TOKEN = ("reconstruction.token_accuracy", "speed.network_evaluations_per_token")
SAMPLING = (
    *("steps", "guidance", "reencode", "estimate", "renoise", "grid"),
    *("guidance_interval", "guidance_law", "noise_temperature"),
    *("estimate_temperature", "end"),
    *("temperature", "top_k", "top_p", "repetition_penalty"),
)
MACHINE = ("device", "processor", "cores", "threads", "processes", "platform")


@dataclass(frozen=True)
class Terms:
    """What a run's figures depend on besides its model; all of it as plain data.

    Attributes:
        data: digest of its corpus and tokenizer.
        corpus: digest of the corpus alone; "" in runs that don't record it.
        tokenizer: digest.
        split: of the documents.
        judge: identity of the judge; "" in runs that don't record it.
        judged: settings of the judge, which with equal data make the same one.
        texts: how texts are begun and how long they may be.
        sampling: how they are sampled.
        counts: how many there are, and documents.
        tasks: settings of each, by name.
        machine: that did it.
    """

    data: str
    corpus: str
    tokenizer: str
    split: str
    judge: str
    judged: Mapping[str, Any]
    texts: Mapping[str, Any]
    sampling: Mapping[str, Any]
    counts: Mapping[str, Any]
    tasks: Mapping[str, Any]
    machine: Mapping[str, Any]

    @classmethod
    def of(
        cls, result: Mapping[str, Any], data: str, spec: Mapping[str, Any], tokenizer: str
    ) -> Terms:
        """Those of a run.

        Args:
            result: its result.json.
            data: the digest of its data, from run.json.
            spec: its settings by key path.
            tokenizer: digest of its tokenizer's file.
        """
        measurement = result.get("measurement") or {}
        settings = {**spec, **(measurement.get("settings") or {})}
        evaluation, sampling = _under("evaluation", settings), _under("sampling", settings)
        known = result.get("environment") or {}
        machine = {**known, **(measurement.get("conditions") or {})}
        return cls(
            data=data,
            corpus=str(measurement.get("corpus") or ""),
            tokenizer=str(measurement.get("tokenizer") or tokenizer),
            split=str(result.get("split") or "test"),
            judge=str(measurement.get("judge") or ""),
            judged=_under("judge", evaluation),
            texts={
                "max_new_tokens": sampling.get("max_new_tokens"),
                "prompt_tokens": evaluation.get("prompt_tokens"),
            },
            sampling={name: sampling.get(name) for name in SAMPLING},
            counts={k: evaluation.get(k) for k in ("samples", "sweep_samples", "documents")},
            tasks=_tasks(evaluation),
            machine={name: machine.get(name) for name in MACHINE},
        )


def differences_of(terms: Sequence[Terms]) -> list[dict[str, Any]]:
    """What runs differ in: `what`, its `values`, and whether figures are `marked` for it."""
    rows: list[tuple[str, list[Any], bool]] = [
        ("data", [each.data for each in terms], True),
        ("tokenizer", [each.tokenizer for each in terms], True),
        ("split", [each.split for each in terms], True),
    ]
    if any(_judge(terms[0], each) for each in terms):
        rows.append(("judge", [each.judge or dict(each.judged) for each in terms], True))
    for name in ("texts", "counts", "sampling", "machine"):
        maps = [getattr(each, name) for each in terms]
        marked = name != "sampling"
        rows += [(key, [each[key] for each in maps], marked) for key in maps[0]]
    titles = dict.fromkeys(title for each in terms for title in each.tasks)
    rows += [(f"task {t}", [each.tasks.get(t) for each in terms], True) for t in titles]
    return [
        {"what": what, "values": values, "marked": marked}
        for what, values, marked in rows
        if any(value != values[0] for value in values)
    ]


def why_not(name: str, one: Terms, other: Terms, numbers: tuple[int, int] = (0, 0)) -> str:
    """Why a figure of two runs doesn't compare, or "".

    Args:
        name: of the metric.
        one: a run's.
        other: another's.
        numbers: how many items each figure is of.
    """
    return ", ".join(reason for reason, holds in _RULES.items() if holds(name, one, other, numbers))


Rule = Callable[[str, Terms, Terms, tuple[int, int]], bool]


def _of_text(name: str) -> bool:
    return place(name).family in TEXT


def _other_data(name: str, one: Terms, other: Terms, numbers: tuple[int, int]) -> bool:
    """By the corpora's own digests where both are known, else by those that the tokenizer is in."""
    known = one.corpus and other.corpus
    differ = one.corpus != other.corpus if known else one.data != other.data
    return _of_text(name) and differ


def _other_tokens(name: str, one: Terms, other: Terms, numbers: tuple[int, int]) -> bool:
    canonical = place(name).canonical
    counted = "token" in describe(name).unit or canonical in PER_TOKEN
    return one.tokenizer != other.tokenizer and (counted or "brier" in canonical)


def _judge(one: Terms, other: Terms) -> bool:
    """Whether judges differ: by identity where both are known, else by settings and data."""
    if one.judge and other.judge:
        return one.judge != other.judge
    return (one.judged, one.data) != (other.judged, other.data)


def _other_task(name: str, one: Terms, other: Terms, numbers: tuple[int, int]) -> bool:
    at = place(name)
    mine = [t for t in {**one.tasks, **other.tasks} if at.metric.startswith(f"{t}.")]
    return at.family == "task" and any(one.tasks.get(t) != other.tasks.get(t) for t in mine)


_RULES: Mapping[str, Rule] = {
    "other data": _other_data,
    "another split": lambda name, one, other, _: _of_text(name) and one.split != other.split,
    "other tokens": _other_tokens,
    "another judge": lambda name, one, other, _: "judge" in name and _judge(one, other),
    "texts begun or cut otherwise": lambda name, one, other, _: (
        place(name).family == "generation" and one.texts != other.texts
    ),
    "another number of texts": lambda name, one, other, numbers: (
        describe(name).sized and numbers[0] != numbers[1]
    ),
    "the task set otherwise": _other_task,
    "another machine": lambda name, one, other, _: (
        place(name).family == "speed"
        and "network_evaluations" not in name
        and one.machine != other.machine
    ),
}


def _under(section: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    prefix = f"{section}."
    return {k.removeprefix(prefix): v for k, v in settings.items() if k.startswith(prefix)}


def _tasks(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of each task by the name that its metrics have."""
    by_name: dict[str, Any] = {}
    for task in evaluation.get("tasks") or ():
        options = task if isinstance(task, Mapping) else {"type": task}
        kind = str(options.get("type", "")).rpartition(":")[2]
        by_name[str(options.get("name") or kind)] = dict(options)
    return by_name
