"""Priors that read latents out through token probabilities, and their history as text."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from random_priors import BLOCK, BLOCKS, DIM, OPTIONS, ROWS, batch, keys, latents, shaken, total
from torch import Tensor, nn
from toys import generator, small_prior

from colaflex.errors import UserError
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.block_sampling import BlockSampler, grid_times
from colaflex.priors.denoiser import SMALLEST_TIME
from colaflex.priors.path import Masks
from colaflex.priors.readout_calls import SaidRecorder
from colaflex.representations.categorical_readout import CategoricalReadout
from colaflex.representations.configs import ReadoutConfig
from colaflex.representations.token_content import TokenHistory, TokenSlots

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
    path = replace(path, masks=Masks.free(path.masks.counted))
    time = torch.tensor([0.6, 0.2][: prior.n_times], dtype=torch.float64)
    points = path.data + path.noise
    with torch.no_grad():
        predict = prior.denoiser.predictor(prior.denoiser.past(prior.history(data)), path.masks)
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
    taught = name in ("flow_matching", "rectified_flow", "shortcut", "mean_flow")
    assert ("content" in terms) == (taught or (name == "consistency" and not prior.teacher))
    total(terms).backward()
    for part in (prior.head, prior.reader):
        for where, parameter in part.named_parameters():
            assert parameter.grad is not None and bool(parameter.grad.any()), where


def test_a_consistency_map_is_the_identity_without_noise_and_the_readouts_with_some() -> None:
    prior, points = offered("consistency"), latents()
    clean = points + 1
    for time, share in ((0.0, 0.0), (0.0125, 0.25), (0.05, 1.0), (0.7, 1.0)):
        t = torch.full(points.shape[:-2], time, dtype=points.dtype)
        velocity = prior.denoiser.predicted(clean, points, t[..., None])
        torch.testing.assert_close(prior.end(velocity, points, t), points + share)


def test_a_consistency_map_is_told_the_text_where_its_end_has_it() -> None:
    prior, data = offered("consistency", pinned_blocks=0.0), told_batch(latents())
    path, targets = prior.draw_path(data, Noise(3), 1), prior.content_targets(data, 1)
    predict = prior.denoiser.predictor(
        prior.denoiser.past(prior.history(data)), path.masks, call=targets
    )
    predict(path.point(), path.times[..., None])
    near = path.times < 0.5
    assert bool(near.any()) and not bool(near.all())
    expected = torch.where(path.masks.counted & near[..., None], targets.mean(), 0.0).sum()
    torch.testing.assert_close(prior.losses(data, Noise(3))["content"].total, expected)


@pytest.mark.parametrize("mode", ["training", "distillation"])
def test_a_readouts_consistency_is_held_where_the_data_is_its_end(mode: str) -> None:
    """There the distance is to that end at any time of training, though its weight grows."""
    near = {"distribution": "logit_normal", "loc": -1.0, "scale": 1e-4}
    prior = offered("consistency", pinned_blocks=0.0, mode=mode, schedule=near)
    data, losses = told_batch(latents()), []
    for steps in (3000, 6, 3):
        noise = Noise(3, step=3, steps=steps)
        loss = prior.losses(data, noise)["consistency"]
        times = prior.draw_path(data, noise, 1).times
        earlier = prior.earlier(times, noise.progress)
        weight = (1 - times) * (1 - earlier) / (times - earlier)
        losses.append(float(loss.total.detach() / weight.mean()))
    assert losses[0] > 0
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-3)  # times differ by 1e-4


@pytest.mark.parametrize("prediction", ["x0", "velocity"])
def test_the_loss_is_that_of_the_clean_latents(prediction: str) -> None:
    """Of velocities, their squared error over max(t, smallest time)^2."""
    prior, data = offered("flow_matching", prediction=prediction), told_batch(latents())
    path = prior.draw_path(data, Noise(0), 1)
    clean: list[Tensor] = []
    prior.head.register_forward_hook(lambda _m, _i, out: clean.append(out))
    predict = prior.denoiser.predictor(prior.denoiser.past(prior.history(data)), path.masks)
    found = prior.objective(path, predict)
    expected = (clean[0] - path.data).square().mean(-1)
    if prediction == "velocity":
        expected = expected / path.times.clamp(min=SMALLEST_TIME).square()[..., None]
    torch.testing.assert_close(found[path.masks.counted], expected[path.masks.counted])


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
    expected = torch.where(path.masks.counted, said, 0.0).sum() / 3
    torch.testing.assert_close(term.total, expected)
    assert term.weight == 0.1 and term.per == "latents"


def test_reflow_learns_the_text_that_its_teacher_said() -> None:
    """Content is the likeliest of the teacher's readout at its last step, not the data's."""
    prior = offered("rectified_flow", teacher_steps=3, pinned_blocks=0.0)
    prior.phases()[1].start()
    data = told_batch(latents())
    content = data.content
    assert content is not None
    teacher, said = prior.teacher.head, []
    teacher.slots.register_forward_hook(lambda _m, _i, out: said.append(nn.functional.silu(out)))
    student: list[Tensor] = []
    prior.head.slots.register_forward_hook(lambda _m, _i, out: student.append(out))
    term = prior.losses(data, Noise(2))["content"]
    assert len(said) == 3
    tokens = teacher.logits(said[-1]).argmax(-1)
    ended = (tokens == SYMBOLS - 1).cumsum(-1) > 0
    tokens = torch.where(ended, SYMBOLS - 1, tokens)
    assert not torch.equal(tokens, prior.blocks(content))
    logits = prior.head.logits(nn.functional.silu(student[0]))
    nats = -logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0].sum(-1)
    nats = torch.where(tokens[..., 0] == SYMBOLS - 1, 0.0, nats)
    counted = prior.blocks(data.mask)
    torch.testing.assert_close(term.total, torch.where(counted, nats, 0.0).sum())


@torch.no_grad()
def test_a_teachers_words_are_guided_as_its_ends_are() -> None:
    prior, values = offered("rectified_flow"), latents()
    prior.phases()[1].start()
    data = told_batch(values)
    content, path = data.content, prior.draw_path(data, Noise(0), 1)
    assert content is not None
    masks, recorder = Masks.free(path.masks.counted), SaidRecorder()
    time = torch.tensor(0.7, dtype=torch.float64)
    prior.teacher_field(prior.history(data), masks, 2.5, recorder)(time, path.noise)
    state = prior.begin(ROWS)
    for block in range(BLOCKS):
        made = BlockSampler(prior.denoiser, state, 2.5).guided(prior.head.said, None)
        torch.testing.assert_close(
            recorder.said[:, block], made(path.noise[:, block], time.view(1, 1, 1))
        )
        part = slice(block * BLOCK, (block + 1) * BLOCK)
        state = prior.commit_told(state, values[:, part], content[:, part])


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
    monkeypatch.setattr("colaflex.representations.expected_embeddings.LOGITS_AT_ONCE", 4 * SYMBOLS)
    parts = gradients()
    for one, other in zip((*once[:2], *once[2]), (*parts[:2], *parts[2]), strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(head(states), once[0])
    said = head.said(states)
    tokens = head.logits(said).argmax(-1)
    ended = (tokens == SYMBOLS - 1).cumsum(-1) > 0
    assert torch.equal(head.likeliest(said), torch.where(ended, SYMBOLS - 1, tokens))


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


def _pairs(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """A linear encoder: latents of all pairs of tokens, those tokens, and their probabilities."""
    tables = torch.randn(SLOTS, SYMBOLS - 1, 2, generator=generator(seed))
    pairs = torch.cartesian_prod(*(torch.arange(SYMBOLS - 1) for _ in range(SLOTS)))
    points = torch.stack([tables[slot][pairs[:, slot]] for slot in range(SLOTS)]).sum(0)
    law = torch.softmax(torch.randn(len(pairs), generator=generator(seed + 1)), 0)
    mean = (law[:, None] * points).sum(0)
    deviation = (law[:, None] * (points - mean).square()).sum(0).sqrt()
    return (points - mean) / deviation, pairs, law


def _circle(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """As many tokens, as likely, on a circle of variance 1."""
    angle = torch.arange(count) * 2 * math.pi / count
    points = math.sqrt(2) * torch.stack([angle.cos(), angle.sin()], 1)
    return points, torch.arange(count)[:, None], torch.full((count,), 1 / count)


@dataclass(frozen=True)
class Law:
    """Latents that are points, what each stands for, and how probable it is."""

    points: Tensor
    content: Tensor
    law: Tensor

    def batch(self, rows: int, draws: torch.Generator) -> LatentBatch:
        chosen = torch.multinomial(self.law, rows, replacement=True, generator=draws)
        mask = torch.ones(rows, 1, dtype=torch.bool)
        return LatentBatch(
            self.points[chosen][:, None], mask, content=self.content[chosen][:, None]
        )

    def posterior(self, z: Tensor, time: float) -> Tensor:
        """p(point | z_t) of z (rows, dim), by Bayes' rule."""
        distance = (z[:, None] - (1 - time) * self.points).square().sum(-1)
        return torch.softmax(self.law.log() - distance / (2 * time**2), -1)

    def marginals(self, posterior: Tensor) -> Tensor:
        """(rows, slots, symbols) what each slot holds."""
        kinds = nn.functional.one_hot(self.content).to(posterior)
        return torch.einsum("rp,psk->rsk", posterior, kinds)


