"""Priors that read latents out through token probabilities, and their history as text."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from random_priors import BLOCK, BLOCKS, DIM, OPTIONS, ROWS, batch, keys, latents, total
from torch import Tensor
from toys import generator, small_prior

from colaflex.interfaces.noise import Noise
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.path_prior import SMALLEST_TIME
from colaflex.representations.readout_config import ReadoutConfig
from colaflex.representations.token_readout import CategoricalReadout, TokenHistory, TokenSlots

READ = ("flow_matching", "rectified_flow", "consistency", "shortcut", "mean_flow", "cnf")
SYMBOLS, SLOTS = 5, 2


def sizes(dim: int = DIM, group: int = 1) -> TokenSlots:
    return TokenSlots(SYMBOLS, SLOTS, dim, 8, group)


def readout(width: int, dim: int = DIM, group: int = 1, weight: float = 0.1) -> CategoricalReadout:
    return CategoricalReadout(ReadoutConfig(weight=weight), sizes(dim, group), width)


def offered(name: str, history: bool = True, **options: Any) -> Any:
    """A prior of random weights, in double precision, with both offers."""
    prior = small_prior(name, DIM, BLOCK, **options)
    prior.take(readout(64), TokenHistory(sizes(), 64) if history else None)
    draws = generator(1)
    with torch.no_grad():
        for parameter in prior.parameters():
            noise = torch.randn(parameter.shape, generator=draws)
            parameter.copy_(0.15 * noise + (parameter.ndim == 1) * parameter)
    return prior.double()


def told(values: Tensor, seed: int = 5) -> Tensor:
    """Contents of random segments, some of them short."""
    symbols = torch.randint(SYMBOLS - 1, (*values.shape[:2], SLOTS), generator=generator(seed))
    short = torch.rand(values.shape[:2], generator=generator(seed + 1)) < 0.3
    symbols[..., -1][short] = SYMBOLS - 1
    return symbols


def told_batch(values: Tensor) -> LatentBatch:
    return replace(batch(values), content=told(values))


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("history", [True, False])
def test_what_is_trained_is_what_is_sampled(name: str, history: bool) -> None:
    """The field behind a cached prefix is the one whose prediction the losses are about."""
    prior, values = offered(name, history), latents()
    data = told_batch(values)
    path = prior.draw_path(data, Noise(0), 1)
    nobody = torch.zeros_like(path.blind)
    path = replace(path, pinned=torch.zeros_like(path.pinned), blind=nobody)
    time = torch.tensor([0.6, 0.2][: prior.n_times], dtype=torch.float64)
    points = path.data + path.noise
    with torch.no_grad():
        predict = prior.predictor(prior.history(data), path, prior.trained)
        trained = predict(points, time.expand(*path.times.shape, -1))
        state = prior.begin(ROWS)
        for block in range(BLOCKS):
            found = prior.field(state)(time, points[:, block])
            torch.testing.assert_close(found, trained[:, block], atol=1e-9, rtol=1e-9)
            part = slice(block * BLOCK, (block + 1) * BLOCK)
            content = data.content
            assert content is not None
            state = prior.commit_told(state, values[:, part], content[:, part])


@pytest.mark.parametrize("name", ["flow_matching", "shortcut"])
def test_history_as_text_is_the_same_in_parts_and_at_once(name: str) -> None:
    prior, values = offered(name), latents()
    content = told(values)
    with torch.no_grad():
        whole = prior.commit_told(prior.begin(ROWS), values, content)
        parts = prior.begin(ROWS)
        for block in range(BLOCKS):
            part = slice(block * BLOCK, (block + 1) * BLOCK)
            parts = prior.commit_told(parts, values[:, part], content[:, part])
        one, other = (prior.sample_block(state, keys(), OPTIONS) for state in (whole, parts))
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0)
        alone = prior.commit_told(prior.begin(1), values[2:3], content[2:3])
        row = prior.sample_block(alone, keys([2]), OPTIONS)
        torch.testing.assert_close(row, one[2:3], atol=1e-10, rtol=0)


def test_history_as_text_hears_the_text_and_no_latents() -> None:
    prior, values = offered("flow_matching"), latents()
    content = told(values)
    with torch.no_grad():

        def sample(values: Tensor, content: Tensor) -> Tensor:
            state = prior.commit_told(prior.begin(ROWS), values, content)
            found: Tensor = prior.sample_block(state, keys(), OPTIONS)
            return found

        first = sample(values, content)
        assert torch.equal(first, sample(values + 1, content))
        assert not torch.allclose(first, sample(values, content.flip(-1)))
    with pytest.raises(ValueError, match="commit_told"):
        prior.commit(prior.begin(ROWS), values)


@pytest.mark.parametrize("name", READ)
def test_all_that_is_taken_learns(name: str) -> None:
    prior, data = offered(name, noisings=2), told_batch(latents())
    terms = prior.losses(data, Noise(3))
    taught = name in ("flow_matching", "shortcut", "mean_flow")
    assert ("content" in terms) == (taught or (name == "consistency" and not prior.teacher))
    total(terms).backward()
    for part in (prior.head, prior.reader):
        for where, parameter in part.named_parameters():
            assert parameter.grad is not None and bool(parameter.grad.any()), where


@pytest.mark.parametrize("prediction", ["x0", "velocity"])
def test_the_loss_is_that_of_the_clean_latents(prediction: str) -> None:
    """Of velocities, their squared error over max(t, smallest time)^2."""
    prior, data = offered("flow_matching", prediction=prediction), told_batch(latents())
    path = prior.draw_path(data, Noise(0), 1)
    clean: list[Tensor] = []
    prior.head.register_forward_hook(lambda _m, _i, out: clean.append(out))
    predict = prior.predictor(prior.history(data), path, prior.trained)
    found = prior.objective(path, predict)
    expected = (clean[0] - path.data).square().mean(-1)
    if prediction == "velocity":
        expected = expected / path.times.clamp(min=SMALLEST_TIME).square()[..., None]
    torch.testing.assert_close(found[path.counted], expected[path.counted])


def test_content_is_the_cross_entropy_of_the_tokens() -> None:
    """In nats per latent, the sum over its slots, the mean over noisings."""
    prior, data = offered("flow_matching", noisings=3, pinned_blocks=0), told_batch(latents())
    noise = Noise(0)
    path = prior.draw_path(data, noise, 3)
    states: list[Tensor] = []
    prior.head.slots.register_forward_hook(lambda _m, _i, out: states.append(out))
    term = prior.losses(data, noise)["content"]
    logits = prior.head.logits(torch.nn.functional.silu(states[0]))
    content = data.content
    assert content is not None
    wanted = prior.blocks(content).repeat(3, 1, 1, 1)
    said = -logits.log_softmax(-1).gather(-1, wanted[..., None])[..., 0].sum(-1)
    expected = torch.where(path.counted, said, 0.0).sum() / 3
    torch.testing.assert_close(term.total, expected)
    assert term.weight == 0.1 and term.per == "latents"


def test_parts_of_a_large_vocabulary_make_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    head = readout(16).double()
    states = torch.randn(7, 3, 16, generator=generator(0)).double()
    content = told(states[..., :1])

    def gradients() -> tuple[Tensor, Tensor, list[Tensor]]:
        head.zero_grad()
        mean, nats = head.taught(states, content)
        (mean.square().sum() + nats.sum()).backward()
        return mean, nats, [p.grad.clone() for p in head.parameters() if p.grad is not None]

    once = gradients()
    monkeypatch.setattr("colaflex.representations.token_readout.LOGITS_AT_ONCE", 4 * SYMBOLS)
    parts = gradients()
    for one, other in zip((*once[:2], *once[2]), (*parts[:2], *parts[2]), strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(head(states), once[0])


def test_a_coarse_latent_has_no_tokens_and_a_linear_head() -> None:
    head = readout(16, group=2)
    states = torch.randn(3, 4, 16, generator=generator(0))
    content = torch.full((3, 4, SLOTS), SYMBOLS - 1)
    content[:, 1::2] = 0
    mean, nats = head.taught(states, content)
    assert bool((nats[:, ::2] == 0).all()) and bool((nats[:, 1::2] > 0).all())
    assert head.coarse is not None
    torch.testing.assert_close(mean[:, ::2], head.coarse(states[:, ::2]))


@pytest.mark.parametrize("embeddings", ["shared", "frozen"])
def test_embeddings_of_the_decoder(embeddings: Any) -> None:
    table = torch.nn.Parameter(torch.randn(SYMBOLS, 8, generator=generator(0)))
    config = ReadoutConfig(embeddings=embeddings)
    head = CategoricalReadout(config, sizes(), 16, lambda: table)
    assert table not in set(head.parameters())
    head.start()
    states, content = torch.randn(4, 1, 16, generator=generator(1)), torch.zeros(4, 1, SLOTS).long()
    before = head(states)
    head.taught(states, content)[1].sum().backward()
    assert (table.grad is not None) == (embeddings == "shared")
    with torch.no_grad():
        table.add_(1.0 + table)
    assert torch.equal(head(states), before) == (embeddings == "frozen")


def _points(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """A linear encoder: latents of all pairs of tokens, those tokens, and their probabilities."""
    tables = torch.randn(SLOTS, SYMBOLS - 1, 2, generator=generator(seed))
    pairs = torch.cartesian_prod(*(torch.arange(SYMBOLS - 1) for _ in range(SLOTS)))
    points = sum(tables[slot][pairs[:, slot]] for slot in range(SLOTS))
    assert isinstance(points, Tensor)
    law = torch.softmax(torch.randn(len(pairs), generator=generator(seed + 1)), 0)
    mean = (law[:, None] * points).sum(0)
    deviation = (law[:, None] * (points - mean).square()).sum(0).sqrt()
    return (points - mean) / deviation, pairs, law


def _posterior(z: Tensor, time: float, points: Tensor, law: Tensor) -> Tensor:
    """p(point | z_t) of z (rows, dim), by Bayes' rule."""
    distance = (z[:, None] - (1 - time) * points).square().sum(-1)
    return torch.softmax(law.log() - distance / (2 * time**2), -1)


