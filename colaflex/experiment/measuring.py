"""Measuring a model as its spec says: within a run, or again from the run's folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from colaflex.corpora.token_index import Data, prepare_data
from colaflex.errors import UserError
from colaflex.evaluation.evaluate import Evaluator
from colaflex.evaluation.judge import JudgeSettings
from colaflex.evaluation.plan import EvaluationPlan
from colaflex.evaluation.task_suite import HeldOutTexts, TaskSuite, patch_of
from colaflex.experiment.folder import IDENTITY, RunFolder, measurements_json
from colaflex.experiment.loading import load
from colaflex.generation.text import GenerationOptions
from colaflex.host.registry import registry
from colaflex.interfaces.configs import TaskConfig
from colaflex.interfaces.corpus import Corpus, Split
from colaflex.interfaces.language_model import LanguageModel
from colaflex.interfaces.task import TaskSource
from colaflex.metrics.likelihood import by_readout
from colaflex.metrics.measurements import Measurements
from colaflex.spec import Spec
from colaflex.spec.checks import unfit_sampling
from colaflex.spec.training import ADAPTATION
from colaflex.training.watcher import Watcher

__all__ = [
    "corpus_of",
    "evaluate_run",
    "evaluate_tasks",
    "evaluator",
    "judge_settings",
    "trained_on",
]

Say = Callable[[str], None]


def evaluator(
    spec: Spec,
    model: LanguageModel,
    data: Data,
    corpus: Corpus,
    say: Say,
    split: Split = "test",
    progress: Watcher | None = None,
) -> Evaluator:
    """What measures a model as its spec says."""
    plan = _plan(spec, split)
    options = GenerationOptions.of(spec.sampling)
    return Evaluator(model, data, corpus, options, plan, say, progress)


def _plan(spec: Spec, split: Split) -> EvaluationPlan:
    # The finished model has its longest row from the settings of its last stage.
    last_stage = "prior" if spec.baseline is None else "baseline"
    return EvaluationPlan(
        **{**dict(spec.evaluation), "likelihood": _likelihood(spec)},
        likelihood_by_readout=by_readout(spec),
        split=split,
        guided=_guided(spec),
        draws=_obeys(spec, "estimate", "draw"),
        unfit=frozenset(
            name
            for name, values in spec.evaluation.sweep_sampling.values().items()
            if not all(_obeys(spec, name, value) for value in values)
        ),
        judged_by=judge_settings(spec),
        max_tokens=spec.training.for_stage(last_stage).max_tokens,
        seed=spec.seed,
        patch=patch_of(spec.segmenter),
    )


def judge_settings(spec: Spec) -> JudgeSettings | None:
    """Of the size that the spec says, or that its run has."""
    judge, latent = spec.evaluation.judge, spec.baseline is None
    if not judge.enabled:
        return None
    names = ["representation", "prior", ADAPTATION] if latent else ["baseline"]
    if latent and spec.training.regime == "scratch":
        names.remove("representation")
    stages = [spec.training.for_stage(name) for name in names]
    steps, rows = judge.size(sum(s.steps * s.batch_size * s.max_tokens for s in stages))
    return JudgeSettings(
        steps=steps, batch_size=rows, **judge.model_dump(exclude={"enabled", "steps", "batch_size"})
    )


def _guided(spec: Spec) -> bool:
    """Whether guidance acts, as the model declares it; a baseline may declare nothing."""
    config = spec.baseline if spec.prior is None else spec.prior
    declared = None if config is None else config.capabilities()
    return declared is None or bool(declared.guidance)


def _obeys(spec: Spec, option: str, value: object) -> bool:
    """Whether the model samples by this value of an option, as it declares."""
    sampling = spec.sampling.model_copy(update={option: value})
    return option not in {name for name, _, _ in unfit_sampling(spec, sampling)}


def _likelihood(spec: Spec) -> bool:
    """Whether likelihoods are computed; left to us, not where each takes an ODE's integration."""
    if isinstance(spec.evaluation.likelihood, bool):
        return spec.evaluation.likelihood
    if spec.prior is None or by_readout(spec):
        return True
    return spec.prior.capabilities().likelihood != "ode"


def evaluate_run(
    run: Path,
    split: Split = "test",
    device: str = "cpu",
    say: Say = lambda text: None,
    progress: Watcher | None = None,
) -> dict[str, dict[str, Any]]:
    """Measure a run again, from its folder and its corpus; the folder stays as it is.

    Returns:
        The metrics, as in result.json.
    """
    loaded = load(run, device)
    corpus, data = _corpus_now(loaded.spec, run, say)
    evaluated = evaluator(loaded.spec, loaded.model, data, corpus, say, split, progress).run()
    return measurements_json(evaluated.metrics)


def evaluate_tasks(
    run: Path,
    tasks: Sequence[TaskConfig],
    folder: Path | None = None,
    split: Split = "test",
    device: str = "cpu",
    say: Say = lambda text: None,
    progress: Watcher | None = None,
) -> Measurements:
    """Put tasks to the model of a run; the run's folder stays as it is.

    Args:
        run: its folder.
        tasks: of different names.
        folder: with the user's data, for tasks that read some.
        split: the documents of the corpus that its tasks are made of.
        device: cpu or cuda.
        say: told of each part as it begins.
        progress: shown how far each is.

    Returns:
        Metrics, and the items behind each.

    Raises:
        UserError: two tasks are called the same, or one can't draw its items.
    """
    names = [task.title for task in tasks]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two tasks are called {name}; give one of them another `name`")
    loaded = load(run, device)
    spec, source = loaded.spec, TaskSource(data=folder)
    if any(task.capabilities().source == "corpus" for task in tasks):
        corpus, data = _corpus_now(spec, run, say)
        texts = HeldOutTexts(data.index.split(split), data.tokenizer)
        source = replace(source, documents=texts, truth=corpus.truth())
    plan = _plan(spec, split).model_copy(update={"tasks": tuple(tasks)})
    suite = TaskSuite(plan, source, loaded.options)
    return suite.measure(loaded.model, loaded.tokenizer, say, progress)


def corpus_of(spec: Spec, run: Path) -> tuple[Corpus, Data]:
    """The corpus of a run, and its tokens by the run's tokenizer."""
    corpus: Corpus = registry().build(spec.corpus)
    return corpus, prepare_data(corpus, path=str(run / "tokenizer.json"))


def _corpus_now(spec: Spec, run: Path, say: Say) -> tuple[Corpus, Data]:
    """As `corpus_of`; says so where it has changed since the run was trained."""
    corpus, data = corpus_of(spec, run)
    if not trained_on(run, data):
        say("warning: the corpus is not the one that this run was trained on")
    return corpus, data


def trained_on(run: Path, data: Data) -> bool:
    """Whether a run was trained on these very data."""
    return bool(data.digest == RunFolder(run).read(IDENTITY)["data_digest"])
