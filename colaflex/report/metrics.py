"""What every metric is called, measured in, and which way is better; and how names are built.

A dotted name is `<family>.<metric>`. In the family `generation` it may carry a row other than the
model's (`generation.real.distinct_2`) or a point of a sweep (`generation.at_steps.4.distinct_2`,
`generation.at_guidance.2.at_temperature.0.7.distinct_2`), as it may in the family `speed`; in
`denoising` the point is a noise level (`denoising.at_logit_time.-1.x0_error`).
`place` takes names apart, here and nowhere else; `describe` says what they mean.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

__all__ = [
    "DIVERSITY",
    "HEADLINES",
    "METRICS",
    "QUALITY",
    "ROWS",
    "MetricInfo",
    "Placement",
    "describe",
    "generation_order",
    "place",
    "row_label",
    "row_order",
    "short_label",
]

Better = Literal["higher", "lower", "real"]


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """What a metric is.

    Attributes:
        label: short, for humans.
        unit: "share" for fractions (shown in percent), "" for plain numbers, else as written.
        better: the better direction; "real": the closer to real text the better; None: neither.
        meaning: one sentence for documentation and tooltips.
        sized: whether it depends on how many texts, or words, are measured: compare at equal
            numbers.
    """

    label: str
    unit: str = ""
    better: Better | None = None
    meaning: str = ""
    sized: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """A metric's name taken apart.

    Attributes:
        family: first part of the name.
        metric: what is measured, without row or sweep.
        row: whose text is measured; "model" unless the name says otherwise.
        point: where in a sweep it was measured: the swept settings ("steps", "guidance", ...) with
            their values, several in a grid; empty at the spec's own settings. "samples" is the
            number of texts: the same as without, of fewer.
    """

    family: str
    metric: str
    row: str = "model"
    point: tuple[tuple[str, float], ...] = ()

    @property
    def axis(self) -> str | None:
        """What is swept, where it is one setting; else None."""
        return self.point[0][0] if len(self.point) == 1 else None

    @property
    def at(self) -> float | None:
        """The value of that setting, or None."""
        return self.point[0][1] if len(self.point) == 1 else None

    @property
    def canonical(self) -> str:
        """The name without row and sweep."""
        return f"{self.family}.{self.metric}" if self.metric else self.family


ROWS: dict[str, str] = {
    "model": "Model",
    "real": "Real text",
    "oracle_latents": "Decoder on encoder latents",
    "trigram": "Trigram sampler",
    "bigram": "Bigram sampler",
    "unigram": "Unigram sampler",
    "shuffled": "Shuffled sentences",
}
"""Whose text the metrics of `generation` are measured on, in the order of the results table."""

METRICS: dict[str, MetricInfo] = {
    "generation.coherent_documents": MetricInfo(
        "coherent documents",
        "share",
        "higher",
        "Documents that are valid and mention no factor with two values.",
    ),
    "generation.valid_documents": MetricInfo(
        "valid documents",
        "share",
        "higher",
        "Documents in which every sentence is valid and their number is right.",
    ),
    "generation.valid_sentences": MetricInfo(
        "valid sentences", "share", "higher", "Sentences that the grammar of the corpus derives."
    ),
    "generation.judge_nll": MetricInfo(
        "judge NLL",
        "nats/token",
        "lower",
        "Negative log-likelihood under a small autoregressive judge trained on a disjoint split.",
    ),
    "generation.known_words": MetricInfo(
        "known words", "share", "higher", "Words that occur in the training text."
    ),
    "generation.known_bigrams": MetricInfo(
        "known word pairs", "share", "higher", "Pairs of words that occur in the training text."
    ),
    "generation.brier_lm": MetricInfo(
        "BrierLM",
        "",
        "higher",
        "Geometric mean over n = 1..4 of the likelihood-free Brier estimate on n-grams, x 100.",
    ),
    "generation.oracle_support*": MetricInfo(
        "documents that the true process can make",
        "share",
        "higher",
        "Share of all documents with a probability above 0 under the known process.",
    ),
    "generation.oracle_entropy*": MetricInfo(
        "entropy of the true process",
        "nats/document",
        None,
        "Exact; what the NLL under the true process is for samples from it.",
    ),
    "judge.held_out_nll": MetricInfo(
        "NLL of the judge itself",
        "nats/token",
        "lower",
        "On documents of its own split that it was not trained on.",
    ),
    "generation.oracle_nll*": MetricInfo(
        "NLL under the true process",
        "nats/document",
        "real",
        "Negative log-likelihood under the known generative process; real text has its entropy.",
    ),
    "generation.unigram_entropy": MetricInfo(
        "unigram entropy",
        "nats/word",
        "real",
        "Entropy of the frequencies of the samples' words.",
        sized=True,
    ),
    "generation.distinct_?": MetricInfo(
        "distinct {0}-grams",
        "share",
        "real",
        "Different word n-grams among all n-grams.",
        sized=True,
    ),
    "generation.distinct_documents": MetricInfo(
        "different documents", "share", "real", "Different texts among all texts.", sized=True
    ),
    "generation.repetition*": MetricInfo(
        "repetition", "share", "real", "n-grams of words that stood earlier in the same text."
    ),
    "generation.copying*": MetricInfo(
        "copied", "share", "real", "n-grams of words that stand verbatim in the training text."
    ),
    "generation.kl*pair*": MetricInfo(
        "KL of factor pairs",
        "nats",
        "lower",
        "KL from the samples' joint of two factors to p*.",
        sized=True,
    ),
    "generation.kl*": MetricInfo(
        "KL of factors", "nats", "lower", "KL from the samples' law of the factors to p*.", True
    ),
    "generation.judge_nll_per_byte": MetricInfo(
        "judge NLL per byte", "nats/byte", "lower", "The judge's NLL per UTF-8 byte of text."
    ),
    "generation.brier_?": MetricInfo(
        "Brier, n = {0}", "", "higher", "Likelihood-free Brier estimate on n-grams, x 100."
    ),
    "generation.longest_repeat": MetricInfo(
        "longest repeat", "words", "real", "Longest sequence of words that a text holds twice."
    ),
    "generation.mean_words": MetricInfo("length in words", "words", "real", "Words of a text."),
    "generation.mean_bytes": MetricInfo("length in bytes", "bytes", "real", "Bytes of a text."),
    "generation.ended": MetricInfo(
        "ended by itself", "share", "real", "Texts with an end-of-text before the limit."
    ),
    "generation.network_evaluations": MetricInfo(
        "network evaluations per block", "", None, "Guidance branches and solver stages included."
    ),
    "reconstruction.token_accuracy": MetricInfo(
        "token reconstruction",
        "share",
        "higher",
        "Held-out tokens that the decoder restores from the posterior's mode.",
    ),
    "reconstruction.exact_documents": MetricInfo(
        "documents restored exactly", "share", "higher", "Held-out documents without any error."
    ),
    "reconstruction.nll": MetricInfo(
        "reconstruction NLL", "nats/token", "lower", "-log p(x | z) on held-out text."
    ),
    "reconstruction.bits_per_byte": MetricInfo(
        "reconstruction code length",
        "bits/byte",
        "lower",
        "Code length of held-out text given its latents; the rate is not in it.",
    ),
    "reconstruction.log_snr": MetricInfo(
        "posterior logSNR", "nats", None, "log(mean mu^2 / mean sigma^2) on held-out text."
    ),
    "likelihood.bits_per_byte": MetricInfo(
        "code length",
        "bits/byte",
        "lower",
        "Bits per UTF-8 byte of held-out documents, exact, an upper bound or the estimate of one, "
        "as `likelihood` in result.json says; compares across tokenizers. A document longer than a "
        "row is read in the windows that training reads it in, none of which sees another.",
    ),
    "likelihood.nats_per_token": MetricInfo(
        "negative log-likelihood",
        "nats/token",
        "lower",
        "The same per token, end-of-text included: -log p(x), or its bound.",
    ),
    "likelihood.excess_nats": MetricInfo(
        "excess over the true process",
        "nats/document",
        "lower",
        "log p*(x) - log p(x) of held-out documents: the KL divergence from the known process to "
        "the model, or its bound.",
    ),
    "likelihood.importance_bits_per_byte": MetricInfo(
        "code length, importance-weighted",
        "bits/byte",
        "lower",
        "The tighter bound by the same draws: the log of their mean weight in place of the mean "
        "log; only where the latents' density is exact.",
    ),
    "likelihood.importance_nats_per_token": MetricInfo(
        "negative log-likelihood, importance-weighted",
        "nats/token",
        "lower",
        "The same per token, end-of-text included.",
    ),
    "likelihood.integration_error": MetricInfo(
        "error of the integration",
        "nats/token",
        "lower",
        "Mean absolute change of -log p(x) of the first documents when the ODE of the density is "
        "integrated in twice as many steps.",
    ),
    "denoising.x0_error": MetricInfo(
        "error of the clean latents",
        "",
        "lower",
        "Squared error of the prior's estimate of clean latents (variance 1) at one noise level.",
    ),
    "denoising.content": MetricInfo(
        "what the text costs",
        "nats/latent",
        "lower",
        "-log p of a latent's tokens by the prior's readout, at one noise level.",
    ),
    "geometry.*straightness*": MetricInfo(
        "straightness",
        "",
        "lower",
        "Mean squared deviation of the velocity from the chord of its path; 0 is a straight path.",
    ),
    "geometry.*curvature*": MetricInfo("curvature", "", "lower", "How much sampling paths bend."),
    "geometry.*drift*": MetricInfo(
        "drift of latent statistics", "", "lower", "Change of the normalised latents' moments."
    ),
    "geometry.*log_snr*": MetricInfo("logSNR", "nats", None, "log(mean mu^2 / mean sigma^2)."),
    "speed.*tokens_per_second*": MetricInfo("tokens per second", "tokens/s", "higher"),
    "speed.*network_evaluations_per_block*": MetricInfo(
        "network evaluations per block", "", None, "Guidance branches and solver stages included."
    ),
    "speed.*network_evaluations_per_token*": MetricInfo(
        "network evaluations per token", "", None, "Of a block, over the tokens that it holds."
    ),
    "speed.*seconds_per_block*": MetricInfo("time per block", "s", "lower"),
    "speed.*latency*": MetricInfo("latency", "s", "lower"),
    "speed.*memory*": MetricInfo("peak memory", "GiB", "lower"),
    "speed.*seconds*": MetricInfo("time", "s", "lower"),
    "cost.flops": MetricInfo(
        "training FLOPs", "FLOPs", "lower", "Model FLOPs of training, stage 1 included."
    ),
    "cost.seconds": MetricInfo(
        "training time", "s", "lower", "Of training, stage 1 included, whoever trained it."
    ),
    "cost.parameters": MetricInfo("parameters", "", "lower", "Of all parts of the model together."),
    "task.*.accuracy": MetricInfo(
        "{0}", "share", "higher", "Right answers to the items of a task."
    ),
    "task.*.accuracy.mod*": MetricInfo(
        "{0}, remainder {1}",
        "share",
        "higher",
        "Right answers to prompts that leave so many tokens over when cut into patches.",
    ),
}
"""Pattern of a canonical name to what it is; the first match holds.

