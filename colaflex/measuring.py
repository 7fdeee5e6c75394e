"""Measuring a model as its spec says: within a run, or again from the run's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from colaflex.corpora.token_index import Data, prepare_data
from colaflex.evaluation.evaluate import Evaluator
from colaflex.evaluation.judge import JudgeSettings
from colaflex.evaluation.plan import EvaluationPlan
from colaflex.generation.text import GenerationOptions
from colaflex.interfaces.capabilities import BaselineCapabilities
from colaflex.interfaces.corpus import Corpus, Split
from colaflex.interfaces.language_model import LanguageModel
from colaflex.loading import load
from colaflex.registry import registry
from colaflex.run_folder import IDENTITY, RunFolder, measurements_json
from colaflex.spec import Spec

__all__ = ["evaluate_run", "evaluator"]

Say = Callable[[str], None]


def evaluator(
    spec: Spec,
    model: LanguageModel,
    data: Data,
    corpus: Corpus,
    say: Say,
    split: Split = "test",
) -> Evaluator:
    """What measures a model as its spec says."""
    section, judge = spec.evaluation, spec.evaluation.judge
    plan = EvaluationPlan(
        split=split,
        samples=section.samples,
        documents=section.documents,
        prompt_tokens=section.prompt_tokens,
        sweep_steps=section.sweep_steps if _samples_by(spec).steps else (),
        sweep_guidance=section.sweep_guidance if _samples_by(spec).guidance else (),
        sweep_samples=section.sweep_samples,
        bootstrap=section.bootstrap,
        judge=JudgeSettings(**judge.model_dump(exclude={"enabled"})) if judge.enabled else None,
        max_tokens=spec.training.for_stage(_last_stage(spec)).max_tokens,
        seed=spec.seed,
    )
    options = GenerationOptions(**spec.sampling.model_dump())
    return Evaluator(model, data, corpus, options, plan, say)


def _samples_by(spec: Spec) -> BaselineCapabilities:
    """Whether steps and guidance act; a prior is swept over both."""
    declared = None if spec.baseline is None else spec.baseline.capabilities()
    return declared if isinstance(declared, BaselineCapabilities) else BaselineCapabilities()


def _last_stage(spec: Spec) -> str:
    """The stage whose settings the finished model has its longest row from."""
    return "prior" if spec.baseline is None else "baseline"


def evaluate_run(
    run: Path, split: Split = "test", device: str = "cpu", say: Say = lambda text: None
) -> dict[str, dict[str, Any]]:
    """Measure a run again, from its folder and its corpus; the folder stays as it is.

    Returns:
        The metrics, as in result.json.
    """
    loaded = load(run, device)
    corpus: Corpus = registry().build(loaded.spec.corpus)
    data = prepare_data(corpus, path=str(run / "tokenizer.json"))
    if data.digest != RunFolder(run).read(IDENTITY)["data_digest"]:
        say("warning: the corpus is not the one that this run was trained on")
    found = evaluator(loaded.spec, loaded.model, data, corpus, say, split).run()
    return measurements_json(found.metrics)
