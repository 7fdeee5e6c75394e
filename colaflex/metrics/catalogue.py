"""What every metric is called, measured in, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["DIVERSITY", "HEADLINES", "METRICS", "QUALITY", "MetricInfo"]

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
    "denoising.times": MetricInfo(
        "times that training drew",
        "share",
        None,
        "Share of the training times within half a unit of a logit t, of a law that followed the "
        "training.",
    ),
    "denoising.mostly_noise": MetricInfo(
        "times of mostly noise",
        "share",
        None,
        "Share of the training times above t = 0.9, of a law that followed the training.",
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
