"""Temperature, top-k, top-p and the repetition penalty in closed form."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from colaflex.generation.token_sampling import draw_tokens, restricted
from colaflex.interfaces.noise import SampleNoise
from colaflex.interfaces.options import TokenSampling

SIZE = 6

logits_lists = st.lists(st.floats(-8, 8, width=32), min_size=SIZE, max_size=SIZE, unique=True)


def draw(logits: Tensor, options: TokenSampling, seen: Tensor | None = None, **more: Any) -> Tensor:
    rows, _, slots, size = logits.shape
    keys = SampleNoise(tuple(map(str, range(rows))))
    seen = torch.zeros(rows, size, dtype=torch.bool) if seen is None else seen
    banned = more.pop("banned", torch.zeros(slots, size, dtype=torch.bool))
    return draw_tokens(logits, options, keys, seen, banned, **more)


@settings(deadline=None)
@given(logits_lists, st.integers(0, SIZE + 2))
def test_top_k_keeps_the_k_most_probable(values: list[float], k: int) -> None:
    kept = restricted(torch.tensor(values), k, 1.0).isfinite()
    best = sorted(range(SIZE), key=lambda i: -values[i])[: k or SIZE]
    assert set(kept.nonzero().flatten().tolist()) == set(best)


@settings(deadline=None)
@given(logits_lists, st.floats(0.0, 1.0))
def test_top_p_keeps_the_smallest_set_that_reaches_p(values: list[float], p: float) -> None:
    logits = torch.tensor(values)
    kept = restricted(logits, 0, p)
    probability = logits.softmax(-1)
    order = sorted(range(SIZE), key=lambda i: -values[i])
    mass, smallest = 0.0, []
    for index in order:
        if smallest and mass >= p:
            break
        smallest.append(index)
        mass += probability[index].item()
    found = kept.isfinite().nonzero().flatten().tolist()
    # Rounding may decide where the mass lies within a hair of p.
    assert set(found) == set(smallest) or abs(probability[found].sum().item() - p) < 1e-5
    assert order[0] in found
    assert torch.equal(kept[kept.isfinite()], logits[kept.isfinite()])


def frequencies(logits: Tensor, options: TokenSampling, draws: int = 4000) -> Tensor:
    many = logits.expand(1, draws, 1, -1)
    return torch.bincount(draw(many, options).flatten(), minlength=len(logits)) / draws


def test_tokens_are_drawn_with_the_stated_probabilities() -> None:
    logits = torch.tensor([1.0, 0.5, 0.0, -0.5, -1.0, -6.0])
    for temperature in (0.5, 1.0, 2.0):
        expected = (logits / temperature).softmax(-1)
        found = frequencies(logits, TokenSampling(temperature))
        assert ((found - expected).abs() < 5 * (expected * (1 - expected) / 4000).sqrt()).all()
    expected = logits[:2].softmax(-1)
    assert (frequencies(logits, TokenSampling(1.0, top_k=2))[:2] - expected).abs().max() < 0.04
    nucleus = frequencies(logits, TokenSampling(1.0, top_p=0.6))  # 0.43 + 0.26 reach 0.6
    assert (nucleus[:2] - expected).abs().max() < 0.04 and nucleus[2:].sum() == 0
    # The nucleus is that of the tempered distribution: hot enough, more tokens are in it.
    assert (frequencies(logits, TokenSampling(5.0, top_p=0.6)) > 0).sum() == 3


def test_temperature_zero_takes_the_most_probable_and_draws_nothing() -> None:
    logits = torch.randn(3, 4, 2, SIZE, generator=torch.Generator().manual_seed(0))
    best = draw(logits, TokenSampling(0.0, top_k=3, top_p=0.5))
    assert torch.equal(best, logits.argmax(-1))


@settings(deadline=None)
@given(logits_lists, st.floats(0.25, 4.0, width=32), st.sets(st.integers(0, SIZE - 1)))
def test_the_penalty_divides_positive_and_multiplies_negative_logits(
    values: list[float], penalty: float, before: set[int]
) -> None:
    seen = torch.tensor([[i in before for i in range(SIZE)]])
    logits = torch.tensor(values)
    changed = [
        (v / penalty if v > 0 else v * penalty) if i in before else v for i, v in enumerate(values)
    ]
    token = int(draw(logits.view(1, 1, 1, -1), TokenSampling(repetition_penalty=penalty), seen))
    assert changed[token] >= max(changed) - 1e-5
    assert bool(seen[0, token]) or token == SIZE - 1 or penalty == 1.0


def test_only_text_counts_as_seen() -> None:
    end = SIZE - 1
    options = TokenSampling(repetition_penalty=100.0)
    logits = torch.full((1, 3, 3, SIZE), -1.0)
    logits[0, 0, :, 2] = 5.0  # a segment of the prompt: "2 2 2"
    logits[0, 1, 0, 3] = logits[0, 1, 1, end] = logits[0, 1, 2, 4] = 5.0  # "3", its end, void
    logits[0, 2] = torch.tensor([-1.0, -1.0, 5.0, 5.0, 5.0, 5.0])
    seen = torch.zeros(1, SIZE, dtype=torch.bool)
    given = torch.tensor([[True, False, False]])
    tokens = draw(logits, options, seen, given=given)
    assert tokens[0, :2].tolist() == [[2, 2, 2], [3, end, 4]]
    # 3 was drawn and is penalised; 2 (given), 4 (void) and the end were not, and come in order.
    assert tokens[0, 2].tolist() == [2, 4, end]
    assert seen.nonzero()[:, 1].tolist() == [2, 3, 4]


def test_a_penalty_of_one_is_off() -> None:
    logits = torch.randn(2, 3, 2, SIZE, generator=torch.Generator().manual_seed(1))
    seen = torch.ones(2, SIZE, dtype=torch.bool)
    one = draw(logits, TokenSampling(0.7), seen)
    # A penalty that changes nothing goes slot by slot, with the same draws.
    other = draw(logits, TokenSampling(0.7, repetition_penalty=1.0 + 1e-12), seen)
    assert torch.equal(one, other)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.floats(0.0, 50.0), st.integers(0, 4), st.floats(0.05, 1.0))
def test_what_is_banned_is_never_drawn(seed: int, temperature: float, k: int, p: float) -> None:
    logits = 9 * torch.randn(2, 20, 2, SIZE, generator=torch.Generator().manual_seed(seed))
    banned = torch.zeros(2, SIZE, dtype=torch.bool)
    banned[:, 1] = banned[0, 5] = True
    for penalty in (1.0, 1.5):
        options = TokenSampling(temperature, k, p, penalty)
        tokens = draw(logits, options, banned=banned)
        assert not (tokens == 1).any() and not (tokens[..., 0] == 5).any()


def test_a_row_keeps_its_draws_whatever_stands_beside_it() -> None:
    logits = torch.randn(3, 5, 2, SIZE, generator=torch.Generator().manual_seed(2))
    for penalty in (1.0, 1.3):
        options = TokenSampling(1.0, repetition_penalty=penalty)
        together = draw(logits, options)
        assert torch.equal(draw(logits[:1], options), together[:1])
        assert not torch.equal(together[0], together[1])
