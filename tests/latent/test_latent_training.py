"""The latent model in training: stages, what learns from what, and the border."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from small_models import DIM, rows, small_model, step_noise
from torch import Tensor

from colaflex.coadaptation import Coadaptation
from colaflex.interfaces.language_model import Stage, StageStep
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.values import TokenBatch
from colaflex.latent_model import LatentModel
from colaflex.whole_blocks import learned_segments

LENGTHS = [9, 4, 1, 12, 7]


@dataclass(frozen=True)
class Gate:
    """A gate that stands still."""

    opening: float

    def value(self, progress: float) -> float:
        assert 0 <= progress < 1
        return self.opening


def stage_of(model: LatentModel, name: str) -> Stage:
    return next(stage for stage in model.stages() if stage.name == name)


def prepared(stage: Stage, batch: TokenBatch, index: int = 0, total: int = 10) -> Any:
    step = StageStep(index, total, step_noise(batch, index))
    return stage.prepare(batch, step), step


def losses(model: LatentModel, name: str, index: int = 0, batch: TokenBatch | None = None) -> Any:
    stage = stage_of(model, name)
    return stage.losses(*prepared(stage, batch or rows(LENGTHS), index))


def objective(terms: Any) -> Tensor:
    return sum((t.weight * t.total for t in terms.values()), torch.zeros(()))


def gradients(model: LatentModel, value: Tensor) -> dict[str, Tensor]:
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
        model = small_model(Coadaptation(regime, interval=(1, 3)))
        stage = stage_of(model, "prior")
        cost[regime] = stage.flops(prepared(stage, rows(LENGTHS))[0])
    assert cost["scratch"] == cost["joint"]
    between = 0.25 * cost["joint"] + 0.75 * cost["frozen"]
    assert cost["interval"] == pytest.approx(between, abs=1)


@pytest.mark.parametrize("prior", ["flow_matching", "rectified_flow"])
@pytest.mark.parametrize("regime", REGIMES)
def test_a_regime_says_what_learns(regime: Any, prior: str) -> None:
    plan = Coadaptation(regime, lr_ratio=0.5, interval=(2, 3), teacher_fraction=0.4)
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
        learns = {
            "representation": {"representation"},
            "frozen": {"prior"},
        }.get(stage.name if stage.name == "representation" else regime, {"prior", "representation"})
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
    model = small_model(Coadaptation(regime, reference_kl=0.1)).double()
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


def test_stage_two_swaps_the_rate_for_the_entropy() -> None:
    plan = Coadaptation(representation_weight=2.0, prior_weight=3.0)
    model = small_model(plan, rate_weight=0.5, mask_weight=0.25)
    first, second = losses(model, "representation"), losses(model, "prior")
    assert {n: t.weight for n, t in first.items() if t.weight} == {
        "realisation": 1.0,
        "rate": 0.5,
        "masked": 0.25,
    }
    assert {n: t.weight for n, t in second.items() if t.weight} == {
        "realisation": 2.0,
        "negative_entropy": 1.0,
        "masked": 0.5,
        "flow": 3.0,
    }
    batch, _ = prepared(stage_of(model, "prior"), rows(LENGTHS))
    posterior, mask = model.encode(batch)[1], model.segment(batch).mask
    entropy = posterior.entropy()[mask].sum()
    torch.testing.assert_close(second["negative_entropy"].total, -entropy)
    square = posterior.mean[mask].square().mean(-1).sum()
    torch.testing.assert_close(second["latent_mean_square"].total, square)
    ratio = second["latent_mean_square"].total / second["latent_noise"].total
    torch.testing.assert_close(ratio.log(), posterior.log_snr(mask))


OPEN = ("flow_matching", "shortcut", "mean_flow", "consistency", "hybrid", "cnf")


@pytest.mark.parametrize("prior", OPEN)
def test_the_gate_lets_exactly_its_share_of_the_priors_gradient_through(prior: str) -> None:
    found = {}
    term = {"cnf": "nll", "consistency": "consistency"}.get(prior, "flow")
    for opening in (0.0, 0.25, 1.0):
        model = small_model(Coadaptation(gate=Gate(opening)), prior=prior)
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
    model = small_model(Coadaptation(reference_kl=0.3), prior="rectified_flow")
    with torch.no_grad():
        model.representation.posterior.bias.add_(0.5)  # what stage 1 has learned
    assert losses(model, "teacher")["reference_kl"].total > 0
    stage_of(model, "teacher").start()
    term = losses(model, "teacher")["reference_kl"]
    assert (term.weight, term.per) == (0.3, "latents")
    assert term.total.item() == pytest.approx(0.0, abs=1e-4)  # to fp32's rounding
    with torch.no_grad():
        model.representation.posterior.bias.add_(0.5)
    moved = losses(model, "teacher")["reference_kl"]
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
