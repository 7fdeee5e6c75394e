"""The latent model in training: stages, what learns from what, and the border."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_models import DIM, rows, small_model, step_noise
from torch import Tensor

from colaflex.interfaces.noise import Noise
from colaflex.interfaces.stage import Stage, StageStep
from colaflex.interfaces.values import Posterior, TokenBatch
from colaflex.latent.language_model import LatentLanguageModel
from colaflex.latent.whole_blocks import learned_segments
from colaflex.spec.training import GradientGate, Interval, Training, Weights

LENGTHS = [9, 4, 1, 12, 7]
FEW = rows([6, 4, 3] * 2)


def gate_at(opening: float) -> GradientGate:
    """A gate that stands still."""
    return GradientGate(start=opening, shape="constant")


def stage_of(model: LatentLanguageModel, name: str) -> Stage:
    return next(stage for stage in model.stages() if stage.name == name)


def prepared(stage: Stage, batch: TokenBatch, index: int = 0, total: int = 10) -> Any:
    step = StageStep(index, total, step_noise(batch, index))
    return stage.prepare(batch, step), step


def losses(
    model: LatentLanguageModel, name: str, index: int = 0, batch: TokenBatch | None = None
) -> Any:
    stage = stage_of(model, name)
    return stage.losses(*prepared(stage, batch or rows(LENGTHS), index))


def objective(terms: Any) -> Tensor:
    return sum((t.weight * t.total for t in terms.values()), torch.zeros(()))


def gradients(model: LatentLanguageModel, value: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    value.backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def test_counts_are_those_of_the_completed_rows() -> None:
    model = small_model()
    stage = stage_of(model, "prior")
    batch, _ = prepared(stage, rows(LENGTHS))
    counts = stage.counts(batch)
    assert counts["rows"] == len(LENGTHS)
    assert counts["tokens"] == int(batch.mask.sum())
    assert counts["latents"] == int(learned_segments(batch, model.segment(batch)).sum())
    nothing, _ = prepared(stage, rows([2, 1], complete=False))
    assert dict(stage.counts(nothing)) == {"tokens": 0, "latents": 0, "rows": 2}
    assert all(t.total.item() == 0 for t in losses(model, "prior", batch=rows([2], False)).values())


# Stages.

REGIMES: tuple[Any, ...] = ("joint", "frozen", "interval", "scratch")


def test_an_interval_costs_what_lies_between_resting_and_learning() -> None:
    cost = {}
    for regime in REGIMES:
        model = small_model(
            Training(regime=regime, interval=Interval(joint_steps=1, frozen_steps=3))
        )
        stage = stage_of(model, "prior")
        cost[regime] = stage.flops(prepared(stage, rows(LENGTHS))[0])
    assert cost["scratch"] == cost["joint"]
    between = 0.25 * cost["joint"] + 0.75 * cost["frozen"]
    assert cost["interval"] == pytest.approx(between, abs=1)


@pytest.mark.parametrize("prior", ["flow_matching", "rectified_flow"])
@pytest.mark.parametrize("regime", REGIMES)
def test_a_regime_says_what_learns(regime: Any, prior: str) -> None:
    plan = Training(
        regime=regime,
        representation_lr_ratio=0.5,
        interval=Interval(joint_steps=2, frozen_steps=3),
        teacher_fraction=0.4,
    )
    model = small_model(plan, prior)
    stages = list(model.stages())
    first = [] if regime == "scratch" else ["representation"]
    phases = ["prior"] if prior == "flow_matching" else ["teacher", "prior"]
    assert [stage.name for stage in stages] == first + phases
    if prior == "rectified_flow":
        assert [stage.share for stage in stages[-2:]] == pytest.approx([0.4, 0.6])
    batch = rows(LENGTHS)
    for stage in stages:
        groups = {group.name: group for group in stage.groups}
        # While a teacher teaches, the latents that it knows stay what they are.
        student = prior == "rectified_flow" and stage.name == "prior"
        learns = {
            "representation": {"representation"},
            "frozen": {"prior"},
        }.get(
            stage.name if stage.name == "representation" else "frozen" if student else regime,
            {"prior", "representation"},
        )
        assert set(groups) == learns
        if stage.name != "representation" and "representation" in groups:
            assert groups["representation"].lr_ratio == 0.5
        stage.start()
        for index in range(6):
            complete, step = prepared(stage, batch, index)
            terms = stage.losses(complete, step)
            assert all(t.total.isfinite() for t in terms.values())
            found = {name.split(".")[0] for name in gradients(model, objective(terms))}
            resting = regime == "interval" and index % 5 >= 2
            expected = {"prior"} if resting and stage.name != "representation" else learns
            assert found == expected, (stage.name, index)
        assert stage.flops(complete) > 0
        stage.finish(iter([complete]))


@pytest.mark.parametrize("regime", REGIMES)
def test_losses_add_up_however_the_rows_are_split(regime: Any) -> None:
    model = small_model(Training(regime=regime, weights=Weights(reference_kl=0.1))).double()
    batch, total = rows(LENGTHS), len(LENGTHS)
    with torch.no_grad():
        for parameter in model.representation.parameters():
            parameter.add_(0.01)  # away from the reference
    for stage in model.stages():
        whole, step = prepared(stage, batch, 3)
        expected = stage.losses(whole, step)
        for cut in (1, 3):
            parts = []
            for part in (slice(0, cut), slice(cut, total)):
                noise = Noise(0, 3, "test", part.start, total)
                own = StageStep(3, 10, noise)
                parts.append(stage.losses(stage.prepare(batch.rows(part), own), own))
            for name, term in expected.items():
                joined = sum(p[name].total for p in parts)
                torch.testing.assert_close(joined, term.total, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("gate", [0.0, 0.25, 1.0])
def test_as_far_as_the_gate_opens_the_rate_becomes_the_entropy(gate: float) -> None:
    plan = Training(weights=Weights(representation=2.0, prior=3.0), gradient_gate=gate_at(gate))
    model = small_model(plan, rate_weight=0.5, mask_weight=0.25)
    model.shift.normal_(generator=torch.Generator().manual_seed(0))
    model.scale.copy_(torch.linspace(0.5, 2, DIM))
    first, second = losses(model, "representation"), losses(model, "prior")
    assert {n: t.weight for n, t in first.items() if t.weight} == {
        "realisation": 1.0,
        "rate": 0.5,
        "masked": 0.25,
    }
    split = {"rate": 1.0 - gate, "negative_entropy": gate}
    assert {n: t.weight for n, t in second.items() if t.weight} == {
        "realisation": 2.0,
        "masked": 0.5,
        "flow": 3.0,
        **{name: weight for name, weight in split.items() if weight},
    }
    batch, _ = prepared(stage_of(model, "prior"), rows(LENGTHS))
    posterior, mask = model.encode(batch)[1], model.segment(batch).mask
    assert posterior.log_variance is not None
    mean, deviation = posterior.mean[mask], (0.5 * posterior.log_variance[mask]).exp()
    encoder = torch.distributions.Normal(mean, deviation)
    base = torch.distributions.Normal(model.shift, 1 / model.scale)
    expected = torch.distributions.kl_divergence(encoder, base).sum()
    torch.testing.assert_close(second["rate"].total, expected, rtol=1e-5, atol=1e-4)
    if gate:
        entropy = encoder.entropy().sum()
        torch.testing.assert_close(second["negative_entropy"].total, -entropy)
    square = model.normalised(mean).square().mean(-1).sum()
    torch.testing.assert_close(second["latent_mean_square"].total, square)
    noise = (deviation * model.scale).square().mean(-1).sum()
    torch.testing.assert_close(second["latent_noise"].total, noise)


@pytest.mark.parametrize("bits", [0.0, 0.5])
def test_the_base_of_stage_two_holds_the_scale_where_it_was_fitted(bits: float) -> None:
    """The derivative of E KL(q || base) by the scale of all latents: d (E z'^2 - 1) a latent."""
    model = small_model(free_bits=bits)
    stage, batch = stage_of(model, "prior"), rows([14, 20, 9, 17] * 6)
    whole, _ = prepared(stage, batch)
    segmentation = model.segment(whole)
    with torch.no_grad():
        posterior = model.encode(whole)[1]
    assert posterior.log_variance is not None
    mask, variance = segmentation.mask, posterior.log_variance.exp()
    mean = posterior.mean[mask].mean(0)
    second = (posterior.mean.square() + variance)[mask].mean(0)
    model.shift.copy_(mean)
    model.scale.copy_((second - mean.square()).rsqrt())
    grown = torch.ones((), requires_grad=True)
    around = model.shift + grown * (posterior.mean - model.shift)
    scaled = Posterior(around, posterior.log_variance + 2 * grown.log())
    rate = model.representation.rate(scaled.normalised(model.shift, model.scale))[mask].sum()
    (slope,) = torch.autograd.grad(rate, grown, retain_graph=True)
    count = int(mask.sum())
    if not bits:  # what free bits leave out, nothing holds nor moves
        assert slope.abs() < 1e-3 * count
    entropy = Posterior(around, scaled.log_variance).entropy()[mask].sum()
    (growth,) = torch.autograd.grad(entropy, grown)
    assert growth.item() == pytest.approx(count * DIM, rel=1e-5)  # alone, it knows no end


def trained(model: LatentLanguageModel, name: str, steps: int, rate: float) -> None:
    """A stage from its start to its end, on the same few rows."""
    stage, batch = stage_of(model, name), FEW
    learned = [{"params": list(g.parameters), "lr": rate * g.lr_ratio} for g in stage.groups]
    optimizer = torch.optim.AdamW(learned, betas=(0.9, 0.95), weight_decay=0.01)
    stage.start()
    for index in range(steps):
        whole, step = prepared(stage, batch, index, steps)
        counts = stage.counts(whole)
        terms = stage.losses(whole, step)
        loss = sum(t.weight * t.total / counts[t.per] for t in terms.values() if t.weight)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[union-attr]
        optimizer.step()
    stage.finish(prepared(stage, batch, index)[0] for index in range(8))


def mean_square(model: LatentLanguageModel) -> float:
    batch, _ = prepared(stage_of(model, "prior"), FEW)
    posterior, mask = model.encode(batch)[1], model.segment(batch).mask
    return posterior.mean[mask].square().mean().item()


def test_the_default_regime_keeps_the_latents_scale() -> None:
    # So large a weight shows in 60 steps what 1e-3 shows in thousands: entropy alone makes it 2.9.
    model = small_model(Training(), rate_weight=0.05)
    trained(model, "representation", 120, 5e-3)
    before = mean_square(model)
    trained(model, "prior", 60, 2e-3)
    assert mean_square(model) == pytest.approx(before, rel=0.2)


OPEN = ("flow_matching", "shortcut", "mean_flow", "consistency", "hybrid", "cnf")


@pytest.mark.parametrize("prior", OPEN)
def test_the_gate_lets_exactly_its_share_of_the_priors_gradient_through(prior: str) -> None:
    found = {}
    term = {"cnf": "nll", "consistency": "consistency"}.get(prior, "flow")
    for opening in (0.0, 0.25, 1.0):
        model = small_model(Training(gradient_gate=gate_at(opening)), prior=prior)
        terms = losses(model, "prior")
        found[opening] = terms[term].total.item(), gradients(model, terms[term].total)
    values = [value for value, _ in found.values()]
    assert values[0] == values[1] == values[2]  # the gate changes no value
    closed, ajar, opened = (grads for _, grads in found.values())
    encoder = {name for name in opened if name.startswith("representation.")}
    assert {n.split(".")[1] for n in encoder} == {"embedding", "join", "encoder", "posterior"}
    assert not encoder & set(closed)
    for name, gradient in opened.items():
        expected = 0.25 * gradient if name in encoder else gradient
        torch.testing.assert_close(ajar[name], expected, atol=1e-7, rtol=1e-4)
    assert all(opened[name].abs().max() > 0 for name in encoder)


def test_the_reference_is_the_encoder_at_the_end_of_stage_one() -> None:
    model = small_model(Training(weights=Weights(reference_kl=0.3)), prior="cnf")
    with torch.no_grad():
        model.representation.posterior.bias.add_(0.5)  # what stage 1 has learned
    assert losses(model, "warm_start")["reference_kl"].total > 0
    stage_of(model, "warm_start").start()
    term = losses(model, "warm_start")["reference_kl"]
    assert (term.weight, term.per) == (0.3, "latents")
    assert term.total.item() == pytest.approx(0.0, abs=1e-4)  # to fp32's rounding
    with torch.no_grad():
        model.representation.posterior.bias.add_(0.5)
    moved = losses(model, "warm_start")["reference_kl"]
    assert moved.total > 0
    found = gradients(model, moved.total)
    assert found and all(name.startswith("representation.") for name in found)
    stage_of(model, "prior").start()  # a later phase keeps the reference
    assert losses(model, "prior")["reference_kl"].total > 0
    assert "reference_kl" not in losses(small_model(), "prior")


# The border.


@pytest.mark.parametrize("log_snr", ["learned", 1.0])
def test_sampled_latents_cross_the_border_with_mean_zero_and_variance_one(log_snr: Any) -> None:
    model = small_model(log_snr=log_snr)
    stage = stage_of(model, "representation")
    data = [prepared(stage, rows([14, 20, 9, 17] * 20), i)[0] for i in range(4)]
    stage.finish(iter(data))
    drawn = []
    for index, batch in enumerate(data):
        with torch.no_grad():
            latents, posterior = model.encode(batch)
        noise = Noise(99, index).normal("z", posterior.mean.shape, posterior.mean)
        drawn.append(model.normalised(posterior.sample(noise))[latents.mask])
        torch.testing.assert_close(latents.values, model.normalised(posterior.mean))
    joined = torch.cat(drawn)
    tolerance = 6 / len(joined) ** 0.5
    assert joined.mean(0).abs().max() < tolerance
    assert (joined.var(0) - 1).abs().max() < 2 * tolerance
    raw = torch.randn(3, 2, DIM)
    torch.testing.assert_close(model.raw(model.normalised(raw)), raw, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.normalised(model.raw(raw)), raw, atol=1e-5, rtol=1e-5)


def test_a_stage_without_steps_leaves_the_border() -> None:
    model = small_model()
    model.scale.fill_(2.0)
    stage_of(model, "representation").finish(iter([]))
    assert torch.equal(model.scale, torch.full((DIM,), 2.0))
    assert torch.equal(model.shift, torch.zeros(DIM))


def test_from_scratch_the_border_follows_the_encoder() -> None:
    model = small_model(Training(regime="scratch"))
    stage = stage_of(model, "prior")
    data = [prepared(stage, rows([14, 20, 9, 17] * 20), i)[0] for i in range(4)]
    assert stage.refits and all(0 < share < 1 for share in stage.refits)
    for shift in (0.0, 3.0):
        with torch.no_grad():
            model.representation.posterior.bias.add_(shift)
        stage.fit(iter(data))
        drawn = []
        for index, batch in enumerate(data):
            posterior, mask = model.encode(batch)[1], model.segment(batch).mask
            noise = Noise(99, index).normal("z", posterior.mean.shape, posterior.mean)
            drawn.append(model.normalised(posterior.sample(noise))[mask])
        joined = torch.cat(drawn).detach()
        assert joined.mean(0).abs().max() < 6 / len(joined) ** 0.5
        assert (joined.var(0) - 1).abs().max() < 12 / len(joined) ** 0.5
    assert not stage_of(small_model(Training(regime="joint")), "prior").refits
