"""Likelihoods of held-out documents, under models whose likelihood is known."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from colaflex.corpora.token_index import Data, prepare_data
from colaflex.evaluation.likelihood import document_likelihoods, likelihood_metrics
from colaflex.evaluation.plan import EvaluationPlan
from colaflex.host.registry import registry
from colaflex.interfaces.corpus import Corpus
from colaflex.interfaces.language_model import GeneratedTokens, LanguageModel
from colaflex.interfaces.stage import Stage
from colaflex.interfaces.values import TokenBatch

PLAN = EvaluationPlan(documents=7, max_tokens=512)


class Uniform(LanguageModel):
    """Every token has the same probability."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.full((), -math.log(size), dtype=torch.float64))

    def stages(self) -> Sequence[Stage]:
        return []

    def parts(self) -> Mapping[str, nn.Module]:
        return {}

    def reconstruct(self, tokens: TokenBatch) -> None:
        del tokens

    def generate_tokens(
        self, prompts: Sequence[Sequence[int]], *args: Any
    ) -> Iterator[Sequence[GeneratedTokens]]:
        yield [GeneratedTokens(row, (), "length") for row in range(len(prompts))]

    def log_likelihood(self, tokens: TokenBatch) -> Tensor | None:
        return self.logit * tokens.lengths


class Mute(Uniform):
    def log_likelihood(self, tokens: TokenBatch) -> None:
        del tokens


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    options = {"documents": 60, "validation_documents": 5, "test_documents": 9}
    built: Corpus = registry().build(registry().config("corpus", {"type": "worlds", **options}))
    return built


@pytest.fixture(scope="module")
def data(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Data:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLAFLEX_CACHE", str(tmp_path_factory.mktemp("cache")))
        return prepare_data(corpus, 300)


@pytest.mark.parametrize("longest", [512, 16])
def test_nats_and_bits_are_summed_over_whole_documents(data: Data, longest: int) -> None:
    """However a document is cut into windows, all its tokens count once, its end among them."""
    size = data.tokenizer.size
    plan = EvaluationPlan(documents=7, max_tokens=longest)
    found = document_likelihoods(Uniform(size), data.index, plan)
    assert found is not None
    test = data.index.split("test")
    tokens = [len(test.document(i)) + 1 for i in range(7)]
    assert found.tokens.tolist() == tokens
    assert longest == 512 or max(tokens) > longest
    measured = likelihood_metrics(found)
    assert set(measured.metrics) == {"likelihood.nats_per_token", "likelihood.bits_per_byte"}
    nats = measured.metrics["likelihood.nats_per_token"]
    assert nats.value == pytest.approx(math.log(size)) and nats.n == 7
    bits = measured.metrics["likelihood.bits_per_byte"]
    texts = data.tokenizer.decode_batch([test.document(i) for i in range(7)])
    size_in_bytes = sum(len(text.encode()) for text in texts)
    assert bits.value == pytest.approx(sum(tokens) * math.log2(size) / size_in_bytes)
    assert bits.low < bits.value < bits.high
    items = measured.items["likelihood.bits_per_byte"]
    assert items.weights == tuple(float(len(text.encode())) for text in texts)
    assert items.values == pytest.approx([n * math.log2(size) for n in tokens])


def test_the_excess_is_over_what_the_truth_gives(data: Data, corpus: Corpus) -> None:
    found = document_likelihoods(Uniform(data.tokenizer.size), data.index, PLAN)
    truth = corpus.truth()
    assert found is not None and truth is not None
    test = data.index.split("test")
    known = truth.log_prob(data.tokenizer.decode_batch([test.document(i) for i in range(7)]))
    assert known is not None
    measured = likelihood_metrics(found, known)
    excess = measured.metrics["likelihood.excess_nats"]
    # At sharing 1 all documents that can be have one probability, e to the minus entropy.
    entropy = truth.measure([])["oracle_entropy"].value
    assert excess.value == pytest.approx(float(np.mean(-found.log_p)) - entropy)
    perfect = likelihood_metrics(type(found)(np.array(known), found.tokens, found.bytes), known)
    assert perfect.metrics["likelihood.excess_nats"].value == 0


def test_a_model_without_likelihood_has_no_such_metrics(data: Data) -> None:
    assert document_likelihoods(Mute(300), data.index, PLAN) is None


def test_fewer_documents_than_asked_for(data: Data) -> None:
    plan = EvaluationPlan(documents=10_000, max_tokens=512)
    found = document_likelihoods(Uniform(300), data.index, plan)
    assert found is not None and len(found.log_p) == 9


def test_progress_is_told(data: Data) -> None:
    said: list[tuple[int, int]] = []
    document_likelihoods(Uniform(300), data.index, PLAN, lambda *count: said.append(count))
    assert said == sorted(said) and said[-1] == (7, 7)


class Weighted(Uniform):
    """Two draws, one of half the weight, and a density that finer integration changes."""

    weighs_draws = True

    def log_weights(self, tokens: TokenBatch) -> Tensor:
        exact = self.log_likelihood(tokens)
        assert exact is not None
        return torch.stack([exact, exact - math.log(2)])

    def likelihood_change(self, tokens: TokenBatch) -> Tensor:
        return -0.5 * tokens.lengths


def test_importance_and_the_integrations_error_are_told(data: Data) -> None:
    found = document_likelihoods(Weighted(300), data.index, PLAN)
    assert found is not None and found.importance is not None
    # log of the mean of 1 and 1/2, against the mean of their logs.
    gained = found.importance - found.log_p
    expected = math.log(0.75) + 0.5 * math.log(2)
    assert np.allclose(gained / expected, np.round(gained / expected)) and (gained > 0).all()
    metrics = likelihood_metrics(found).metrics
    assert metrics["likelihood.integration_error"].value == 0.5
    plain, tight = (
        metrics[f"likelihood.{name}bits_per_byte"].value for name in ("", "importance_")
    )
    assert tight < plain
