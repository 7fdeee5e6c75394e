"""The decoder learns to read what the prior expects of latents; all else stays as it is."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from small_models import DIM, rows, small_model, step_noise
from torch import Tensor

from colaflex.interfaces.noise import Noise
from colaflex.interfaces.stage import StageStep
from colaflex.interfaces.values import LatentBatch, TokenBatch
from colaflex.latent.adaptation_stage import AdaptationStage
from colaflex.latent.language_model import LatentLanguageModel
from colaflex.spec.training import Training

LENGTHS = [9, 4, 1, 12, 7]


def training(**options: Any) -> Training:
    return Training(steps=100, stages={"adapt_decoder": {"share": 0.1, **options}})


def adapted(**options: Any) -> LatentLanguageModel:
    return small_model(training(**options))


def last(model: LatentLanguageModel) -> AdaptationStage:
    stage = model.stages()[-1]
    assert isinstance(stage, AdaptationStage)
    return stage


def prepared(stage: AdaptationStage, batch: TokenBatch, index: int = 0) -> tuple[TokenBatch, Any]:
    step = StageStep(index, 10, step_noise(batch, index))
    return stage.prepare(batch, step), step


def cost(model: LatentLanguageModel, mix: float, steps: int = 4) -> float:
    """Nats of the text, of expected latents (mix 1) or the encoder's own (0), over some steps."""
    stage, total = last(model), 0.0
    stage.mix = mix
    for index in range(1000, 1000 + steps):
        batch, step = prepared(stage, rows(LENGTHS), index)
        total += float(stage.losses(batch, step)["realisation"].total.detach())
    return total


def learn(model: LatentLanguageModel, mix: float, steps: int) -> None:
    stage = last(model)
    stage.mix = mix
    stage.start()
    (group,) = stage.groups
    optimizer = torch.optim.Adam(group.parameters, 1e-2)
    for index in range(steps):
        batch, step = prepared(stage, rows(LENGTHS), index)
        optimizer.zero_grad()
        stage.losses(batch, step)["realisation"].total.backward()
        optimizer.step()


def test_without_steps_there_is_no_such_stage_and_no_copy() -> None:
    plain, none = small_model(), small_model(training(share=0, mix=0.25))
    for model in (plain, none):
        assert [stage.name for stage in model.stages()] == ["representation", "prior"]
        assert model.unadapted is None and model.with_unadapted_decoder() is None
    assert plain.state_dict().keys() == none.state_dict().keys()
    names = [stage.name for stage in adapted().stages()]
    assert names == ["representation", "prior", "adapt_decoder"]


def test_at_its_start_the_decoder_is_the_old_one_bit_for_bit() -> None:
    model = adapted()
    with torch.no_grad():
        for parameter in model.representation.parameters():
            parameter.add_(0.5)
    last(model).start()
    before = model.with_unadapted_decoder()
    assert before is not None and before.representation is not model.representation
    batch = rows(LENGTHS)
    assert torch.equal(before.reconstruct(batch).nll, model.reconstruct(batch).nll)
    learn(model, 0.5, 1)
    assert not torch.equal(before.reconstruct(batch).nll, model.reconstruct(batch).nll)


def test_the_kept_decoder_is_saved_but_counts_as_no_part() -> None:
    model = adapted()
    parts = {p for part in model.parts().values() for p in part.parameters()}
    assert model.unadapted is not None
    assert not parts & set(model.unadapted.parameters())
    assert any(name.startswith("unadapted.") for name in model.state_dict())


@pytest.mark.parametrize("decoder", ["slots", "autoregressive"])
@pytest.mark.parametrize("representation", ["text_vae", "text_ae", "resampler"])
def test_the_decoder_alone_learns(representation: str, decoder: str) -> None:
    model = small_model(training(mix=0.5), representation=representation, decoder=decoder)
    before = copy.deepcopy(model.state_dict())
    learn(model, 0.5, 3)
    moved = {n for n, t in model.state_dict().items() if not torch.equal(t, before[n])}
    moved = {name for name in moved if not name.startswith("unadapted.")}
    decoder = set(model.representation.decoder_parameters())
    assert moved == {n for n, p in model.named_parameters() if p in decoder}
    batch = rows(LENGTHS)
    cut = model.segment(batch)
    old, new = model.unadapted, model.representation
    assert old is not None
    with torch.no_grad():
        assert torch.equal(old.encode(batch, cut).mean, new.encode(batch, cut).mean)
    grown = {n for n, p in model.named_parameters() if p.grad is not None}
    assert grown == moved