def trained(law: Law, symbols: int, steps: int) -> Any:
    """A prior that has learned such latents through a readout."""
    prior = small_prior(
        "flow_matching",
        2,
        prediction="x0",
        schedule={"distribution": "uniform"},
        history_dropout=0,
    )
    slots = TokenSlots(symbols, law.content.shape[1], 2, 8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        prior.take(CategoricalReadout(ReadoutConfig(weight=1.0), slots, 64), None)
    draws, optimizer = generator(3), torch.optim.Adam(prior.parameters(), 3e-3)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / steps)
        optimizer.zero_grad()
        (total(prior.losses(law.batch(256, draws), Noise(0, step))) / 256).backward()
        optimizer.step()
    return prior


def test_the_readout_recovers_the_posterior_mean_of_a_linear_encoder() -> None:
    law = Law(*_pairs(0))
    prior = trained(law, SYMBOLS, 500)
    draws, rows = generator(4), 1500
    field = prior.field(prior.begin(rows))
    for time in (0.4, 0.6, 0.8):
        test = law.batch(rows, draws)
        z = (1 - time) * test.values + time * torch.randn(rows, 1, 2, generator=draws)
        with torch.no_grad():
            clean = z - time * field(torch.tensor(time), z)
            lifted = prior.lift(z, torch.ones(rows, dtype=torch.bool))
            said = prior.head.said(prior.network(lifted, torch.full((1, 1, 1), time)))
            said = prior.head.logits(said).softmax(-1)[:, 0, :, :-1]
        p = law.posterior(z[:, 0], time)
        # Of latents of variance 1; the best linear guess misses by 0.2 to 0.4.
        assert (clean[:, 0] - p @ law.points).square().mean().sqrt() < 0.12
        assert (said - law.marginals(p)).abs().mean() < 0.05


