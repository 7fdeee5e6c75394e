"""Everything that is measured of a trained model, beside real text and simple samplers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from colaflex.corpora.token_index import Data
from colaflex.evaluation.brier import brier_lm
from colaflex.evaluation.plan import EvaluationPlan
from colaflex.evaluation.quality import Quality
from colaflex.evaluation.reconstruction import reconstruct, reconstruction_metrics
from colaflex.evaluation.sources import Sources, TextRow
from colaflex.evaluation.tasks import HeldOutTexts, TaskSuite
from colaflex.generation.text import GenerationOptions
from colaflex.interfaces.corpus import Corpus
from colaflex.interfaces.language_model import LanguageModel
from colaflex.interfaces.metric import Items, Measurement
from colaflex.interfaces.noise import SampleNoise
from colaflex.interfaces.task import TaskSource
from colaflex.intervals import mean

__all__ = ["Evaluated", "Evaluator"]

BRIER_TOKENS = 4

Metrics = dict[str, Measurement]
Say = Callable[[str], None]


@dataclass
class Evaluated:
    """Metrics by dotted name, and the texts behind them.

    Attributes:
        metrics: as in result.json.
        samples: records of samples.jsonl.
        items: of the metrics that are taken over items, what they are made of.
    """

    metrics: Metrics = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    items: dict[str, Items] = field(default_factory=dict)


class Evaluator:
    """Measures a model on a corpus.

    Args:
        model: trained.
        data: its corpus as tokens.
        corpus: the corpus itself, asked for what it knows of its documents.
        options: the spec's sampling.
        plan: what is measured.
        say: told of each part as it begins.
    """

    def __init__(
        self,
        model: LanguageModel,
        data: Data,
        corpus: Corpus,
        options: GenerationOptions,
        plan: EvaluationPlan,
        say: Say = lambda text: None,
    ) -> None:
        self.model, self.data, self.corpus = model, data, corpus
        self.options, self.plan, self.say = options, plan, say
        self.sources = Sources(model, data, options, plan)
        self.held_out = self.sources.held_out
        truth = corpus.truth()
        self.quality = Quality(data, truth, plan, say)
        texts = HeldOutTexts(self.held_out, data.tokenizer)
        self.tasks = TaskSuite(plan, TaskSource(documents=texts, truth=truth), options)

    def run(self) -> Evaluated:
        """All of it."""
        result = Evaluated()
        self.say("evaluation: reconstruction")
        result.metrics |= self.reconstruction()
        if self.plan.samples:
            self.say("evaluation: samples")
            rows = self._rows(result)
            self.say("evaluation: quality of the samples")
            self._quality(rows, result)
            self.say("evaluation: sweeps over steps and guidance")
            self._sweeps(result)
            self.say("evaluation: BrierLM")
            result.metrics |= self.brier()
            result.metrics |= self.straightness()
        self.tasks.measure(self.model, self.data.tokenizer, result, self.say)
        return result

    def reconstruction(self) -> Metrics:
        """`reconstruction.*` of held-out documents; empty where a model has no latents."""
        found = reconstruct(self.model, self.data.index, self.plan)
        return {} if found is None else reconstruction_metrics(found, self.plan.bootstrap)

    def brier(self) -> Metrics:
        """`generation.brier_lm`: two samples behind prompts of held-out text (CALM, 2025)."""
        documents = [
            d for d in self.held_out.first(self.plan.documents) if len(d) > 2 * BRIER_TOKENS
        ]
        if not documents:
            return {}
        cut = [max(1, len(document) // 2) for document in documents]
        prompts = [d[:at] for d, at in zip(documents, cut, strict=True)]
        real = [d[at:] for d, at in zip(documents, cut, strict=True)]
        options = self.options.but(max_new_tokens=BRIER_TOKENS)
        first, second = (
            self.sources.generated(prompts, options, seed).tokens
            for seed in (self.plan.seed, self.plan.seed + 1)
        )
        end = self.data.tokenizer.end_of_text
        scores = brier_lm(first, second, real, end, resamples=self.plan.bootstrap)
        return {f"generation.{name}": value for name, value in scores.items()}

    def straightness(self) -> Metrics:
        """`geometry.straightness` behind the first halves of held-out documents."""
        prior: Any = getattr(self.model, "prior", None)
        if not hasattr(prior, "straightness"):
            return {}
        model: Any = self.model
        documents = self.held_out.first(self.plan.sweep_samples)
        with torch.no_grad():
            latents, counts = model.encode_prompts([d[: len(d) // 2 + 1] for d in documents])
            whole = counts // prior.block_size * prior.block_size
            state = prior.begin(len(documents))
            if int(whole.max()):
                state = prior.commit(state, latents[:, : int(whole.max())], whole)
            keys = tuple(f"{self.plan.seed}:straightness:{i}" for i in range(len(documents)))
            values = prior.straightness(state, SampleNoise(keys))
        rows = values.tolist()
        return {"geometry.straightness": mean(rows, "straightness", resamples=self.plan.bootstrap)}

    def _rows(self, result: Evaluated) -> dict[str, TextRow]:
        prompts = self.sources.prompts(self.plan.samples)
        began = time.perf_counter()
        rows = {"model": self.sources.generated(prompts)}
        seconds = time.perf_counter() - began
        produced = sum(map(len, rows["model"].tokens))
        result.metrics["speed.generation_tokens_per_second"] = _point(produced / seconds)
        result.metrics["speed.seconds_per_sample"] = _point(seconds / max(1, len(prompts)))
        rows |= self.sources.references(prompts)
        for name, row in rows.items():
            result.samples += row.records(name, self.data.tokenizer)
        return rows

    def _quality(self, rows: dict[str, TextRow], result: Evaluated) -> None:
        for name, metrics in self.quality.measure(rows).items():
            prefix = "generation." if name == "model" else f"generation.{name}."
            result.metrics |= {f"{prefix}{metric}": value for metric, value in metrics.items()}
        if self.quality.judge is not None:
            result.metrics["judge.held_out_nll"] = self.quality.judge.held_out

    def _sweeps(self, result: Evaluated) -> None:
        steps, guidance = self.plan.sweep_steps, self.plan.sweep_guidance
        points = {f"at_steps.{n}": self.options.but(steps=n) for n in steps}
        points |= {f"at_guidance.{g:g}": self.options.but(guidance=g) for g in guidance}
        if not points:
            return
        prompts = self.sources.prompts(self.plan.sweep_samples)
        rows = {name: self.sources.generated(prompts, point) for name, point in points.items()}
        measured = self.quality.measure({**rows, "real": self.sources.real(prompts)})
        for name in rows:
            for metric, value in measured[name].items():
                result.metrics[f"generation.{name}.{metric}"] = value


def _point(value: float) -> Measurement:
    """A single timing: no interval is known of it."""
    return Measurement(value, float("nan"), float("nan"), 1)