def test_no_gradient_reaches_the_prior_even_where_it_might() -> None:
    model = adapted()
    stage = last(model)
    batch, step = prepared(stage, rows(LENGTHS))
    assert all(p.requires_grad for p in model.prior.parameters())
    stage.losses(batch, step)["realisation"].total.backward()
    assert all(p.grad is None for p in model.prior.parameters())


def blurred(model: LatentLanguageModel, level: float) -> None:
    """A prior that expects latents a good part of the way to the mean of all."""

    def one_step(latents: LatentBatch, noise: Noise) -> Tensor:
        del noise
        mean = latents.values[latents.mask].mean(0)
        return torch.lerp(latents.values, mean, level)

    model.prior.one_step = one_step  # type: ignore[method-assign]


def test_blurred_latents_are_read_better_and_clean_ones_hardly_worse() -> None:
    model = small_model(training(), representation="text_ae")
    blurred(model, 0.8)
    learn(model, 0.0, 100)  # a decoder that knows clean latents
    before, clean = cost(model, 1.0), cost(model, 0.0)
    assert before > 5 * clean
    learn(model, 0.5, 60)
    assert cost(model, 1.0) < 0.5 * before
    assert cost(model, 0.0) < 1.1 * clean
    assert model.unadapted is not None  # as it was, both on clean latents and on blurred ones
    model.representation.load_state_dict(model.unadapted.state_dict())
    assert (cost(model, 1.0), cost(model, 0.0)) == (before, clean)


def test_the_share_of_blocks_that_are_expected_is_the_mix() -> None:
    model = adapted()
    blurred(model, 1.0)
    stage = last(model)
    stage.mix = 0.25
    read: list[Tensor] = []
    asked = model.representation.costs

    def costs(latents: Tensor, content: Tensor) -> Tensor:
        read.append(latents)
        return asked(latents, content)

    model.representation.costs = costs  # type: ignore[method-assign]
    blocks = 0
    for index in range(60):
        batch, step = prepared(stage, rows([24] * 8), index)
        stage.losses(batch, step)
        seen = read[-1].unflatten(1, (-1, model.prior.block_size))
        # What is expected here is the same everywhere.
        alike = (seen[:, :, 0] == seen[:, :, 1]).all(-1)
        blocks += alike.numel()
        read[-1] = alike.float().sum()
    assert float(torch.stack(read).sum() / blocks) == pytest.approx(0.25, abs=0.03)


def test_a_prompts_tail_is_given_clean_and_not_learned() -> None:
    model = adapted(mix=1.0)
    values = torch.randn(3, 8, DIM, generator=torch.manual_seed(0))
    mask = torch.ones(3, 8, dtype=torch.bool)
    mask[:, 2] = False
    expected = model.prior.one_step(LatentBatch(values, mask), Noise(0, 0, "x", 0, 3))
    assert expected is not None and not expected.requires_grad
    assert torch.equal(expected[:, 2], values[:, 2])
    assert not (expected == values)[mask].all(-1).any()


@pytest.mark.parametrize("run", [0, 1])
def test_a_step_is_the_sum_over_its_rows(run: int) -> None:
    """Of two levels too, where coarse latents stand for no text of their own."""
    model = small_model(training(), run=run)
    stage, batch = last(model), rows(LENGTHS)
    whole, step = prepared(stage, batch)
    total = stage.losses(whole, step)["realisation"].total.detach()
    parts = []
    for part in (slice(0, 2), slice(2, 5)):
        noise = Noise(0, 0, "test", part.start, len(LENGTHS))
        one = stage.losses(whole.rows(part), StageStep(0, 10, noise))
        parts.append(one["realisation"].total.detach())
    assert float(sum(parts)) == pytest.approx(float(total), rel=1e-5)
    assert total > 0


def test_rows_without_a_block_teach_nothing() -> None:
    stage = last(adapted())
    batch, step = prepared(stage, rows([2, 1], complete=False))
    assert float(stage.losses(batch, step)["realisation"].total.detach()) == 0.0


def test_a_representation_without_a_decoder_of_its_own_is_refused() -> None:
    model = small_model(training(), representation="token_embedding")
    with pytest.raises(ValueError, match="no decoder that learns alone"):
        model.stages()