def test_the_readout_recovers_the_posterior_mean_of_a_linear_encoder() -> None:
    points, pairs, law = _points(0)
    schedule = {"distribution": "uniform"}
    prior = small_prior("flow_matching", 2, prediction="x0", schedule=schedule, history_dropout=0)
    prior.take(readout(64, 2, weight=1.0), None)
    draws = generator(3)

    def batches(rows: int) -> LatentBatch:
        chosen = torch.multinomial(law, rows, replacement=True, generator=draws)
        mask = torch.ones(rows, 1, dtype=torch.bool)
        return LatentBatch(points[chosen][:, None], mask, content=pairs[chosen][:, None])

    optimizer = torch.optim.Adam(prior.parameters(), 3e-3)
    for step in range(500):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / 500)
        optimizer.zero_grad()
        terms = prior.losses(batches(256), Noise(0, step))
        (total(terms) / 256).backward()
        optimizer.step()
    field = prior.field(prior.begin(1500))
    for time in (0.4, 0.6, 0.8):
        test = batches(1500)
        z = (1 - time) * test.values + time * torch.randn(1500, 1, 2, generator=draws)
        with torch.no_grad():
            clean = z - time * field(torch.tensor(time), z)
        p = _posterior(z[:, 0], time, points, law)
        # Of latents of variance 1; the best linear guess misses by 0.2 to 0.4.
        assert (clean[:, 0] - p @ points).square().mean().sqrt() < 0.12
        marginal = torch.stack([(p * (pairs[:, 0] == k)).sum(-1) for k in range(SYMBOLS - 1)], -1)
        states = prior.network(
            prior.lift(z, torch.ones(1500, dtype=torch.bool)), torch.full((1, 1, 1), time)
        )
        said = prior.head.logits(prior.head.said(states)).softmax(-1)[:, 0, 0, :-1]
        assert (said - marginal).abs().mean() < 0.05


