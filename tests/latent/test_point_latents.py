"""Latents without a density in training: no rate, no entropy, the same border and prompts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_models import END, rows, small_model, step_noise
from torch import Tensor

from colaflex.interfaces.stage import Stage, StageStep
from colaflex.latent.language_model import LatentLanguageModel
from colaflex.latent.segments import encode_prompts
from colaflex.spec.training import Training

POINTS = pytest.mark.parametrize("name", ["text_ae", "resampler", "token_embedding"])
LENGTHS = [9, 4, 1, 12, 7]


def losses(model: LatentLanguageModel, stage: Stage) -> tuple[Any, Any]:
    batch = rows(LENGTHS)
    step = StageStep(0, 10, step_noise(batch))
    prepared = stage.prepare(batch, step)
    return stage.losses(prepared, step), prepared


def learning(model: LatentLanguageModel, terms: Any) -> set[str]:
    model.zero_grad()
    total: Tensor = sum(t.weight * t.total for t in terms.values())  # type: ignore[assignment]
    total.backward()
    return {
        name.split(".")[0]
        for name, p in model.named_parameters()
        if p.grad is not None and p.grad.abs().max() > 0
    }


@POINTS
def test_both_stages_go_without_a_rate_and_an_entropy(name: str) -> None:
    model = small_model(Training(), representation=name)
    masked = {"masked"} if name == "text_ae" else set()
    first, second = model.stages()
    terms, _ = losses(model, first)
    assert set(terms) == {"realisation", "latent_mean_square"} | masked
    assert learning(model, terms) == {"representation"}
    terms, _ = losses(model, second)
    assert set(terms) == {"realisation", "latent_mean_square", "flow"} | masked
    assert learning(model, terms) == {"representation", "prior"}
    assert all(t.total.isfinite() for t in terms.values())


@POINTS
@pytest.mark.parametrize("regime", ["joint", "frozen"])
def test_the_prior_learns_the_clean_latents_in_every_regime(name: str, regime: Any) -> None:
    model = small_model(Training(regime=regime), representation=name)
    seen: list[Tensor] = []
    inner = model.prior.losses

    def listening(latents: Any, noise: Any) -> Any:
        seen.append(latents.values)
        return inner(latents, noise)

    model.prior.losses = listening  # type: ignore[method-assign]
    _, batch = losses(model, model.stages()[-1])
    torch.testing.assert_close(seen[0], model.encode(batch)[0].values)
    assert not seen[0].requires_grad


@POINTS
def test_latents_cross_the_border_with_mean_zero_and_variance_one(name: str) -> None:
    model = small_model(representation=name)
    stage = model.stages()[0]
    data = []
    for index in range(2):
        batch = rows([14, 20, 9, 17 + index] * 20)
        data.append(stage.prepare(batch, StageStep(index, 10, step_noise(batch, index))))
    stage.finish(iter(data))
    with torch.no_grad():
        latents = torch.cat([b.values[b.mask] for b, _ in map(model.encode, data)])
    # The very latents that were fitted, so that only rounding is left.
    torch.testing.assert_close(latents.mean(0), torch.zeros(latents.shape[1]), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        latents.square().mean(0), torch.ones(latents.shape[1]), atol=1e-4, rtol=0
    )


@POINTS
def test_a_prompts_latents_do_not_depend_on_what_follows(name: str) -> None:
    model = small_model(representation=name).double()
    text = [2, 3, 4, 5, 6, 7, 8]
    together, counts = encode_prompts(model, [text[:3], text])
    alone, _ = encode_prompts(model, [text[:3]])
    torch.testing.assert_close(together[0, : counts[0]], alone[0], atol=1e-9, rtol=0)
    back = model.reconstruct(rows([8, 5]))
    assert back.counted.tolist() == [8, 5]
    assert all(END not in tokens for tokens in back.tokens)
