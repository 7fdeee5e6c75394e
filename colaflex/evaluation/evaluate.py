"""Everything that is measured of a trained model, beside real text and simple samplers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from colaflex.corpora.token_index import Data, SplitIndex
from colaflex.corpora.worlds import World, Worlds
from colaflex.evaluation.brier import brier_lm
from colaflex.evaluation.intervals import mean
from colaflex.evaluation.judge import Judge, JudgeSettings, require_documents, train_judge
from colaflex.evaluation.ngram import NGramModel
from colaflex.evaluation.reconstruction import Reconstruction, reconstruction_metrics
from colaflex.evaluation.text_quality import TextSamples, real_text_metrics
from colaflex.evaluation.training_text import TrainingText
from colaflex.evaluation.words import split_words
from colaflex.evaluation.worlds import world_rows
from colaflex.generation.text import GenerationOptions, TextGenerator
from colaflex.interfaces.corpus import Corpus, Split
from colaflex.interfaces.language_model import LanguageModel
from colaflex.interfaces.metric import Measurement
from colaflex.interfaces.noise import SampleNoise
from colaflex.training.batches import evaluation_batches

__all__ = ["Evaluated", "EvaluationPlan", "Evaluator"]

NGRAMS = {"trigram": 3, "bigram": 2, "unigram": 1}
BRIER_TOKENS = 4
ROWS_AT_ONCE = 16
"""Held-out rows read together: their logits, over the whole vocabulary, are held at once."""

Metrics = dict[str, Measurement]
Say = Callable[[str], None]


@dataclass(frozen=True)
class EvaluationPlan:
    """What is measured, and how much of it.

    Attributes:
        split: which documents are held against the model.
        samples: texts generated.
        documents: held-out documents read.
        prompt_tokens: tokens of held-out text before each sample.
        sweep_steps: solver steps to sample at as well.
        sweep_guidance: guidances to sample at as well.
        sweep_samples: texts at each point of a sweep.
        bootstrap: resamples behind an interval.
        judge: its settings, or None.
        max_tokens: longest row.
        seed: of the samples.
    """

    split: Split = "test"
    samples: int = 64
    documents: int = 256
    prompt_tokens: int = 0
    sweep_steps: Sequence[int] = ()
    sweep_guidance: Sequence[float] = ()
    sweep_samples: int = 32
    bootstrap: int = 1000
    judge: JudgeSettings | None = None
    max_tokens: int = 256
    seed: int = 0


@dataclass
class Evaluated:
    """Metrics by dotted name, and the texts behind them.

    Attributes:
        metrics: as in result.json.
        samples: records of samples.jsonl.
    """

    metrics: Metrics = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class _Text:
    """One row's texts: tokens without end-of-text, and whether each ended by itself."""

    prompts: Sequence[Sequence[int]]
    tokens: Sequence[Sequence[int]]
    ended: Sequence[bool]


