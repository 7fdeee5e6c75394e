"""Generation by masked diffusion, held against a slow and plain one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import colaflex
from colaflex.baselines.masked_diffusion import MaskedDiffusion
from colaflex.interfaces.options import SamplingOptions, TokenSampling
from colaflex.interfaces.values import Vocabulary
from colaflex.testing.probes import shake

SIZE, END, MASK, CANVAS = 9, 0, 1, 12
DRAWN = TokenSampling(temperature=2.0)
Made = list[tuple[list[int], str | None]]


def built(**options: Any) -> MaskedDiffusion:
    """A small one with large random weights, so that its predictions depend on what it sees."""
    torch.manual_seed(0)
    sizes = {"width": 16, "layers": 2, "heads": 2, "block_size": 4}
    made: MaskedDiffusion = colaflex.build(
        "baseline",
        "masked_diffusion",
        vocabulary=Vocabulary(SIZE, END, MASK),
        max_tokens=CANVAS,
        **{**sizes, **options},
    )
    shake(made, 0.9)
    return made.double().eval()


def generate(
    model: MaskedDiffusion,
    prompts: Sequence[Sequence[int]],
    most: int,
    sampling: SamplingOptions | None = None,
    drawn: TokenSampling | None = None,
    seed: int = 0,
) -> Made:
    """Tokens and finish of every prompt."""
    made: Made = [([], None) for _ in prompts]
    steps = model.generate_tokens(
        prompts, seed, most, sampling or SamplingOptions(2), drawn or TokenSampling()
    )
    for step in steps:
        for gained in step:
            made[gained.row] = (made[gained.row][0] + list(gained.tokens), gained.finish)
    return made


def probabilities(
    model: MaskedDiffusion, prompt: int, tokens: list[int], guidance: float
) -> Tensor:
    """(canvas, vocabulary) where `tokens` are known, of which the first are the prompt."""

    def logits(known: list[int]) -> Tensor:
        canvas = torch.tensor([*known, *[MASK] * (CANVAS - len(known))])
        return model.logits(canvas[None])[0]

    given, blind = logits(tokens), logits([MASK] * prompt + tokens[prompt:])
    letters = [token for token in range(SIZE) if token != MASK]
    mixed = torch.full_like(given, -torch.inf)
    mixed[:, letters] = guidance * given[:, letters] + (1 - guidance) * blind[:, letters]
    return mixed.softmax(-1)


@torch.no_grad()
def plainly(
    model: MaskedDiffusion, prompt: list[int], blocks: int, steps: int, guidance: float = 1.0
) -> list[int]:
    """Greedy tokens, one place at a time by hand; the canvas must not be full."""
    size, known = model.config.block_size, list(prompt)
    for _ in range(blocks):
        begin = len(known)
        known += [MASK] * size
        for step in range(steps):
            found = probabilities(model, len(prompt), known, guidance)
            left = [place for place in range(begin, begin + size) if known[place] == MASK]
            surest = sorted(left, key=lambda place: -float(found[place].max()))
            keep = len(left) - size * (steps - 1 - step) // steps
            for place in surest[:keep]:
                known[place] = int(found[place].argmax())
    made = known[len(prompt) :]
    return made[: made.index(END)] if END in made else made


@pytest.mark.parametrize("guidance", [1.0, 0.0, 2.5])
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_the_surest_tokens_come_first_block_by_block(steps: int, guidance: float) -> None:
    model = built()
    prompts = [[2, 3, 4], [], [7], [5, 5, 2, 8]]
    made = generate(model, prompts, 8, SamplingOptions(steps, guidance))
    for prompt, (tokens, _) in zip(prompts, made, strict=True):
        assert tokens == plainly(model, prompt, 2, steps, guidance)


def test_guidance_matters_behind_a_prompt_only() -> None:
    model = built()
    plain, guided = (
        generate(model, [[2, 3, 4], []], 8, SamplingOptions(4, g), DRAWN) for g in (1.0, 6.0)
    )
    assert plain[0] != guided[0]
    assert plain[1] == guided[1]


def test_one_token_is_drawn_from_the_distribution_at_its_place() -> None:
    model, count = built(block_size=1), 4000
    with torch.no_grad():
        expected = probabilities(model, 2, [4, 2], 1.0)[2]
    made = generate(model, [[4, 2]] * count, 1, drawn=TokenSampling(1.0))
    drawn = torch.tensor([tokens[0] if tokens else END for tokens, _ in made])
    found = torch.bincount(drawn, minlength=SIZE) / count
    error = (expected * (1 - expected) / count).sqrt()
    assert ((found - expected).abs() < 4.5 * error + 1e-9).all()
    narrow = generate(model, [[4, 2]] * 200, 1, drawn=TokenSampling(1.0, top_k=2))
    best = set(expected.topk(2).indices.tolist())
    assert {tokens[0] if tokens else END for tokens, _ in narrow} == best


def test_top_1_is_greedy_and_seeds_differ() -> None:
    model = built()
    prompts = [[2, 3], [4]]
    greedy = generate(model, prompts, 8)
    assert generate(model, prompts, 8, drawn=TokenSampling(1.0, top_k=1)) == greedy
    one, other = (generate(model, prompts, 8, drawn=DRAWN, seed=seed) for seed in (0, 1))
    assert one != other


@pytest.mark.parametrize("remasking", ["low_confidence", "random"])
def test_a_row_is_its_own_whatever_the_batch_and_the_limit(remasking: str) -> None:
    model = built(remasking=remasking)
    prompts = [[2, 3, 4], [], [7], [2, 3, 4], list(range(2, 9)) * 3]
    made = generate(model, prompts, 30, drawn=DRAWN)
    assert made[0] != made[3]  # the same prompt twice: draws of its own
    for row in (0, 1, 2, 4):
        assert generate(model, [prompts[row]], 30, drawn=DRAWN) == [made[row]]
        short = generate(model, [prompts[row]], 5, drawn=DRAWN)[0]
        assert short[0] == made[row][0][:5]


def test_random_remasking_fills_in_another_order() -> None:
    prompts = [[2, token] for token in range(2, 9)]
    sampling = SamplingOptions(4)
    one, other = (
        generate(built(remasking=remasking), prompts, 8, sampling)
        for remasking in ("low_confidence", "random")
    )
    assert one != other


def test_a_full_canvas_moves_on_and_a_long_prompt_is_heard_from_its_end() -> None:
    model = built()
    prompts = [[token] for token in range(2, 9)]
    made = generate(model, prompts, 40, SamplingOptions(4))
    assert max(len(tokens) for tokens, _ in made) > 2 * CANVAS
    long = [2 + (3 * i) % 7 for i in range(25)]
    kept = CANVAS - model.config.block_size
    whole, heard = (generate(model, [prompt], 20)[0] for prompt in (long, long[-kept:]))
    assert whole == heard
    # A block larger than half a canvas leaves half of it to what is known.
    wide = built(block_size=CANVAS)
    assert generate(wide, [long], 20)[0] == generate(wide, [long[-CANVAS // 2 :]], 20)[0]


@pytest.mark.parametrize(("steps", "guidance"), [(1, 1.0), (3, 1.0), (3, 2.0), (50, 3.0)])
def test_network_evaluations_are_those_that_are_made(steps: int, guidance: float) -> None:
    model, seen = built(), []
    model.transformer.register_forward_hook(lambda _, inputs, out: seen.append(len(out)))
    sampling = SamplingOptions(steps, guidance)
    generate(model, [[2, 3], [4]], 1, sampling)
    cost = model.network_evaluations(sampling)
    assert sum(seen) == 2 * cost.evaluations
    assert cost.tokens == model.config.block_size


@torch.no_grad()
def test_a_token_that_stands_in_the_row_is_penalised() -> None:
    model, penalty = built(block_size=1), 3.0
    prompts = [[token] for token in range(2, 9)]
    made = generate(model, prompts, 6, drawn=TokenSampling(repetition_penalty=penalty))
    assert made != generate(model, prompts, 6)
    for prompt, (tokens, finish) in zip(prompts, made, strict=True):
        known = list(prompt)
        for token in [*tokens, END] if finish == "end" else tokens:
            logits = model.logits(torch.tensor([[*known, *[MASK] * (CANVAS - len(known))]]))
            at = logits[0, len(known)]
            for seen in set(known):
                at[seen] = at[seen] / penalty if at[seen] > 0 else at[seen] * penalty
            assert token == int(at.argmax())
            known.append(token)


@pytest.mark.parametrize("block", [1, 4, 12, 20])
@pytest.mark.parametrize("length", [0, 1, CANVAS - 1, CANVAS, CANVAS + 1, 3 * CANVAS])
def test_as_much_of_a_prompt_is_heard_as_is_told(block: int, length: int) -> None:
    """Greedy tokens don't depend on what stands before the heard end of a prompt."""
    model = built(block_size=block)
    prompt = [2 + i % 7 for i in range(length)]
    heard = model.heard(length)
    before = [8 - token + 2 for token in prompt[: length - heard]]
    other = [*before, *prompt[length - heard :]]
    assert generate(model, [prompt], 1) == generate(model, [other], 1)
    assert heard == length or length >= CANVAS