def test_the_density_through_a_readout_agrees_with_quadrature() -> None:
    """In one dimension: it integrates to 1, and its law is that of the samples."""
    prior = small_prior("flow_matching", 1, prediction="velocity", likelihood_steps=96)
    prior.take(readout(64, 1), None)
    with torch.no_grad():
        for parameter, seed in zip(prior.parameters(), range(1000), strict=False):
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator(seed)))
        # Clean latents that do not depend on the state: then the law is known.
        prior.head.relift.weight.zero_()
        prior.head.relift.bias.fill_(0.4)
    prior.double()
    grid = torch.linspace(-6, 6, 241, dtype=torch.float64)
    data = LatentBatch(
        grid[:, None, None],
        torch.ones(241, 1, dtype=torch.bool),
        content=torch.zeros(241, 1, SLOTS).long(),
    )
    with torch.no_grad():
        first = prior.density_start()
        found = prior._integrated(data, 96, first)
    # dz/dt = (z - 0.4) / t: z_1 - 0.4 = (z_first - 0.4) / first, at z_first = (1 - first) z.
    moved = 0.4 + ((1 - first) * grid - 0.4) / first
    expected = -0.5 * (moved.square() + math.log(2 * math.pi)) + math.log((1 - first) / first)
    near = expected > -12
    torch.testing.assert_close(found[near], expected[near], atol=2e-3, rtol=0)