`{0}` is what the pattern's first wildcard stands for, `{1}` the second.
"""

HEADLINES = (
    "generation.coherent_documents",
    "generation.valid_sentences",
    "generation.judge_nll",
    "generation.brier_lm",
    "generation.known_bigrams",
    "generation.unigram_entropy",
    "reconstruction.token_accuracy",
    "likelihood.bits_per_byte",
)
"""Which results a reader wants first; a run shows the first few that it has."""

QUALITY = ("coherent_documents", "judge_nll", "brier_lm", "known_bigrams", "valid_sentences")
DIVERSITY = ("unigram_entropy", "distinct_2", "distinct_1", "distinct_3", "distinct_documents")

_SWEEP = re.compile(r"at_([a-z_]+)\.(-?\d+(?:\.\d+)?(?:e-?\d+)?)\.(.+)", re.DOTALL)


def place(name: str) -> Placement:
    """Take a metric's dotted name apart."""
    family, _, rest = name.partition(".")
    if family not in ("generation", "speed", "denoising"):
        return Placement(family, rest)
    point = []
    while match := _SWEEP.fullmatch(rest):
        axis, at, rest = match.groups()
        point.append((axis, float(at)))
    if family != "generation":
        return Placement(family, rest, point=tuple(point))
    row, _, metric = rest.partition(".")
    if point and not (metric and row in ROWS):
        return Placement(family, rest, point=tuple(point))
    # A corpus may bring references of its own: their rows are known by their metrics.
    if metric and (row in ROWS or (not _known(rest) and _known(metric))):
        return Placement(family, metric, row=row, point=tuple(point))
    return Placement(family, rest)


