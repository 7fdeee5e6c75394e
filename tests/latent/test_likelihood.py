"""The bound on a latent model's likelihood, against integrals over a grid of latents."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from small_models import DIM, END, VOCABULARY, rows, small_model

import colaflex
from colaflex.host.registry import registry
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.values import LatentBatch, TokenBatch, Vocabulary
from colaflex.latent.language_model import LatentLanguageModel
from colaflex.latent.likelihood import (
    _noise,
    _targets,
    _whole_blocks,
    content_log_weights,
    log_weights,
)
from colaflex.priors.block_sampling import BlockSampler

DRAWS = 10_000
SIZE = VOCABULARY.size + 1  # logits of a slot, end-of-segment among them


def plane(block: int) -> LatentLanguageModel:
    """Latents of one channel, one a token, under a prior that has seen some correlated ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        shape: dict[str, Any] = {"width": 16, "heads": 2, "embedding_dim": 8}
        segments = registry().config("segmenter", {"type": "fixed_patch", "size": 1})
        model = LatentLanguageModel(
            registry().build(segments),
            colaflex.build(
                "representation",
                "text_vae",
                vocabulary=VOCABULARY,
                max_segment_tokens=1,
                latent_dim=1,
                **shape,
            ),
            colaflex.build("prior", "gaussian", latent_dim=1, block_size=block, context=2),
            VOCABULARY,
            segments.capabilities(),
            likelihood="exact",
        ).double()
        seen = torch.randn(64, 4, 1, dtype=torch.float64).cumsum(1) * 0.6
        mask = torch.ones(64, 4, dtype=torch.bool)
        model.prior.losses(LatentBatch(seen, mask), Noise(0))["nll"].total.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            model.representation.unembedding.weight.mul_(4.0)
            model.representation.posterior.weight.mul_(0.3)  # wide enough to draw weights from
            model.representation.posterior.bias.zero_()
            model.shift.fill_(0.3)
            model.scale.fill_(1.7)
    return model.eval()


def on_a_grid(model: LatentLanguageModel, batch: TokenBatch, counted: int) -> tuple[float, float]:
    """log p and the evidence lower bound of one row of two latents, integrated numerically."""
    axis = torch.linspace(-9, 9, 181, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)[..., None]
    with torch.no_grad():
        mask = torch.ones(points.shape[:2], dtype=torch.bool)
        log_p = model.prior.log_prob(LatentBatch(points, mask))
        said = model.representation.decode(model.raw(points)).log_softmax(-1)
        log_p += sum(said[:, i, 0, int(batch.tokens[0, i])] for i in range(counted))
        _, posterior = model.encode(batch)
        assert posterior.log_variance is not None
        mean = model.normalised(posterior.mean)[0]
        std = posterior.log_variance[0].mul(0.5).exp() * model.scale
        log_q = torch.distributions.Normal(mean, std).log_prob(points).sum((1, 2))
    cell = 2 * math.log(18 / 180)
    evidence = log_p.logsumexp(0) + cell
    bound = ((log_q + cell).exp() * (log_p - log_q)).sum()
    return float(evidence), float(bound)


@pytest.mark.parametrize("block", [1, 2])
@pytest.mark.parametrize("token", [5, 9])
def test_the_mean_is_the_bound_and_many_draws_tend_to_the_evidence(block: int, token: int) -> None:
    model = plane(block)
    batch = TokenBatch(torch.tensor([[token, END]]), torch.tensor([2]), torch.tensor([True]))
    evidence, bound = on_a_grid(model, batch, 2)
    weights = log_weights(model, batch, DRAWS)
    assert weights is not None
    error = float(weights.std()) / math.sqrt(len(weights))
    assert float(weights.mean()) == pytest.approx(bound, abs=5 * error)
    assert bound < evidence - 0.01
    many = float(weights.logsumexp(0)) - math.log(len(weights))
    assert many == pytest.approx(evidence, abs=0.05)


def test_what_completes_a_block_is_not_the_documents() -> None:
    """A document of one token has two latents in a block of two, and one slot that counts."""
    model = plane(2)
    alone = TokenBatch(torch.tensor([[END]]), torch.tensor([1]), torch.tensor([True]))
    filled = TokenBatch(torch.tensor([[END, END]]), torch.tensor([2]), torch.tensor([True]))
    evidence, _ = on_a_grid(model, filled, 1)
    weights = log_weights(model, alone, DRAWS)
    assert weights is not None
    assert float(weights.logsumexp(0)) - math.log(DRAWS) == pytest.approx(evidence, abs=0.05)


