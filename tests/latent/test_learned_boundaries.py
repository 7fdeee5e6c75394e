"""Learned boundaries in a latent model: what learns when, and prompts, blocks and caches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from small_models import DIM, END, VOCABULARY, rows, step_noise

import colaflex
from colaflex.host.registry import registry
from colaflex.interfaces.options import SamplingOptions, TokenSampling
from colaflex.interfaces.stage import StageStep
from colaflex.interfaces.values import TokenBatch
from colaflex.latent.language_model import LatentLanguageModel
from colaflex.latent.segments import encode_prompts, encode_segments, prompt_segments
from colaflex.spec.training import Training

LENGTHS, BLOCK, MOST = [17, 9, 1, 12, 20], 2, 3
PROMPTS = [[2, 3, 4], [5], [], [2, 3, 4, 5, 6, 7, 8, 9], [3, 3, 3, 3, 9, 8, 7]]


def model(regime: Any = "joint", **options: Any) -> LatentLanguageModel:
    """Random weights, the same at every call, in float64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = registry().config("segmenter", {"type": "learned_boundary", "max_tokens": MOST})
        representation = colaflex.build(
            "representation",
            "text_vae",
            vocabulary=VOCABULARY,
            max_segment_tokens=MOST,
            latent_dim=DIM,
            width=32,
            heads=2,
            embedding_dim=8,
            token_layers=1,
        )
        made = LatentLanguageModel(
            registry().build(config, width=representation.token_width, vocabulary=VOCABULARY),
            representation,
            colaflex.build("prior", "gaussian", latent_dim=DIM, block_size=BLOCK),
            VOCABULARY,
            config.capabilities(),
            training=Training(regime=regime, **options),
            max_tokens=24,
        ).double()
        with torch.no_grad():
            for name, parameter in made.named_parameters():
                if parameter.ndim > 1 and ("output" in name or "down" in name):
                    parameter.normal_(std=0.3)
            made.representation.unembedding.weight.mul_(3.0)
    return made


def stage_losses(made: LatentLanguageModel, name: str, batch: TokenBatch | None = None) -> Any:
    stage = next(stage for stage in made.stages() if stage.name == name)
    batch = rows(LENGTHS) if batch is None else batch
    step = StageStep(0, 10, step_noise(batch))
    prepared = stage.prepare(batch, step)
    return stage, prepared, stage.losses(prepared, step)


def moved_by(made: LatentLanguageModel, name: str) -> set[str]:
    """The parameters that a stage moves, by the first two parts of their names."""
    stage = next(stage for stage in made.stages() if stage.name == name)
    learning = {id(p) for group in stage.groups for p in group.parameters}
    for parameter in made.parameters():
        parameter.requires_grad_(id(parameter) in learning)
    terms = stage_losses(made, name)[2]
    sum((t.weight * t.total for t in terms.values()), torch.zeros(())).backward()
    return {
        ".".join(n.split(".")[:2])
        for n, p in made.named_parameters()
        if id(p) in learning and p.grad is not None and bool(p.grad.abs().max() > 0)
    }


HEARD = {"representation.embedding", "representation.token_encoder"}
SCORER = {"segmenter.query", "segmenter.key", "segmenter.head", "segmenter.level"}


def test_stage_one_teaches_scorer_and_token_states() -> None:
    assert moved_by(model(), "representation") >= HEARD | SCORER
    _, _, terms = stage_losses(model(), "representation")
    made = model()
    stage_losses(made, "representation")[2]["realisation"].total.backward()
    # The scorer learns what helps the reconstruction, not the ratio alone.
    assert made.segmenter.query.weight.grad.abs().max() > 0
    assert {"ratio", "next_token", "boundary_rate"} <= set(terms)


@pytest.mark.parametrize("regime", ["joint", "interval", "frozen", "scratch"])
def test_scorer_and_token_states_are_frozen_after_stage_one(regime: Any) -> None:
    made = model(regime)
    found = moved_by(made, "prior")
    if regime == "scratch":
        assert found >= HEARD | SCORER
    else:
        assert not found & (HEARD | SCORER)
        assert ("representation.join" in found) == (regime != "frozen")


