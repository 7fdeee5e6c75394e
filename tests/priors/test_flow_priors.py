"""What every flow-type prior must show: invariances, causality, guidance, gradients."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest
import torch
from random_priors import (
    BLOCK,
    BLOCKS,
    DIM,
    OPTIONS,
    PRIORS,
    ROWS,
    batch,
    keys,
    known,
    latents,
    prefix,
    shaken,
    smooth,
    total,
    unconditional,
)
from toys import small_prior

import colaflex
from colaflex.interfaces.noise import Noise, SampleNoise
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.prior import Known
from colaflex.interfaces.values import LatentBatch
from colaflex.priors.path import Masks, Path, draw_times

# Sampling.


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize(("double", "tolerance"), [(True, 1e-9), (False, 1e-5)])
@torch.no_grad()
def test_a_row_does_not_depend_on_its_batch(name: str, double: bool, tolerance: float) -> None:
    prior, values = shaken(name, double), latents(double=double)
    lengths, given = [2, 0, 3, 1, 2], [1, 0, 0, 3, 2]
    pins = known(latents(seed=3, double=double), given)
    together = prior.sample_block(prefix(prior, values, lengths), keys(), OPTIONS, pins)
    again = prior.sample_block(prefix(prior, values, lengths), keys(), OPTIONS, pins)
    assert torch.equal(together, again)
    order = [3, 1, 0]
    chosen = torch.tensor(order)
    some = prior.sample_block(
        prior.select(prefix(prior, values, lengths), chosen),
        keys().select(order),
        OPTIONS,
        Known(pins.values[chosen], pins.mask[chosen]),
    )
    torch.testing.assert_close(some, together[chosen], atol=tolerance, rtol=tolerance)
    for row in range(ROWS):
        own = values[row : row + 1, : lengths[row] * BLOCK]
        alone = prior.sample_block(
            prior.commit(prior.begin(1), own),
            keys([row]),
            OPTIONS,
            Known(pins.values[row : row + 1], pins.mask[row : row + 1]) if given[row] else None,
        )
        torch.testing.assert_close(alone[0], together[row], atol=tolerance, rtol=tolerance)


@torch.no_grad()
def test_equal_keys_give_equal_samples_and_others_differ() -> None:
    prior = shaken()
    noise = SampleNoise(("a", "b", "a"))
    drawn = prior.sample_block(prior.begin(3), noise, OPTIONS)
    assert torch.equal(drawn[0], drawn[2]) and not torch.allclose(drawn[0], drawn[1])
    assert torch.equal(prior.sample(3, 2, OPTIONS, seed=5), prior.sample(3, 2, OPTIONS, seed=5))
    few, many = (prior.sample(rows, 2, OPTIONS, seed=5) for rows in (2, 4))
    torch.testing.assert_close(few, many[:2], atol=1e-9, rtol=0)
    assert not torch.allclose(few, prior.sample(2, 2, OPTIONS, seed=6))
    assert few.shape == (2, 2 * BLOCK, DIM) and not prior.sample(1, 1).requires_grad


@torch.no_grad()
def test_known_positions_stay_and_are_heard() -> None:
    prior, values = shaken(), latents(seed=3)
    counts = [0, 1, 2, 3, 4]
    pins = known(values, counts)
    state = prefix(prior, latents(), [1] * ROWS)
    drawn = prior.sample_block(state, keys(), OPTIONS, pins)
    assert torch.equal(drawn[pins.mask], values[:, :BLOCK][pins.mask])
    plain = prior.sample_block(state, keys(), OPTIONS)
    torch.testing.assert_close(drawn[0], plain[0], atol=1e-9, rtol=0)
    other = prior.sample_block(state, keys(), OPTIONS, known(values + 1, counts))
    for row, count in enumerate(counts[1:-1], 1):
        assert (drawn[row, count:] - other[row, count:]).abs().min() > 1e-4
    arbitrary = Known(torch.where(pins.mask[..., None], pins.values, 99.0), pins.mask)
    assert torch.equal(drawn, prior.sample_block(state, keys(), OPTIONS, arbitrary))


@torch.no_grad()
def test_the_first_block_of_a_document_is_not_the_unconditional_one() -> None:
    prior, points = shaken(), latents(seed=4)[:, :BLOCK]
    time = torch.tensor(0.6)
    first = prior.field(prior.begin(ROWS))(time, points)
    assert not torch.allclose(first, prior.field(unconditional(prior, ROWS))(time, points))


@torch.no_grad()
def test_guidance_is_linear_off_at_one_and_off_without_a_history() -> None:
    prior, points = shaken(), latents(seed=4)[:, :BLOCK]
    state, time = prefix(prior, latents(), [1, 2, 3, 1, 2]), torch.tensor(0.6)
    conditional, free = (
        prior.field(state)(time, points),
        prior.field(unconditional(prior, ROWS))(time, points),
    )
    assert not torch.allclose(conditional, free)
    guided = prior.field(state, 2.5)(time, points)
    torch.testing.assert_close(guided, 2.5 * conditional - 1.5 * free, atol=1e-9, rtol=0)
    torch.testing.assert_close(prior.field(state, 0.0)(time, points), free, atol=1e-9, rtol=0)
    plain, off = (
        prior.sample_block(prior.begin(ROWS), keys(), SamplingOptions(3, guidance))
        for guidance in (1.0, 4.0)
    )
    assert torch.equal(plain, off)
    # Also where other rows of the batch have one, to rounding.
    mixed = prefix(prior, latents(), [0, 2, 3, 0, 1])
    strong = prior.sample_block(mixed, keys(), SamplingOptions(3, 4.0))
    torch.testing.assert_close(strong[[0, 3]], plain[[0, 3]], atol=1e-9, rtol=0)
    assert not torch.allclose(strong[1], plain[1])


SOLVERS = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4, "dopri5": None}


@pytest.mark.parametrize("prediction", ["velocity", "x0"])
@pytest.mark.parametrize("solver", SOLVERS)
@torch.no_grad()
def test_every_solver_samples_with_the_declared_evaluations(solver: str, prediction: Any) -> None:
    prior = smooth(shaken(solver=solver, prediction=prediction))
    calls = []
    hook = prior.network.register_forward_hook(lambda *_: calls.append(1))
    drawn = prior.sample_block(prefix(prior, latents(), [1] * ROWS), keys(), OPTIONS)
    hook.remove()
    assert drawn.isfinite().all()
    stages = SOLVERS[solver]
    if stages is None:
        assert prior.network_evaluations(OPTIONS) is None
        return
    assert prior.network_evaluations(OPTIONS) == 3 * stages * 2
    assert prior.network_evaluations(SamplingOptions(3)) == 3 * stages
    # With x0 prediction, what would be asked at t = 0 is not evaluated.
    saved = 2 if prediction == "x0" and solver in ("heun", "rk4") else 0
    assert len(calls) == 3 * stages * 2 - saved


@torch.no_grad()
def test_adaptive_solvers_agree_within_their_tolerance() -> None:
    fine = {"type": "dopri5", "rtol": 1e-7, "atol": 1e-7}
    prior, exact = smooth(shaken(solver=fine)), smooth(shaken(solver="rk4"))
    state, reference = prefix(prior, latents(), [1] * ROWS), prefix(exact, latents(), [1] * ROWS)
    together = prior.sample_block(state, keys(), SamplingOptions())
    alone = prior.sample_block(prior.select(state, torch.tensor([2])), keys([2]), SamplingOptions())
    torch.testing.assert_close(alone[0], together[2], atol=1e-5, rtol=0)
    found = exact.sample_block(reference, keys(), SamplingOptions(64))
    torch.testing.assert_close(found, together, atol=1e-5, rtol=0)


@torch.no_grad()
def test_an_untrained_prior_leaves_the_noise_standard_normal() -> None:
    prior = small_prior("flow_matching", DIM, BLOCK)
    drawn = prior.sample(2000, 1, SamplingOptions(2))
    assert abs(drawn.mean()) < 5 / drawn.numel() ** 0.5
    assert abs(drawn.var() - 1) < 5 * (2 / drawn.numel()) ** 0.5
    at_zero = small_prior("flow_matching", DIM, BLOCK, prediction="x0").sample(3, 1)
    torch.testing.assert_close(at_zero, torch.zeros_like(at_zero), atol=1e-5, rtol=0)


# Training.


@pytest.mark.parametrize("training", [True, False])
def test_blocks_are_blind_to_later_ones(training: bool) -> None:
    prior, values = shaken(noisings=2, history_dropout=0.3), latents()
    prior.requires_grad_(training)  # attention differs where gradients flow
    path = prior.draw_path(batch(values), Noise(0), 2)
    assert path.masks.blind.any() and not path.masks.blind.all()
    history = prior.blocks(values)
    before = prior.denoiser.predictor(prior.denoiser.past(history), path.masks)(
        path.point(), path.times[..., None]
    )
    for block in range(1, BLOCKS):
        changed, points = history.clone(), path.point()
        changed[:, block:] += 1.0
        points[:, block:] -= 1.0
        after = prior.denoiser.predictor(prior.denoiser.past(changed), path.masks)(
            points, path.times[..., None]
        )
        assert torch.equal(before[:, :block], after[:, :block])
        assert not torch.allclose(before[:, block], after[:, block])


def test_what_is_not_learned_before_what_is_counts_as_given() -> None:
    prior, values = shaken(pinned_blocks=0.0), latents()
    mask = torch.ones(values.shape[:2], dtype=torch.bool)
    mask[0, :2] = False  # a prompt that ends within the first block
    mask[1, -1] = False  # nothing is learned behind
    path = prior.draw_path(LatentBatch(values, mask), Noise(0), 2)
    expected = torch.zeros_like(prior.blocks(mask))
    expected[0, 0, :2] = True
    assert torch.equal(path.masks.pinned, expected.repeat(2, 1, 1))
    assert torch.equal(path.masks.counted, prior.blocks(mask).repeat(2, 1, 1))
    assert torch.equal(path.point()[0, 0, :2], values[0, :2])


@torch.no_grad()
def test_training_sees_what_sampling_sees() -> None:
    prior, values = shaken(pinned_blocks=0.6, history_dropout=0.4), latents()
    path = prior.draw_path(batch(values), Noise(0), 1)
    assert path.masks.pinned.any() and path.masks.blind.any()
    points = path.point()
    predict = prior.denoiser.predictor(prior.denoiser.past(prior.blocks(values)), path.masks)
    together = predict(points, path.times[..., None])
    for row in range(ROWS):
        for block in range(BLOCKS):
            state = unconditional(prior, 1) if path.masks.blind[row] else prior.begin(1)
            if block and not path.masks.blind[row]:
                state = prior.commit(state, values[row : row + 1, : block * BLOCK])
            pinned = path.masks.pinned[row : row + 1, block]
            field = prior.field(state, pinned=pinned if pinned.any() else None)
            velocity = field(path.times[row, block], points[row : row + 1, block])[0]
            expected = torch.where(pinned[0, :, None], 0.0, together[row, block])
            torch.testing.assert_close(velocity, expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", PRIORS)
def test_losses_add_up_however_the_rows_are_split(name: str) -> None:
    prior = shaken(name, noisings=3, history_dropout=0.3, pinned_blocks=1.0)
    whole = batch(latents(), [3, 1, 2, 0, 3])
    expected = prior.losses(whole, Noise(4, 2, "x", 0, ROWS))
    for cut in (1, 2, 4):
        parts = [
            prior.losses(LatentBatch(whole.values[a:b], whole.mask[a:b]), Noise(4, 2, "x", a, ROWS))
            for a, b in ((0, cut), (cut, ROWS))
        ]
        for term, found in expected.items():
            assert found.per == "latents"
            joined = sum(part[term].total for part in parts)
            torch.testing.assert_close(joined, found.total, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", PRIORS)
def test_what_lies_behind_a_rows_end_never_matters(name: str) -> None:
    prior, values = shaken(name, noisings=2), latents()
    counts = [3, 1, 2, 0, 3]
    before = prior.losses(batch(values, counts), Noise(1))
    mask = batch(values, counts).mask
    after = prior.losses(batch(torch.where(mask[..., None], values, 50.0), counts), Noise(1))
    for term in before:
        torch.testing.assert_close(before[term].total, after[term].total, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("pinned", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("prediction", ["velocity", "x0"])
def test_the_loss_of_an_untrained_prior_is_known(pinned: float, prediction: Any) -> None:
    prior = small_prior(
        "flow_matching", DIM, BLOCK, pinned_blocks=pinned, prediction=prediction, noisings=2
    )
    values = 0.5 * latents(400, double=False)
    losses = [prior.losses(batch(values), Noise(0, step))["flow"].total for step in range(4)]
    loss = sum(losses) / 4 / values[..., 0].numel()
    # Nothing is predicted, so that E (eps - z0)^2 or E z0^2 is left, whatever is pinned.
    expected = values.square().mean() + (prediction == "velocity")
    assert loss.item() == pytest.approx(expected.item(), rel=0.03)


def test_paths_are_drawn_as_configured() -> None:
    schedule = {"loc": -0.4, "scale": 1.5}
    options = {"schedule": schedule, "history_dropout": 0.25, "pinned_blocks": 0.5}
    prior = small_prior("flow_matching", DIM, BLOCK, **options)
    paths = [prior.draw_path(batch(latents(400)), Noise(0, step), 2) for step in range(12)]
    data, noise, times = (
        torch.cat([getattr(p, name) for p in paths]) for name in ("data", "noise", "times")
    )
    masks = Masks(*(torch.cat([getattr(p.masks, f.name) for p in paths]) for f in fields(Masks)))
    path = Path(data, noise, times, masks)
    n = path.times.numel()
    logit = path.times.logit()
    assert abs(logit.mean() + 0.4) < 5 * 1.5 / n**0.5
    assert abs(logit.std() - 1.5) < 5 * 1.5 / (2 * n) ** 0.5
    assert abs(path.masks.blind.float().mean() - 0.25) < 5 * 0.43 / len(path.masks.blind) ** 0.5
    # All in some of the steps: half of these twelve, more or less (a binomial deviation is 1.7).
    steps = torch.stack([p.masks.pinned.any() for p in paths])
    assert 2 <= steps.sum() <= 10
    prefixes = torch.cat([p.masks.pinned for p in paths if p.masks.pinned.any()]).sum(-1).flatten()
    for length in range(BLOCK):
        assert abs((prefixes == length).float().mean() - 0.25) < 5 * 0.43 / len(prefixes) ** 0.5
    # Prefixes, without holes.
    assert torch.equal(masks.pinned, masks.pinned.cummin(-1).values)
    assert not (path.masks.counted & path.masks.pinned).any()
    point, t = path.point(), path.times[..., None, None]
    free = ~path.masks.pinned[..., None].expand_as(point)
    torch.testing.assert_close(point[free], ((1 - t) * path.data + t * path.noise)[free])
    assert torch.equal(point[~free], path.data[~free])
    uniform = small_prior("flow_matching", DIM, schedule={"distribution": "uniform"})
    times = draw_times(uniform.schedule, Noise(1), 1, torch.zeros(4000, 1, 1, DIM))
    assert abs(times.mean() - 0.5) < 5 / (12 * 4000) ** 0.5 and 0 <= times.min() < 0.01


def test_the_history_carries_no_gradient() -> None:
    prior, values = shaken(pinned_blocks=0.0), latents().requires_grad_()
    mask = torch.zeros(ROWS, BLOCKS * BLOCK, dtype=torch.bool)
    mask[:, BLOCK : 2 * BLOCK] = True
    total(prior.losses(LatentBatch(values, mask), Noise(0))).backward()
    touched = values.grad.abs().sum((0, 2)).view(BLOCKS, BLOCK).sum(1)
    assert touched[0] == touched[2] == 0 and touched[1] > 0


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize("blocks", [1, BLOCKS])
def test_after_three_steps_every_gradient_is_alive(name: str, blocks: int) -> None:
    prior = small_prior(name, DIM, BLOCK)
    data = batch(latents(16, blocks, double=False))
    for phase in prior.phases():
        phase.start()
        optimizer = torch.optim.Adam(phase.parameters, lr=1e-3)
        learning = set(map(id, phase.parameters))
        for step in range(4):
            optimizer.zero_grad()
            total(phase.losses(data, Noise(0, step, phase.name))).backward()
            if step < 3:
                optimizer.step()
        for parameter_name, parameter in prior.named_parameters():
            if id(parameter) in learning:
                assert parameter.grad.isfinite().all(), parameter_name
                assert parameter.grad.abs().max() > 0, parameter_name
            else:
                assert parameter.grad is None and parameter_name.startswith("teacher.")


@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_is_built_from_one_word(name: str) -> None:
    prior = colaflex.build("prior", name, latent_dim=16)
    assert (prior.latent_dim, prior.block_size) == (16, 16)
    assert prior.sample(1, 1, SamplingOptions(1)).shape == (1, 16, 16)
    assert prior.config.capabilities().needs_teacher is (name == "rectified_flow")
    latents = LatentBatch(torch.zeros(1, 16, 16), torch.ones(1, 16, dtype=torch.bool))
    if prior.config.capabilities().likelihood == "none":
        with pytest.raises(NotImplementedError, match="declares no likelihood"):
            prior.log_prob(latents)
    else:
        # Untrained, the velocity is zero: the density is that of the noise.
        expected = -0.5 * 16 * 16 * math.log(2 * math.pi)
        assert float(prior.log_prob(latents)) == pytest.approx(expected, rel=1e-5)
