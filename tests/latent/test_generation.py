"""Generation: cached equals uncached, rows do not talk, and it ends where it should."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import END, MASK, VOCABULARY, small_model, token_bias
from torch import Tensor

from colaflex.generation.token_sampling import draw_tokens
from colaflex.interfaces.noise import SampleNoise, row_keys
from colaflex.interfaces.options import SamplingOptions, TokenSampling
from colaflex.interfaces.prior import Known
from colaflex.latent.generation import BlockGenerator
from colaflex.latent.language_model import LatentLanguageModel
from colaflex.latent.segments import encode_prompts, encode_segments, prompt_segments

STEPS = SamplingOptions(steps=2, guidance=1.5)
WARM = TokenSampling(temperature=1.0)

PROMPTS: list[list[int]] = [
    [],
    [2, 3, 4],
    [5],
    [2, 3, 4, 5, 6, 7, 8, 9],
    [3, 3, 3, 3, 9, 8, 7],
    [int(i) % 10 + 2 for i in range(31)],  # longer than max_tokens
]


@functools.cache
def model(double: bool = True, endless: bool = True, **options: Any) -> LatentLanguageModel:
    made = small_model(**options)
    if endless:
        with torch.no_grad():
            token_bias(made)[END] = -50.0
    return made.double() if double else made


def generate(
    made: LatentLanguageModel,
    prompts: Sequence[Sequence[int]],
    tokens: TokenSampling = WARM,
    new: int = 9,
    seed: int = 0,
    latent: SamplingOptions = STEPS,
    earlier: Sequence[Sequence[int]] = (),
) -> list[tuple[list[int], str | None]]:
    """Tokens and finish of each prompt."""
    rows: list[tuple[list[int], str | None]] = [([], None) for _ in prompts]
    for block in made.generate_tokens(prompts, seed, new, latent, tokens, earlier):
        assert len({piece.row for piece in block}) == len(block)
        for piece in block:
            assert rows[piece.row][1] is None, "a row goes on after its end"
            rows[piece.row] = (rows[piece.row][0] + list(piece.tokens), piece.finish)
    return rows


# Caches.


def latents_and_logits(
    made: LatentLanguageModel, prompts: Any, new: int, latent: SamplingOptions = STEPS
) -> Any:
    """What the generator samples and decodes, by block: keys of the rows, latents, logits."""
    found: list[tuple[tuple[str, ...], Tensor, Tensor]] = []

    class Listening(BlockGenerator):
        def _decoded(self, rows: Any, latents: Tensor) -> tuple[Tensor, Any]:
            logits, state = super()._decoded(rows, latents)
            if latents is drawn[-1]:
                found.append((rows.keys, latents, logits))
            return logits, state

    drawn: list[Tensor] = []
    sample = made.prior.sample_block
    made.prior.sample_block = lambda *args: drawn.append(sample(*args)) or drawn[-1]  # type: ignore
    try:
        generator = Listening(made, latent, WARM, new)
        pieces = [p for block in generator.run(prompts, row_keys(prompts, 0)) for p in block]
    finally:
        del made.prior.sample_block
    return found, pieces


@torch.no_grad()
def uncached(
    made: LatentLanguageModel, prompt: list[int], new: int, key: str, latent: SamplingOptions
) -> Any:
    """Blocks of one row, everything before encoded, committed and decoded anew at every block."""
    (segments,) = prompt_segments(made, [prompt])
    block, banned = made.prior.block_size, BlockGenerator(made, STEPS, WARM, new).banned
    given = sum(map(len, segments))
    history, _ = encode_prompts(made, [prompt])
    blocks, tokens = [], []
    while len(tokens) < new:
        whole = history.shape[1] // block * block
        tail = history.shape[1] - whole
        known = None
        if tail:
            values = torch.nn.functional.pad(history[:, whole:], (0, 0, 0, block - tail))
            known = Known(values, torch.arange(block)[None] < tail)
        state = made.prior.begin(1)
        if whole:
            state = made.prior.commit(state, history[:, :whole])
        noise = SampleNoise((f"{key}/{whole // block}",))
        drawn = made.prior.sample_block(state, noise, latent, known)
        history = torch.cat([history[:, :whole], drawn], 1)
        logits = made.representation.decode(made.raw(history))[:, whole:]
        seen = torch.zeros(1, VOCABULARY.size + 1, dtype=torch.bool)
        for slots in draw_tokens(logits, WARM, noise, seen, banned)[0, tail:].tolist():
            end = made.representation.end_of_segment
            segments.append(slots[: slots.index(end)] if end in slots else slots)
            tokens += segments[-1]
        blocks.append((drawn[0], logits[0]))
        if latent.reencode:
            history, _ = encode_segments(made, [segments], [given])
    return blocks, tokens[:new]


@pytest.mark.parametrize(("double", "tolerance"), [(True, 1e-9), (False, 1e-4)])
@pytest.mark.parametrize(
    "parts",
    [
        {"prior": "flow_matching"},
        {"prior": "rectified_flow"},
        {"representation": "text_ae"},
        {"representation": "resampler"},
        {"representation": "token_embedding"},
        {"run": 2, "block": 3},
    ],
    ids=lambda parts: str(next(iter(parts.values()))),
)
@pytest.mark.parametrize("reencode", [False, True])
def test_cached_generation_equals_uncached(
    double: bool, tolerance: float, parts: dict[str, Any], reencode: bool
) -> None:
    made, latent = model(double, **parts), replace(STEPS, reencode=reencode)
    found, pieces = latents_and_logits(made, PROMPTS, 14, latent)
    for row, (prompt, key) in enumerate(zip(PROMPTS, row_keys(PROMPTS, 0), strict=True)):
        own = [
            (latents[keys.index(key)], logits[keys.index(key)])
            for keys, latents, logits in found
            if key in keys
        ]
        expected, tokens = uncached(made, prompt, 14, key, latent)
        if double:
            assert [t for p in pieces if p.row == row for t in p.tokens] == tokens
        assert not double or len(own) == len(expected)
        for one, other in zip(own, expected, strict=False):
            for cached, anew in zip(one, other, strict=True):
                torch.testing.assert_close(cached, anew, atol=tolerance, rtol=tolerance)


def test_a_history_of_tokens_differs_from_one_of_latents() -> None:
    apart, again = (
        generate(model(), PROMPTS, new=14, latent=replace(STEPS, reencode=reencode))
        for reencode in (False, True)
    )
    # The first block has nothing generated before it.
    assert [tokens[:1] for tokens, _ in apart] == [tokens[:1] for tokens, _ in again]
    assert apart != again


# Rows.


@pytest.mark.parametrize(("block", "run"), [(1, 0), (2, 0), (3, 0), (6, 2)])
def test_a_row_does_not_depend_on_its_neighbours(block: int, run: int) -> None:
    made = model(endless=False, block=block, size=3, run=run)
    together = generate(made, PROMPTS, new=12)
    assert together == generate(made, PROMPTS, new=12)
    for row, prompt in enumerate(PROMPTS):
        assert generate(made, [prompt], new=12)[0] == together[row]
    order = [4, 0, 5, 2]
    some = generate(made, [PROMPTS[i] for i in order], new=12)
    assert some == [together[i] for i in order]


IN_TURN = {"decoder": "autoregressive", "size": 3}
PENALISED = TokenSampling(temperature=1.0, repetition_penalty=1.5, top_k=6)


@pytest.mark.parametrize("tokens", [WARM, PENALISED])
@pytest.mark.parametrize("block", [1, 2])
def test_slots_told_in_turn_do_not_depend_on_neighbours(block: int, tokens: TokenSampling) -> None:
    made = model(endless=False, block=block, **IN_TURN)
    together = generate(made, PROMPTS, tokens, new=12)
    assert together == [generate(made, [prompt], tokens, new=12)[0] for prompt in PROMPTS]
    assert together != generate(made, PROMPTS, tokens, new=12, seed=1)


def test_slots_told_in_turn_are_the_likeliest_after_those_before() -> None:
    made, cold = model(**IN_TURN), TokenSampling()
    drawn: list[Tensor] = []
    sample = made.prior.sample_block
    made.prior.sample_block = lambda *args: drawn.append(sample(*args)) or drawn[-1]  # type: ignore
    try:
        (row,) = generate(made, [[]], cold, new=18)
    finally:
        del made.prior.sample_block
    logits = made.representation.decode(made.raw(torch.cat(drawn, 1)))
    generator = BlockGenerator(made, STEPS, cold, 18)
    banned = generator.banned.repeat(len(drawn), 1, 1)
    best = logits.masked_fill(banned, -torch.inf).argmax(-1)[0].tolist()
    assert row[0] == [token for slots in best for token in generator.held(slots)][:18]


def test_a_segmentwise_encoder_reads_no_more_than_the_block_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    again = replace(STEPS, reencode=True)
    made = model(encoder_layers=0)
    assert made.representation.segmentwise and not model().representation.segmentwise
    found = generate(made, PROMPTS, latent=again)
    monkeypatch.setattr(type(made.representation), "segmentwise", False)
    assert generate(made, PROMPTS, latent=again) == found


def test_the_same_prompt_again_gives_another_sample_and_the_seed_decides() -> None:
    made = model()
    prompts = [[2, 3], [4], [2, 3], [2, 3]]
    drawn = generate(made, prompts)
    texts = [tuple(tokens) for tokens, _ in drawn]
    assert len({texts[0], texts[2], texts[3]}) == 3
    assert generate(made, [[2, 3]])[0] == drawn[0]
    # Parts of a longer list are told what came before them.
    assert generate(made, prompts[2:], earlier=prompts[:2]) == drawn[2:]
    assert generate(made, prompts) == drawn
    assert generate(made, prompts, seed=1)[0] != drawn[0]
    assert len(set(row_keys([[1, 2], [12], [1, 2], []], 0))) == 4


@torch.no_grad()
def test_a_long_prompt_is_heard_from_its_end_and_every_token_counts_as_seen() -> None:
    made = model()
    generator = BlockGenerator(made, STEPS, WARM, 4)
    prompt = [11, *[2] * 40]
    rows, known = generator._begin([prompt, prompt[-24:]], ("same", "same"))
    assert known is None and rows.blocks == [6, 6]
    one, other = made.prior.sample_block(rows.prior, SampleNoise(rows.keys), STEPS)
    assert torch.equal(one, other)
    assert rows.seen[0].nonzero().flatten().tolist() == [2, 11]
    assert rows.seen[1].nonzero().flatten().tolist() == [2]


@torch.no_grad()
def test_the_tail_of_a_prompt_is_pinned() -> None:
    made = model()
    latents, counts = encode_prompts(made, PROMPTS)
    found, _ = latents_and_logits(made, PROMPTS, 1)
    _, drawn, _ = found[0]
    assert counts.tolist() == [0, 2, 1, 4, 4, 12]
    assert torch.equal(drawn[2, 0], latents[2, 0]) and not torch.equal(drawn[2, 1], latents[2, 1])
    odd = [[5, 6, 7, 8, 9]]  # a short segment, then the rest of the block
    tail, _ = encode_prompts(made, odd)
    assert torch.equal(latents_and_logits(made, odd, 1)[0][0][1][0, 0], tail[0, 2])


# Ends.


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 11), st.lists(st.integers(2, 11), max_size=9), st.integers(0, 99))
def test_a_row_ends_at_the_limit_or_the_end_of_text(new: int, prompt: list[int], seed: int) -> None:
    for tokens, finish in generate(model(), [prompt, []], new=new, seed=seed):
        assert (len(tokens), finish) == (new, "length")
        assert not {END, MASK, VOCABULARY.size} & set(tokens)
    for tokens, finish in generate(model(endless=False), [prompt, []], new=new, seed=seed):
        assert finish == ("length" if len(tokens) == new else "end")
        assert not {END, MASK, VOCABULARY.size} & set(tokens)


def test_generation_stops_at_the_first_end_of_text() -> None:
    made = small_model()
    with torch.no_grad():
        made.representation.unembedding.bias[END] = 50.0
    assert generate(made, PROMPTS) == [([], "end")] * len(PROMPTS)
    # Some rows end early, and the others go on undisturbed.
    finishes = [finish for _, finish in generate(model(endless=False), [[]] * 20, new=12)]
    assert set(finishes) == {"end", "length"}
    assert generate(made, []) == []


def test_segments_end_early_but_never_empty_and_the_mask_is_never_drawn() -> None:
    made = small_model(size=3)
    with torch.no_grad():
        made.representation.unembedding.bias[made.representation.end_of_segment] = 50.0
        made.representation.unembedding.bias[MASK] = 90.0
        made.representation.unembedding.bias[END] = -50.0
    pieces = list(made.generate_tokens([[]], 0, 7, STEPS, WARM))
    assert [len(block[0].tokens) for block in pieces] == [2, 2, 2, 1]  # a token a segment
    assert MASK not in {t for block in pieces for t in block[0].tokens}


def test_temperature_zero_is_a_function_of_the_latents() -> None:
    made = model()
    cold = TokenSampling()
    assert generate(made, PROMPTS, cold) == generate(made, PROMPTS, cold)
    generator = BlockGenerator(made, STEPS, cold, 5)
    for keys, _, logits in latents_and_logits(made, PROMPTS, 5)[0][:1]:
        best = logits.masked_fill(generator.banned, -torch.inf).argmax(-1)
        noise = SampleNoise(keys)
        seen = torch.zeros(len(keys), VOCABULARY.size + 1, dtype=torch.bool)
        assert torch.equal(draw_tokens(logits, cold, noise, seen, generator.banned), best)


def test_generation_leaves_no_graph_and_training_mode_alone() -> None:
    made = small_model()
    made.train()
    generate(made, [[2, 3, 4]])
    assert made.training and all(p.grad is None for p in made.parameters())
    assert torch.is_grad_enabled()


def test_a_decoder_without_layers_continues_rows_of_any_length() -> None:
    made = model(decoder_layers=0)
    alone = [generate(made, [prompt])[0] for prompt in PROMPTS]
    assert generate(made, PROMPTS) == alone