def test_a_reference_reads_with_its_own_states() -> None:
    made = model(weights={"reference_kl": 0.5})
    next(s for s in made.stages() if s.name == "prior").start()
    term = stage_losses(made, "prior")[2]["reference_kl"]
    assert term.total.item() == pytest.approx(0, abs=1e-9)
    with torch.no_grad():
        made.reference.token_encoder.norm.weight.mul_(2.0)
    assert stage_losses(made, "prior")[2]["reference_kl"].total > 1e-6


def test_blocks_are_whole_and_counted_without_running_the_model() -> None:
    made = model()
    stage, batch, _ = stage_losses(made, "prior")
    cut = made.segment(batch)
    assert torch.equal(cut.lengths, batch.segments)
    assert (cut.count % BLOCK == 0).all()
    assert int(cut.lengths.max()) <= MOST
    ran = []
    made.representation.token_encoder.register_forward_hook(lambda *_: ran.append(1))
    counts = stage.counts(batch)
    assert stage.flops(batch) > 0
    assert not ran
    assert counts["latents"] <= int(cut.mask.sum())
    heavy = made.representation.token_flops(*batch.tokens.shape)
    assert 0 < heavy < stage.flops(batch)


def test_losses_of_a_batch_are_the_sum_over_its_parts() -> None:
    made = model()
    for name in ("representation", "prior"):
        stage, batch, whole = stage_losses(made, name)
        parts = []
        for part in (slice(0, 2), slice(2, 5)):
            noise = replace(step_noise(batch), first=part.start, total=5)
            parts.append(stage.losses(batch.rows(part), StageStep(0, 10, noise)))
        for term_name, term in whole.items():
            total = sum(part[term_name].total for part in parts)
            torch.testing.assert_close(total, term.total, atol=1e-9, rtol=1e-9)


@torch.no_grad()
def test_a_prompts_latents_depend_on_nothing_behind_it() -> None:
    made = model()
    text = rows([20], False).tokens
    for cut in range(1, 20):
        forced = torch.arange(20)[None] == cut
        whole = TokenBatch(text, torch.tensor([20]), torch.tensor([False]), forced)
        inside, _ = made.encode(whole)
        alone, counts = encode_prompts(made, [text[0, :cut].tolist()])
        count = int(counts[0])
        torch.testing.assert_close(inside.values[0, :count], alone[0], atol=1e-9, rtol=0)


@torch.no_grad()
def test_a_row_generates_the_same_alone_and_beside_others() -> None:
    made = model()
    made.representation.unembedding.bias[END] = -50.0
    for options in (SamplingOptions(steps=1), SamplingOptions(steps=1, reencode=True)):

        def generate(prompts: Any, options: SamplingOptions = options) -> list[list[int]]:
            found: list[list[int]] = [[] for _ in prompts]
            warm = TokenSampling(temperature=1.0)
            for block in made.generate_tokens(prompts, 0, 12, options, warm):
                for piece in block:
                    found[piece.row] += piece.tokens
            return found

        together = generate(PROMPTS)
        assert all(len(row) == 12 for row in together)
        for row, prompt in enumerate(PROMPTS):
            assert generate([prompt])[0] == together[row]


@torch.no_grad()
def test_latents_of_given_segments_are_those_of_the_text() -> None:
    made = model()
    latents, counts = encode_prompts(made, PROMPTS)
    again, same = encode_segments(made, prompt_segments(made, PROMPTS))
    assert torch.equal(counts, same)
    assert torch.equal(latents, again)
    # Segments that a decoder made, which the scorer would have cut otherwise.
    other, counts = encode_segments(made, [[[2], [3, 4], [5, 6, 7]]])
    assert counts.tolist() == [3]
    assert torch.isfinite(other).all()
    longer, _ = encode_segments(made, [[[2], [3, 4], [5, 6, 7], [8]]])
    torch.testing.assert_close(longer[:, :3], other, atol=1e-9, rtol=0)