class Evaluator:
    """Measures a model on a corpus.

    Args:
        model: trained.
        data: its corpus as tokens.
        corpus: the corpus itself, whose own measures are taken where it has some.
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
        self.generator = TextGenerator(model, data.tokenizer)
        self.held_out = data.index.split(plan.split)
        self._world: World | None = corpus.world if isinstance(corpus, Worlds) else None
        if self._judges:
            require_documents(len(data.index.splits["judge"]))

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
        return result

    def reconstruction(self) -> Metrics:
        """`reconstruction.*` of held-out documents; empty where a model has no latents."""
        correct, counted, nll = [], [], []
        for batch in self._batches():
            back = self.model.reconstruct(batch.to(self._device))
            if back is None:
                return {}
            correct += back.correct.tolist()
            counted += back.counted.tolist()
            nll += back.nll.tolist()
        sizes = [self.data.index.split(self.plan.split).bytes[: self.plan.documents]]
        total = Reconstruction(
            _by_document(correct, self._owners()),
            _by_document(counted, self._owners()),
            _by_document(nll, self._owners()),
            sizes[0],
        )
        return reconstruction_metrics(total, self.plan.bootstrap)

    def brier(self) -> Metrics:
        """`generation.brier_lm`: two samples behind prompts of held-out text (CALM, 2025)."""
        documents = [d for d in self._documents(self.plan.documents) if len(d) > 2 * BRIER_TOKENS]
        if not documents:
            return {}
        cut = [max(1, len(document) // 2) for document in documents]
        prompts = [d[:at] for d, at in zip(documents, cut, strict=True)]
        real = [d[at:] for d, at in zip(documents, cut, strict=True)]
        options = self.options.but(max_new_tokens=BRIER_TOKENS)
        first, second = (
            [tokens for tokens, _ in self.generator.generate_tokens(prompts, options, seed)]
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
        documents = self._documents(self.plan.sweep_samples)
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

    # The rows: model, real text, decoder on encoder latents, n-gram samplers.

    def _rows(self, result: Evaluated) -> dict[str, _Text]:
        prompts = self._prompts(self.plan.samples)
        began = time.perf_counter()
        rows = {"model": self._generate(prompts, self.options)}
        seconds = time.perf_counter() - began
        produced = sum(map(len, rows["model"].tokens))
        blocks = seconds / max(1, len(prompts))
        result.metrics["speed.generation_tokens_per_second"] = _point(produced / seconds)
        result.metrics["speed.seconds_per_sample"] = _point(blocks)
        rows["real"] = self._real(prompts)
        oracle = self._oracle(prompts)
        if oracle is not None:
            rows["oracle_latents"] = oracle
        for name, order in NGRAMS.items():
            rows[name] = self._ngram(order, prompts)
        for name, row in rows.items():
            result.samples += self._records(name, row)
        return rows

    def _records(self, source: str, row: _Text) -> list[dict[str, Any]]:
        decode = self.data.tokenizer.decode_batch
        return [
            {
                "source": source,
                "prompt": prompt,
                "text": text,
                "tokens": list(tokens),
                "finish": "end" if ended else "length",
            }
            for prompt, text, tokens, ended in zip(
                decode(row.prompts), decode(row.tokens), row.tokens, row.ended, strict=True
            )
        ]

    def _generate(
        self, prompts: Sequence[Sequence[int]], options: GenerationOptions, seed: int | None = None
    ) -> _Text:
        seed = self.plan.seed if seed is None else seed
        made = self.generator.generate_tokens(prompts, options, seed)
        return _Text(prompts, [t for t, _ in made], [finish == "end" for _, finish in made])

    def _prompts(self, count: int) -> list[list[int]]:
        if not self.plan.prompt_tokens:
            return [[] for _ in range(count)]
        return [d[: self.plan.prompt_tokens] for d in self._documents(count)]

    def _real(self, prompts: Sequence[Sequence[int]]) -> _Text:
        documents = self._documents(len(prompts))
        rest = [d[len(p) :] for d, p in zip(documents, prompts, strict=False)]
        return self._cut(prompts, rest)

    def _oracle(self, prompts: Sequence[Sequence[int]]) -> _Text | None:
        """Real documents through encoder and decoder: no error of the prior."""
        decoded: list[list[int]] = []
        limit = len(prompts)
        batches = evaluation_batches(
            self.data.index, self.plan.split, self.plan.max_tokens, ROWS_AT_ONCE, limit
        )
        owners = self._owners(limit)
        for batch in batches:
            back = self.model.reconstruct(batch.to(self._device))
            if back is None:
                return None
            decoded += back.tokens
        documents: dict[int, list[int]] = {}
        for owner, tokens in zip(owners, decoded, strict=True):
            documents.setdefault(owner, []).extend(tokens)
        rows = [documents[i] for i in sorted(documents)]
        return self._cut(prompts, [r[len(p) :] for r, p in zip(rows, prompts, strict=False)])

    def _ngram(self, order: int, prompts: Sequence[Sequence[int]]) -> _Text:
        index, tokenizer = self.data.index.split("train"), self.data.tokenizer
        end = tokenizer.end_of_text
        documents = [[*index.document(i), end] for i in range(len(index))]
        model = NGramModel(documents, order, tokenizer.size, end, never=(tokenizer.mask,))
        rows = model.sample(list(prompts), self.options.max_new_tokens, self.plan.seed)
        ended = [bool(row) and row[-1] == end for row in rows]
        bare = [row[:-1] if end else row for row, end in zip(rows, ended, strict=True)]
        return _Text(prompts, bare, ended)

    def _cut(self, prompts: Sequence[Sequence[int]], rows: Sequence[Sequence[int]]) -> _Text:
        limit = self.options.max_new_tokens
        return _Text(
            prompts[: len(rows)], [row[:limit] for row in rows], [len(row) < limit for row in rows]
        )

    # Quality.

    def _quality(self, rows: Mapping[str, _Text], result: Evaluated) -> None:
        for name, metrics in self._measure(rows).items():
            prefix = "generation." if name == "model" else f"generation.{name}."
            result.metrics |= {f"{prefix}{metric}": value for metric, value in metrics.items()}
        judge = self._judge()
        if judge is not None:
            result.metrics["judge.held_out_nll"] = judge.held_out

    def _measure(self, rows: Mapping[str, _Text]) -> dict[str, Metrics]:
        """Every row at equal size, by the corpus's own measures where it has some."""
        texts = {name: self.data.tokenizer.decode_batch(row.tokens) for name, row in rows.items()}
        if self._world is not None:
            whole = {
                name: self.data.tokenizer.decode_batch(
                    [[*p, *t] for p, t in zip(row.prompts, row.tokens, strict=True)]
                )
                for name, row in rows.items()
            }
            real = whole.pop("real", None) or self._texts(self.plan.samples)
            return world_rows(self._world, whole, real, resamples=self.plan.bootstrap)
        judge = self._judge()
        samples = {name: TextSamples(texts[name], row.ended) for name, row in rows.items()}
        return real_text_metrics(
            samples,
            self._training_text(),
            judge,
            None if judge is None else self.data.tokenizer.encode,
            self.plan.bootstrap,
        )

    def _sweeps(self, result: Evaluated) -> None:
        prompts = self._prompts(self.plan.sweep_samples)
        points = [
            *((f"at_steps.{n}", self.options.but(steps=n)) for n in self.plan.sweep_steps),
            *(
                (f"at_guidance.{g:g}", self.options.but(guidance=g))
                for g in self.plan.sweep_guidance
            ),
        ]
        rows = {}
        for name, options in points:
            rows[name] = self._generate(prompts, options)
        if not rows:
            return
        measured = self._measure({**rows, "real": self._real(prompts)})
        for name in rows:
            for metric, value in measured[name].items():
                result.metrics[f"generation.{name}.{metric}"] = value

    @property
    def _judges(self) -> bool:
        return bool(self.plan.samples) and self.plan.judge is not None and self._world is None

    def _judge(self) -> Judge | None:
        if not self._judges or self.plan.judge is None:
            return None
        if not hasattr(self, "_trained_judge"):
            self.say("evaluation: training the judge, on documents no model under test has seen")
            index, end = self.data.index.split("judge"), self.data.tokenizer.end_of_text
            documents = [[*index.document(i), end] for i in range(len(index))]
            self._trained_judge = train_judge(
                documents, self.data.tokenizer.size, end, self.plan.judge
            )
        return self._trained_judge

    def _training_text(self) -> TrainingText:
        if not hasattr(self, "_indexed"):
            index = self.data.index.split("train")
            texts = self.data.tokenizer.decode_batch([index.document(i) for i in range(len(index))])
            self._indexed = TrainingText(split_words(text) for text in texts)
        return self._indexed

    # Held-out documents.

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _batches(self) -> Any:
        return evaluation_batches(
            self.data.index,
            self.plan.split,
            self.plan.max_tokens,
            ROWS_AT_ONCE,
            self.plan.documents,
        )

    def _owners(self, limit: int | None = None) -> list[int]:
        """The document that each evaluated row belongs to."""
        lengths = _document_lengths(self.held_out, limit or self.plan.documents)
        return [
            number
            for number, length in enumerate(lengths)
            for _ in range(max(1, -(-length // self.plan.max_tokens)))
        ]

    def _documents(self, count: int) -> list[list[int]]:
        return [self.held_out.document(i) for i in range(min(count, len(self.held_out)))]

    def _texts(self, count: int) -> list[str]:
        return self.data.tokenizer.decode_batch(self._documents(count))


def _document_lengths(split: SplitIndex, limit: int) -> list[int]:
    return [len(split.document(i)) + 1 for i in range(min(limit, len(split)))]


def _by_document(values: Sequence[float], owners: Sequence[int]) -> list[float]:
    sums: dict[int, float] = {}
    for owner, value in zip(owners, values, strict=True):
        sums[owner] = sums.get(owner, 0) + value
    return [sums[owner] for owner in sorted(sums)]


def _point(value: float) -> Measurement:
    """A single timing: no interval is known of it."""
    return Measurement(value, float("nan"), float("nan"), 1)
