"""A finished run measured with other settings than its spec's, and its result made anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from colaflex.errors import UserError
from colaflex.evaluation.evaluate import Evaluation
from colaflex.experiment.conditions import conditions
from colaflex.experiment.difference import MEASURING
from colaflex.experiment.folder import RunFolder, measurements_json
from colaflex.experiment.loading import LoadedModel, load
from colaflex.experiment.measuring import Say, corpus_of, evaluator, trained_on
from colaflex.experiment.result import (
    PEAK_MEMORY,
    TRAINING_RATE,
    measured_with,
    measurement,
    sampling_cost,
)
from colaflex.files.problems import dotted
from colaflex.generation.text import GenerationOptions
from colaflex.interfaces.corpus import Split
from colaflex.report import build_report
from colaflex.spec import Spec
from colaflex.spec.layers import read_set
from colaflex.training.distributed import Processes
from colaflex.training.watcher import Watcher

__all__ = ["remeasure_run"]


def remeasure_run(
    run: Path,
    sets: Sequence[str],
    split: Split | None = None,
    device: str = "cpu",
    say: Say = lambda text: None,
    progress: Watcher | None = None,
) -> dict[str, dict[str, Any]]:
    """Measure a finished run with other settings; its result, samples, items and report are new.

    What the run is, its spec.yaml and its weights, stays; `measurement` in result.json names the
    settings. Settings that were given at an earlier time are forgotten.

    Args:
        run: the run folder.
        sets: `evaluation.a=VALUE` or `sampling.a=VALUE`, on top of the run's own spec.
        split: the held-out documents, by default those of the result.
        device: cpu or cuda.
        say: told of each part as it begins.
        progress: shown how far each is.

    Returns:
        The metrics, as in result.json.

    Raises:
        UserError: a setting is no such one, the run is not finished, or its corpus has changed.
    """
    folder = RunFolder(run)
    result = folder.read("result.json")
    own, spec = Spec.of_run(folder.confirmed("spec.yaml")), _measured(folder, sets)
    with folder.held():
        loaded = load(run, device)
        corpus, data = corpus_of(spec, run)
        if not trained_on(run, data):
            raise UserError(
                f"{run}: its corpus is not the one that this run was trained on, so its result "
                "stays as it is; without --set the model is measured on this corpus all the same"
            )
        chosen: Split = split or result.get("split", "test")
        evaluated = evaluator(spec, loaded.model, data, corpus, say, chosen, progress).run()
        under = conditions(Processes(next(loaded.model.parameters()).device), "fp32")
        how = measurement(Spec.changes(own, spec), under, measured_with(data, evaluated.judge))
        metrics = _metrics(evaluated, result, loaded, spec)
        new = {**result, "split": chosen, "measurement": how, "metrics": metrics}
        new.pop("left_out", None)
        new |= {"left_out": evaluated.left_out} if evaluated.left_out else {}
        folder.put_measured(new, evaluated.samples, evaluated.items)
        folder.put({"report.html": build_report(run)})
    return metrics


def _measured(run: RunFolder, sets: Sequence[str]) -> Spec:
    """A run's spec with other settings of how it is measured."""
    for given in sets:
        path, _ = read_set(given)
        if path[0] not in MEASURING:
            sections = " and ".join(f"{name}.*" for name in MEASURING)
            raise UserError(
                f"--set {given}: {dotted(path)} is part of what the run is; only {sections} can be "
                "set here; train another run with `colaflex run`"
            )
    return Spec.of_run(run.confirmed("spec.yaml"), sets)


def _metrics(
    evaluated: Evaluation, result: dict[str, Any], loaded: LoadedModel, spec: Spec
) -> dict[str, dict[str, Any]]:
    """What was measured, beside what only training can tell."""
    of_training = {n: m for n, m in result["metrics"].items() if n in (TRAINING_RATE, PEAK_MEMORY)}
    cost = sampling_cost(loaded.model, GenerationOptions.of(spec.sampling))
    return dict(sorted({**measurements_json({**evaluated.metrics, **cost}), **of_training}.items()))