def exact(**options: Any) -> LatentLanguageModel:
    """A small model whose prior is Gaussian."""
    model = small_model(**options)
    model.prior = colaflex.build(
        "prior", "gaussian", latent_dim=DIM, block_size=model.prior.block_size, context=2
    )
    model.likelihood = "exact"
    return model.eval()


def levelled_out(model: LatentLanguageModel) -> LatentLanguageModel:
    """Its posterior is its prior, and its decoder gives all logits alike."""
    with torch.no_grad():
        for part in (model.representation.posterior, model.representation.unembedding):
            part.weight.zero_()
            part.bias.zero_()
    return model


def test_every_token_of_a_row_counts_once() -> None:
    model = levelled_out(exact(size=3, block=2))
    lengths = [1, 4, 7, 12, 5]
    batch = rows(lengths, [True, True, True, True, False])
    found = model.log_likelihood(batch)
    expected = -torch.tensor(lengths).double() * math.log(SIZE)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


@torch.no_grad()
def test_slots_told_in_turn_hear_the_text_itself() -> None:
    made = exact(size=3, block=2, decoder="autoregressive")
    batch = rows([7, 4])
    whole = _whole_blocks(made, batch)
    segmentation = made.segment(whole)
    content = made.representation.content(whole, segmentation)
    levelled = exact(size=3, block=2, decoder="autoregressive")
    levelled.load_state_dict(made.state_dict())
    inside: Any = levelled.representation.inside
    inside.embedding.weight.zero_()
    found, deaf = log_weights(made, batch, 1), log_weights(levelled, batch, 1)
    assert found is not None and deaf is not None
    posterior = made.representation.encode(whole, segmentation)
    sample = posterior.sample(_noise(whole, segmentation, posterior, 1))[0]
    _, counted = _targets(made, batch, whole, segmentation)
    nats = []
    for one in (made, levelled):
        logits = one.representation.told(sample, content).double().log_softmax(-1)
        said = logits.gather(-1, content[..., None])[..., 0]
        nats.append(torch.where(counted, said, 0.0).flatten(1).sum(1))
    torch.testing.assert_close(found[0] - deaf[0], nats[0] - nats[1], rtol=1e-6, atol=1e-5)
    assert (found != deaf).all()


def test_two_levels_count_the_tokens_of_the_fine_one() -> None:
    model = levelled_out(exact(size=2, block=6, run=2))
    lengths = [1, 4, 7, 12, 5]
    found = model.log_likelihood(rows(lengths))
    expected = -torch.tensor(lengths).double() * math.log(SIZE)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_the_ends_of_short_segments_count_too() -> None:
    """Segments of at most four tokens end behind every full stop, which is token 2."""
    texts = ("", "", ".", *(f" {letter}" for letter in "abcdefghi"))
    vocabulary = Vocabulary(12, end_of_text=END, mask=1, texts=texts)
    segments = registry().config("segmenter", {"type": "phrase", "max_tokens": 4})
    shape: dict[str, Any] = {"width": 16, "heads": 2, "embedding_dim": 8, "latent_dim": DIM}
    model = LatentLanguageModel(
        registry().build(segments, vocabulary=vocabulary),
        colaflex.build(
            "representation", "text_vae", vocabulary=vocabulary, max_segment_tokens=4, **shape
        ),
        colaflex.build("prior", "gaussian", latent_dim=DIM, block_size=2),
        vocabulary,
        segments.capabilities(),
        likelihood="exact",
    ).eval()
    levelled_out(model)
    row = [4, 2, 5, 6, 2, 7, 8, 9, 10, 3, END]  # "b. cd. efgh a" and the end
    batch = TokenBatch(torch.tensor([row]), torch.tensor([len(row)]), torch.tensor([True]))
    cut = model.segment(batch).lengths[0].tolist()
    ends = sum(0 < n < 4 for n in cut) - (0 < [n for n in cut if n][-1] < 4)
    assert ends >= 2
    found = model.log_likelihood(batch)
    assert found is not None
    assert float(found) == pytest.approx(-(len(row) + ends) * math.log(SIZE), rel=1e-5)


