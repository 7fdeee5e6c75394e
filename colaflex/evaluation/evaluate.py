"""Everything that is measured of a trained model, beside real text and simple samplers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from colaflex.corpora.token_index import Data
from colaflex.evaluation.brier import brier_lm
from colaflex.evaluation.denoising import denoising
from colaflex.evaluation.likelihood import document_likelihoods, likelihood_metrics
from colaflex.evaluation.plan import EvaluationPlan
from colaflex.evaluation.quality import Quality
from colaflex.evaluation.reconstruction import reconstruct, reconstruction_metrics
from colaflex.evaluation.spelling import spelling
from colaflex.evaluation.sweeps import SweepPoint, sweep_points
from colaflex.evaluation.task_suite import HeldOutTexts, TaskSuite
from colaflex.evaluation.text_rows import Prompts, Sources, TextRow
from colaflex.generation.text import GenerationOptions, Tell
from colaflex.interfaces.corpus import Corpus
from colaflex.interfaces.language_model import LanguageModel
from colaflex.interfaces.metric import Measurement
from colaflex.interfaces.noise import SampleNoise
from colaflex.interfaces.task import TaskSource
from colaflex.latent.model import LatentModel
from colaflex.latent.segments import committed, encode_segments, prompt_segments
from colaflex.metrics.measurements import Measurements, single
from colaflex.metrics.names import SAMPLES, describe
from colaflex.statistics.intervals import mean
from colaflex.training.watcher import Watcher, counter

__all__ = ["Evaluation", "Evaluator"]

BRIER_TOKENS = 4

Metrics = dict[str, Measurement]
Say = Callable[[str], None]


@dataclass
class Evaluation(Measurements):
    """Metrics by dotted name, their items, and the texts behind them.

    Attributes:
        samples: records of samples.jsonl.
        judge: identity of the judge; "" where there was none.
    """

    samples: list[dict[str, Any]] = field(default_factory=list)
    judge: str = ""


class Evaluator:
    """Measures a model on a corpus.

    Args:
        model: trained.
        data: its corpus as tokens.
        corpus: the corpus itself, for what it knows of its documents.
        options: the spec's sampling.
        plan: what is measured.
        say: called with a line as each part begins.
        progress: shows how far each part is.
    """

    def __init__(
        self,
        model: LanguageModel,
        data: Data,
        corpus: Corpus,
        options: GenerationOptions,
        plan: EvaluationPlan,
        say: Say = lambda text: None,
        progress: Watcher | None = None,
    ) -> None:
        self.progress = progress
        self.model, self.data, self.corpus = model, data, corpus
        self.options, self.plan, self.say = options, plan, say
        self.sources = Sources(model, data, options, plan, say)
        self.held_out = self.sources.held_out
        measured = min(plan.documents, len(self.held_out))
        self.spelling = spelling(corpus, data.tokenizer, plan.split, measured)
        if self.spelling.warning:
            say(self.spelling.warning)
        truth = corpus.truth()
        self.quality = Quality(data, truth, plan, say, self._tell("judge", "steps"))
        texts = HeldOutTexts(self.held_out, data.tokenizer)
        self.tasks = TaskSuite(plan, TaskSource(documents=texts, truth=truth), options)

    def run(self) -> Evaluation:
        """All of it."""
        result = Evaluation()
        self.say("evaluation: reconstruction")
        result.add(self.reconstruction())
        if self.plan.likelihood:
            self.say("evaluation: likelihood")
            result.add(self.likelihood())
        if isinstance(self.model, LatentModel):
            result.add(denoising(self.model, self.data.index, self.plan))
        if self.plan.samples:
            self.say("evaluation: samples")
            rows = self._rows(result)
            swept = self._sweeps(rows, result)
            self.say("evaluation: quality of the samples")
            self._quality(rows, swept, result)
            self.say("evaluation: BrierLM")
            result.metrics |= self.brier()
            result.metrics |= self.straightness()
        result.add(self.tasks.measure(self.model, self.data.tokenizer, self.say, self.progress))
        return result

    def _tell(self, part: str, unit: str = "documents") -> Tell:
        return counter(self.progress, f"evaluation: {part}", unit)

    def reconstruction(self) -> Measurements:
        """`reconstruction.*` of held-out documents; empty where a model has no latents."""
        tell = self._tell("reconstruction")
        documents = reconstruct(self.model, self.data.index, self.plan, tell)
        if documents is None:
            return Measurements()
        if not self.spelling.exact.all():
            documents = replace(documents, bytes=None, exact=self.spelling.exact)
        return reconstruction_metrics(documents, self.plan.bootstrap)

    def likelihood(self) -> Measurements:
        """`likelihood.*` of held-out documents; empty where a model has no likelihood."""
        documents = document_likelihoods(
            self.model, self.data.index, self.plan, self._tell("likelihood")
        )
        if documents is None:
            return Measurements()
        if not self.spelling.exact.all():
            documents = replace(documents, bytes=None)
        truth, known = self.quality.truth, None
        if truth is not None:
            numbers = range(len(documents.log_p))
            texts = (self.data.tokenizer.decode(self.held_out.document(i)) for i in numbers)
            known = truth.log_prob(list(texts))
        return likelihood_metrics(documents, known, self.plan.bootstrap)

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
            self.sources.generated(prompts, options, seed, self._tell("BrierLM", "texts")).tokens
            for seed in (self.plan.seed, self.plan.seed + 1)
        )
        end = self.data.tokenizer.end_of_text
        scores = brier_lm(first, second, real, end, resamples=self.plan.bootstrap)
        return {f"generation.{name}": value for name, value in scores.items()}

    def straightness(self) -> Metrics:
        """`geometry.straightness` behind the first halves of held-out documents."""
        model = self.model
        if not isinstance(model, LatentModel) or not hasattr(model.prior, "straightness"):
            return {}
        prior: Any = model.prior
        documents = self.held_out.first(self.plan.sweep_samples)
        with torch.no_grad():
            segments = prompt_segments(model, [d[: len(d) // 2 + 1] for d in documents])
            latents, counts = encode_segments(model, segments)
            whole = counts // prior.block_size * prior.block_size
            state = prior.begin(len(documents))
            if int(whole.max()):
                known = latents[:, : int(whole.max())]
                state = committed(model, state, known, segments, whole)
            keys = tuple(f"{self.plan.seed}:straightness:{i}" for i in range(len(documents)))
            values = prior.straightness(state, SampleNoise(keys))
        rows = values.tolist()
        return {"geometry.straightness": mean(rows, "straightness", resamples=self.plan.bootstrap)}

    def _rows(self, result: Evaluation) -> dict[str, TextRow]:
        prompts = self.sources.prompts(self.plan.samples)
        began = time.perf_counter()
        rows = {"model": self.sources.generated(prompts, tell=self._tell("samples", "texts"))}
        seconds = time.perf_counter() - began
        produced = sum(map(len, rows["model"].tokens))
        result.metrics["speed.generation_tokens_per_second"] = single(produced / seconds)
        result.metrics["speed.seconds_per_sample"] = single(seconds / max(1, len(prompts)))
        rows |= self._before_adaptation(prompts)
        rows |= self.sources.references(prompts)
        for name, row in rows.items():
            result.samples += row.records(name, self.data.tokenizer)
        return rows

    def _before_adaptation(self, prompts: Prompts) -> dict[str, TextRow]:
        """The same by the decoder before it was adapted to the prior, where it was.

        An adapted decoder mends what the prior does; so much is the prior's own.
        """
        model = self.model
        before = model.with_unadapted_decoder() if isinstance(model, LatentModel) else None
        if not isinstance(before, LanguageModel):
            return {}
        self.say("evaluation: samples by the decoder before its adaptation")
        sources = Sources(before, self.data, self.options, self.plan)
        oracle = sources.oracle_latents(prompts)
        own = sources.generated(prompts, tell=self._tell("samples, decoder not adapted", "texts"))
        return {"unadapted": own, **({} if oracle is None else {"oracle_unadapted": oracle})}

    def _quality(
        self, rows: dict[str, TextRow], swept: dict[str, TextRow], result: Evaluation
    ) -> None:
        groups = self.quality.measure(rows, *([swept] if swept else []))
        for name, measured in groups[0].items():
            result.add(measured.under("generation." if name == "model" else f"generation.{name}."))
        points = swept.keys() - rows.keys()
        for name in (name for name in swept if name in points):
            result.add(groups[1][name].under(f"generation.{name}."))
        if "model" in swept:
            beside = {name: each for name, each in groups[1].items() if name not in points}
            result.metrics |= _at_samples(beside, len(swept["model"].tokens))
        if self.quality.judge is not None:
            result.metrics["judge.held_out_nll"] = self.quality.judge.held_out
            result.judge = self.quality.judge.identity

    def _sweeps(self, own: dict[str, TextRow], result: Evaluation) -> dict[str, TextRow]:
        """The texts of every point, beside references of as many; none where there is no sweep."""
        points = sweep_points(self.model, self.options, self.plan, self.say)
        if not points:
            return {}
        self.say("evaluation: sweeps over settings of the sampler")
        prompts = self.sources.prompts(self.plan.sweep_samples)
        rows: dict[str, TextRow] = {}
        for point in points:
            began = time.perf_counter()
            tell = self._tell(f"sweep, {point.name}", "texts")
            rows[point.name] = self.sources.generated(prompts, point.options, tell=tell)
            seconds = time.perf_counter() - began
            result.metrics |= self._cost(point, rows[point.name], seconds)
        if len(prompts) > self.plan.samples:  # there are fewer references than that
            return {**rows, "real": self.sources.real(prompts)}
        return {**rows, **{name: row.first(len(prompts)) for name, row in own.items()}}

    def _cost(self, point: SweepPoint, row: TextRow, seconds: float) -> Metrics:
        """What a point of a sweep over what a sampler does takes."""
        if not point.priced:
            return {}
        block = self.model.network_evaluations(point.options.latents)
        rate = sum(map(len, row.tokens)) / seconds
        cost = {f"speed.{point.name}.tokens_per_second": single(rate)}
        if block is not None:
            cost[f"speed.{point.name}.network_evaluations_per_block"] = single(block.evaluations)
        return cost


def _at_samples(rows: Mapping[str, Measurements], count: int) -> Metrics:
    """Of rows of so many texts, the figures that hang on how many there are."""
    at = f"generation.at_{SAMPLES}.{count}."
    metrics: Metrics = {}
    for name, row in rows.items():
        every = row.under(at if name == "model" else f"{at}{name}.").metrics
        metrics |= {metric: m for metric, m in every.items() if describe(metric).sized}
    return metrics