def _known(metric: str) -> bool:
    return any(fnmatchcase(f"generation.{metric}", pattern) for pattern in METRICS)


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
    for pattern, info in METRICS.items():
        if not fnmatchcase(canonical, pattern):
            continue
        label = info.label
        for index, words in enumerate(_wild(canonical, pattern)):
            label = label.replace(f"{{{index}}}", words)
        return replace(info, label=label)
    return MetricInfo((placement.metric or name).replace("_", " ").replace(".", " · "))


def generation_order(metric: str) -> tuple[int, str]:
    """Sort key: metrics of generated text in the order of `METRICS`, unknown ones behind."""
    canonical = f"generation.{metric}"
    for index, pattern in enumerate(METRICS):
        if fnmatchcase(canonical, pattern):
            return index, metric
    return len(METRICS), metric


def short_label(row: str) -> str:
    """A row's label where space is dear."""
    label = row_label(row).removesuffix(" sampler").removesuffix(" sentences")
    return "Encoder latents" if row == "oracle_latents" else label


def _wild(name: str, pattern: str) -> list[str]:
    """The text that each of the pattern's wildcards stands for."""
    literal = map(re.escape, re.split(r"[*?]", pattern))
    found = re.fullmatch("(.*?)".join(literal), name, re.DOTALL)
    return [] if found is None else [words.replace("_", " ") for words in found.groups()]