def test_a_rows_bound_depends_on_no_other_row() -> None:
    model = exact(size=2, block=2)
    batch = rows([3, 8, 5, 11])
    together = model.log_likelihood(batch)
    assert together is not None
    for i in range(4):
        width = int(batch.lengths[i])
        one = batch.rows(slice(i, i + 1))
        alone = TokenBatch(one.tokens[:, :width], one.lengths, one.complete)
        found = model.log_likelihood(alone)
        torch.testing.assert_close(found, together[i : i + 1], rtol=1e-5, atol=1e-4)
    swapped = model.log_likelihood(batch.rows(torch.tensor([2, 0, 3, 1])))
    torch.testing.assert_close(swapped, together[[2, 0, 3, 1]], rtol=1e-5, atol=1e-4)
    assert together.isfinite().all()


@pytest.mark.parametrize("prior", ["flow_matching", "normalizing_flow", "autoregressive_flow"])
def test_priors_with_a_density_give_a_bound(prior: str) -> None:
    model = small_model(size=2, block=2)
    if prior != "flow_matching":
        shape: dict[str, Any] = {"width": 16, "layers": 1, "heads": 2}
        model.prior = colaflex.build("prior", prior, latent_dim=DIM, block_size=2, **shape)
    model.likelihood = "exact"
    found = model.eval().log_likelihood(rows([3, 8]))
    assert found is not None
    assert found.shape == (2,)
    assert found.isfinite().all()


def test_no_bound_without_densities() -> None:
    assert small_model().log_likelihood(rows([3, 8])) is None
    points = small_model(representation="text_ae")
    points.likelihood = "exact"
    assert points.log_likelihood(rows([3, 8])) is None


def test_the_importance_weighted_bound_is_tighter_and_a_bound() -> None:
    """From the draws that are there; not where the density is an estimate."""
    model = plane(2)
    batch = TokenBatch(torch.tensor([[5, END]]), torch.tensor([2]), torch.tensor([True]))
    evidence, bound = on_a_grid(model, batch, 2)
    weights = model.log_weights(batch)
    assert weights is not None and len(weights) == 4 and model.weighs_draws
    torch.testing.assert_close(weights.mean(0), model.log_likelihood(batch))
    many = log_weights(model, batch, DRAWS)
    assert many is not None
    # The mean over groups of four draws is the expected bound by four.
    by_four = float((many.view(-1, 4).logsumexp(1) - math.log(4)).mean())
    assert bound < by_four < evidence
    model.likelihood = "ode"
    assert not model.weighs_draws


def test_noise_in_a_density_would_lift_the_log_of_a_mean() -> None:
    """Of unbiased errors of deviation 1 in log p, the log of the mean of four gains 0.3 nats."""
    noise = torch.randn(20_000, 4, generator=torch.Generator().manual_seed(0)).double()
    gained = noise.logsumexp(1).mean() - math.log(4)
    assert 0.2 < float(gained) < 0.5 and abs(float(noise.mean())) < 0.02


@pytest.mark.parametrize("readout", ["categorical", "chained", "recurrent", "block_recurrent"])
@pytest.mark.parametrize("block", [1, 2])
def test_what_a_readout_draws_costs_what_it_says_block_by_block(block: int, readout: str) -> None:
    model: Any = small_model(size=3, block=block).eval()
    width = model.prior.state_width
    head = model.representation.readout(readout, width)
    model.prior.take(head, model.representation.history(width))
    model.double()
    batch = rows([7, 4])
    (weights,) = content_log_weights(model, batch, samples=1)
    whole = _whole_blocks(model, batch)
    segmentation = model.segment(whole)
    content = model.content(whole, segmentation)
    _, counted = _targets(model, batch, whole, segmentation)
    posterior = model.representation.encode(whole, segmentation)
    (noise,) = _noise(whole, segmentation, posterior, 1)
    total, prefix = torch.zeros(2).double(), model.prior.begin(2)
    with torch.no_grad():
        for start in range(0, content.shape[1], block):
            at = slice(start, start + block)
            sampler = BlockSampler(model.prior.denoiser, prefix)
            said = sampler.guided(head.said, None)(noise[:, at], torch.ones(1, 1, 1).double())
            nats = head.content_nats(said, content[:, at])
            total -= torch.where(counted[:, at], nats, 0.0).flatten(1).sum(1)
            prefix = model.prior.commit_told(prefix, noise[:, at], content[:, at])
    torch.testing.assert_close(weights, total)
    assert model.content_log_weights(batch).shape == (4, 2)


def test_a_linear_readout_draws_no_text() -> None:
    assert small_model().content_log_weights(rows([5])) is None
