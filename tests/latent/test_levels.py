"""Two levels of latents: whole groups in every block, and prompts that know nothing of later."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import END, VOCABULARY, rows, small_model, step_noise

from colaflex.host.registry import registry
from colaflex.interfaces.levels import coarse_places, fine_lengths, fine_places, levelled
from colaflex.interfaces.losses import Losses
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.options import SamplingOptions, TokenSampling
from colaflex.interfaces.values import LatentBatch, TokenBatch
from colaflex.latent.generation import BlockGenerator
from colaflex.latent.language_model import LatentLanguageModel
from colaflex.latent.segments import encode_prompts, encode_segments
from colaflex.latent.whole_blocks import completed, learned_segments, whole_blocks

WORDS = ("", "", *(f" {'the' if i % 3 else 'word'}{'.' * (i % 4 == 0)}" for i in range(10)))


@functools.cache
def model(
    run: int = 2, blocks: int = 1, size: int = 2, phrase: bool = False
) -> LatentLanguageModel:
    made = small_model(run=run, block=(run + 1) * blocks, size=size).double()
    if phrase:
        fine = {"type": "phrase", "max_tokens": size}
        config = registry().config("segmenter", {"type": "pyramid", "run": run, "fine": fine})
        words = replace(VOCABULARY, texts=WORDS)
        made.segmenter = registry().build(config, vocabulary=words)
        made.segments = config.capabilities()
    return made


def whole(made: LatentLanguageModel, batch: TokenBatch, seed: int = 0) -> TokenBatch:
    noise = step_noise(batch, seed=seed)
    return completed(made, batch, made.prior.block_size, 0.5, noise)


@st.composite
def batches(draw: Any) -> TokenBatch:
    lengths = draw(st.lists(st.integers(1, 40), min_size=1, max_size=5))
    ends = draw(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths)))
    return rows(lengths, ends, draw(st.integers(0, 45)))


@settings(max_examples=60)
@given(batches(), st.integers(1, 3), st.integers(1, 2), st.booleans(), st.integers(0, 99))
def test_no_block_separates_a_coarse_latent_from_its_run(
    batch: TokenBatch, run: int, blocks: int, phrase: bool, seed: int
) -> None:
    made = model(run, blocks, 3, phrase)
    block, group = made.prior.block_size, run + 1
    done = whole(made, batch, seed)
    found = made.segment(done)
    assert found.lengths.shape[1] % block == 0
    assert not (found.count % block).any()
    level = (coarse_places(torch.arange(found.lengths.shape[1]), group) & found.mask).long()
    assert torch.equal(found.level, level)
    assert torch.equal((found.lengths > 0) | (level > 0), found.mask)
    assert found.lengths.sum(1).tolist() == done.lengths.tolist()
    for row, length in enumerate(batch.lengths.tolist()):
        kept = min(length, int(done.lengths[row]))
        assert torch.equal(done.tokens[row, :kept], batch.tokens[row, :kept])
        assert (done.tokens[row, kept:] == END).all()
        if batch.complete[row]:
            assert int(done.lengths[row]) >= length
            # No more end-of-text than it takes.
            held = found.lengths[row].cumsum(0) - found.lengths[row] < length
            assert int(found.count[row]) - int((held & found.mask[row]).sum()) < block
        for at in done.forced[row].nonzero().flatten().tolist():
            starts = (found.lengths[row].cumsum(0) - found.lengths[row])[found.lengths[row] > 0]
            assert at in starts.tolist() or at >= int(done.lengths[row])
    if not phrase:
        fine = whole_blocks(
            batch,
            3,
            fine_places(block, group),
            end_of_text=END,
            prompt_rows=0.5,
            noise=step_noise(batch, seed=seed),
        )
        assert torch.equal(fine.tokens, done.tokens) and torch.equal(fine.forced, done.forced)


def test_what_a_forced_boundary_cuts_is_given_and_not_learned() -> None:
    lengths = torch.tensor([[0, 2, 1, 0, 2, 2], [0, 2, 2, 0, 2, 2], [0, 1, 2, 0, 2, 2]])
    forced = torch.zeros(3, 13, dtype=torch.bool)
    forced[0, 3] = forced[1, 6] = forced[2, 1] = True
    total = lengths.sum(1)
    batch = TokenBatch(torch.ones(3, 13).long(), total, torch.ones(3).bool(), forced)
    learned = learned_segments(batch, levelled(lengths, 3), 3)
    # The end of the first run, within the second one, within the first one.
    assert (~learned).nonzero().tolist() == [[0, 0], [0, 1], [0, 2], [1, 3], [1, 4], [2, 0], [2, 1]]


@pytest.mark.parametrize("cut", range(1, 14))
@torch.no_grad()
def test_a_prompt_has_the_latents_that_training_has_behind_the_same_boundary(cut: int) -> None:
    made = model()
    tokens = torch.randint(
        2, VOCABULARY.size, (1, 16), generator=torch.Generator().manual_seed(cut)
    )
    forced = torch.arange(16)[None] == cut
    ends = torch.tensor([False])
    whole = TokenBatch(tokens, torch.tensor([16]), ends, forced)
    learned = made.encode(whole)[0]
    prompt, count = encode_prompts(made, [tokens[0, :cut].tolist()])
    fine = -(-cut // 2)
    assert int(count) == fine + -(-fine // 2)
    torch.testing.assert_close(prompt[0], learned.values[0, : int(count)], atol=1e-12, rtol=0)
    # As the encoder has them again, once more is known.
    found = made.segment(whole)
    ends_at = found.lengths[0].cumsum(0).tolist()
    cuts = [
        tokens[0, end - size : end].tolist()
        for end, size in zip(ends_at, found.lengths[0].tolist(), strict=True)
    ][: int(found.count[0])]
    again, _ = encode_segments(made, [cuts], [cut])
    torch.testing.assert_close(again, learned.values[:, : again.shape[1]], atol=1e-12, rtol=0)


@torch.no_grad()
def test_coarse_places_hold_no_tokens_and_fine_ones_at_least_one() -> None:
    made = model(blocks=2)
    pieces = list(
        made.generate_tokens(
            [[], [2, 3, 4]], 0, 20, SamplingOptions(steps=2), TokenSampling(1.0, 0, 1.0, 1.3)
        )
    )
    assert pieces
    banned = BlockGenerator(made, SamplingOptions(), TokenSampling(), 1).banned
    end = made.representation.end_of_segment
    coarse = coarse_places(torch.arange(6), 3)
    assert torch.equal((~banned[coarse]).nonzero()[:, 2].unique(), torch.tensor([end]))
    assert banned[~coarse][:, 0, end].all() and not banned[~coarse][:, 1, end].any()
    batch = rows([12, 7])
    found = made.reconstruct(batch)
    assert found.counted.tolist() == [12, 7]


def test_the_prior_is_told_the_levels_and_counts_are_of_both() -> None:
    made = small_model(run=2, block=3)
    heard: list[LatentBatch] = []
    losses = made.prior.losses

    def listening(latents: LatentBatch, noise: Noise | None = None) -> Losses:
        heard.append(latents)
        return losses(latents, noise)

    made.prior.losses = listening  # type: ignore[method-assign]
    batch = rows([12, 7])
    *_, stage = made.stages()
    prepared = stage.prepare(batch, type("Step", (), {"noise": step_noise(batch)})())
    assert stage.counts(prepared)["tokens"] == int(prepared.lengths.sum())
    segmentation = made.segment(prepared)
    step: Any = type("Step", (), {"noise": step_noise(batch), "index": 0, "total": 1})()
    stage.losses(prepared, step)
    assert torch.equal(heard[0].level, segmentation.level)
    fine = fine_lengths(segmentation.lengths, 3)
    assert torch.equal(fine.sum(1), prepared.lengths)