def test_losses_by_noise_level_on_a_circle_agree_with_quadrature() -> None:
    """The error is the posterior's variance, and what the text costs, its entropy."""
    count, rows = 8, 3000
    law = Law(*_circle(count))
    prior = trained(law, count + 1, 500)
    test = law.batch(rows, generator(4))
    levels = prior.loss_by_noise(test, (-1.0, 0.0, 1.0, 2.0), Noise(9))
    noise = prior.draw_path(test, Noise(9), 1).noise[:, 0, 0]
    for level in levels:
        time = 1 / (1 + math.exp(-level.logit_time))
        p = law.posterior((1 - time) * test.values[:, 0] + time * noise, time)
        expected = (p @ law.points - test.values[:, 0]).square().mean()
        entropy = -p.clamp(min=1e-30).log().mul(p).sum(-1).mean()
        assert level.error.mean() == pytest.approx(float(expected), abs=0.02)
        # Its mean over the posterior against the surprise at what these very draws are.
        assert level.content is not None
        assert level.content.mean() == pytest.approx(float(entropy), abs=0.06)


@pytest.mark.parametrize("perturbed", [True, False])
def test_self_conditioning_changes_nothing_at_first(perturbed: bool) -> None:
    """What lifts an estimate is zero-initialised: losses and samples are as without."""
    settings = {"share": 0.5, "perturbed": perturbed}
    values = latents(double=False)
    found = []
    for options in ({}, {"self_conditioning": settings}):
        prior = small_prior("flow_matching", DIM, BLOCK, **options)
        with torch.no_grad():
            for name, parameter in prior.named_parameters():
                if "recall" not in name:
                    noise = torch.randn(parameter.shape, generator=generator(len(name)))
                    parameter.add_(0.1 * noise)
        term = prior.losses(batch(values), Noise(1))["flow"].total
        with torch.no_grad():
            found.append((term, prior.sample_block(prior.begin(ROWS), keys(), OPTIONS)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_self_conditioning_learns_and_is_a_field_for_densities() -> None:
    """A density sees one estimate at each point, whatever was asked before."""
    settings = {"share": 0.5, "guidance": 1.5}
    few = {"divergence": "exact", "likelihood_steps": 2}
    prior = shaken("flow_matching", self_conditioning=settings, **few)
    data = batch(latents())
    total(prior.losses(data, Noise(0))).backward()
    assert prior.recall.linear.weight.grad.abs().sum() > 0
    assert torch.equal(prior.log_prob(data), prior.log_prob(data))
    alone = LatentBatch(data.values[1:2], data.mask[1:2])
    torch.testing.assert_close(prior.log_prob(data)[1:2], prior.log_prob(alone))
    assert prior.network_evaluations(replace(OPTIONS, guidance=1.0)) == 2 * OPTIONS.steps - 1


def test_drawn_estimates_belong_to_their_row_and_end_at_a_mean() -> None:
    prior, values = offered("flow_matching"), latents()
    options = replace(OPTIONS, estimate="draw", renoise=0.3, grid="power(0.5)")
    with torch.no_grad():
        state = prior.commit_told(prior.begin(ROWS), values, told(values))
        many = prior.sample_block(state, keys(), options)
        alone = prior.commit_told(prior.begin(1), values[2:3], told(values)[2:3])
        one = prior.sample_block(alone, keys([2]), options)
        torch.testing.assert_close(one, many[2:3], atol=1e-10, rtol=0)
        # With one step there is nothing to draw: the mean at pure noise.
        single, plain = (replace(o, steps=1) for o in (options, OPTIONS))
        torch.testing.assert_close(
            prior.sample_block(state, keys(), single), prior.sample_block(state, keys(), plain)
        )


def test_the_mean_on_an_even_grid_is_eulers_way() -> None:
    """Fresh noise of share 1e-9 changes nothing, but takes the other way through the code."""
    prior, values = offered("flow_matching", prediction="x0"), latents()
    with torch.no_grad():
        state = prior.commit_told(prior.begin(ROWS), values, told(values))
        flow = prior.sample_block(state, keys(), OPTIONS)
        other = prior.sample_block(state, keys(), replace(OPTIONS, renoise=1e-9))
    torch.testing.assert_close(flow, other, atol=1e-6, rtol=0)


def test_grids_begin_at_noise_and_end_at_the_data() -> None:
    assert grid_times("uniform", 4) == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert grid_times("power(0.5)", 4) == pytest.approx([1, 0.5, 1 - 0.5**0.5, 1 - 0.75**0.5, 0])


def test_fresh_noise_and_other_times_need_no_readout() -> None:
    """And take Euler's steps, whatever the solver."""
    prior, values = shaken("flow_matching", solver="heun"), latents()
    options = replace(OPTIONS, renoise=0.5, grid="power(0.5)")
    with torch.no_grad():
        state = prior.commit(prior.begin(ROWS), values)
        found = prior.sample_block(state, keys(), options)
    assert bool(torch.isfinite(found).all())
    assert prior.network_evaluations(options) == 2 * OPTIONS.steps
    assert prior.network_evaluations(OPTIONS) > 2 * OPTIONS.steps


def test_a_linear_readout_draws_nothing() -> None:
    prior = small_prior("flow_matching", DIM, BLOCK)
    with pytest.raises(UserError, match="a linear readout says nothing of the text"):
        prior.sample_block(prior.begin(ROWS), keys(), replace(OPTIONS, estimate="draw"))


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
