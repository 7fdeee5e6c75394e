from __future__ import annotations

import math

import numpy as np
import pytest

from colaflex.corpora.worlds import WorldTruth, shuffle_sentences
from colaflex.corpora.worlds_process import World, WorldsConfig

WORLD = World(WorldsConfig())
TRUTH = WorldTruth(WORLD)
TEXTS = [WORLD.render(d) for d in WORLD.draws(np.random.default_rng(0), 400)]


def test_real_documents_are_perfect():
    metrics = TRUTH.measure(TEXTS)
    for name in ("valid_sentences", "valid_documents", "coherent_documents", "oracle_support"):
        assert metrics[name].value == 1
        assert metrics[name].low > 0.98
    assert metrics["oracle_nll"].value == pytest.approx(WORLD.entropy())
    assert metrics["oracle_entropy"].value == pytest.approx(WORLD.entropy())


def test_the_divergence_of_real_documents_is_near_zero():
    metrics = TRUTH.measure(TEXTS)
    for name in ("kl_factors", "kl_pairs"):
        assert metrics[name].low <= 0 <= metrics[name].high
        assert abs(metrics[name].value) < 0.02
    factors = [name for name in metrics if name.startswith("kl_factor.")]
    pairs = [name for name in metrics if name.startswith("kl_pair.")]
    assert (len(factors), len(pairs)) == (5, 10)
    mean = np.mean([metrics[name].value for name in factors])
    assert metrics["kl_factors"].value == pytest.approx(mean)


def test_a_collapsed_factor_costs_log_v():
    first = TEXTS[0]
    metrics = TRUTH.measure([first] * 200)
    correction = (WORLD.config.values - 1) / 400
    assert metrics["kl_factors"].value == pytest.approx(math.log(8) - correction)
    assert metrics["kl_pairs"].value == pytest.approx(2 * math.log(8) - 63 / 400)


def test_shuffled_sentences_stay_valid_and_lose_coherence():
    references = TRUTH.references(TEXTS)
    assert set(references) == {"shuffled"}
    metrics = TRUTH.measure(references["shuffled"])
    assert metrics["valid_documents"].value == 1
    assert metrics["coherent_documents"].value < 0.1
    assert metrics["oracle_support"].value < 0.1


def test_shuffling_moves_sentences_and_keeps_their_places():
    texts = ["A one. A two.", "B one. B two.", "C one."]
    shuffled = shuffle_sentences(texts, seed=1)
    words = sorted(" ".join(shuffled).replace(".", "").split())
    assert words == sorted(" ".join(texts).replace(".", "").split())
    assert all(" ".join(t.split()[1::2]) in ("one. two.", "one.") for t in shuffled)
    assert shuffle_sentences([], 0) == []


def test_broken_texts_count_against_the_shares():
    cut = TEXTS[1].rsplit(". ", 1)[0] + "."
    texts = [TEXTS[0], cut, TEXTS[2] + " And more", ""]
    metrics = TRUTH.measure(texts)
    assert metrics["valid_documents"].value == pytest.approx(1 / 4)
    assert metrics["coherent_documents"].value == pytest.approx(1 / 4)
    assert metrics["valid_sentences"].value == pytest.approx((4 + 3 + 4) / (4 + 3 + 5))
    assert metrics["oracle_support"].value == pytest.approx(1 / 4)


def test_nothing_valid_has_no_divergence():
    metrics = TRUTH.measure(["nonsense", "more of it"])
    assert metrics["valid_documents"].value == 0
    assert metrics["kl_factors"].n == 0 and math.isnan(metrics["kl_factors"].value)
    assert metrics["oracle_nll"].n == 0


def test_samples_from_p_star_have_its_entropy_where_sharing_is_partial():
    world = World(WorldsConfig(sharing=0.6))
    texts = [world.render(d) for d in world.draws(np.random.default_rng(1), 400)]
    metrics = WorldTruth(world).measure(texts)
    assert metrics["oracle_support"].value == 1
    assert metrics["oracle_nll"].low <= world.entropy() <= metrics["oracle_nll"].high


def test_shares_and_means_are_sums_over_their_items():
    texts = [*TEXTS[:20], *shuffle_sentences(TEXTS)[:20], "Nonsense. And more.", ""]
    metrics, items = TRUTH.measure(texts), TRUTH.items(texts)
    assert set(items) == {
        "valid_sentences",
        "valid_documents",
        "coherent_documents",
        "oracle_support",
        "oracle_nll",
    }
    for name, found in items.items():
        weights = found.weights or (1.0,) * len(texts)
        assert len(found.values) == len(weights) == len(texts)
        assert sum(found.values) / sum(weights) == pytest.approx(metrics[name].value), name
    assert items["coherent_documents"].values[:20] == (1.0,) * 20
    assert items["valid_documents"].values[-2:] == (0.0, 0.0)


def test_log_p_of_texts_is_that_of_their_derivations():
    texts = [*TEXTS[:3], "Nonsense."]
    expected = [WORLD.log_prob(d) for t in TEXTS[:3] if (d := WORLD.derivation(t)) is not None]
    assert TRUTH.log_prob(texts) == [*expected, -math.inf]
