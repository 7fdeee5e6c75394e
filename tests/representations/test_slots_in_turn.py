"""Decoders that tell a segment's tokens in turn: a law over texts, unmixed."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from segments import DIM, SIZE, SLOTS, VOCABULARY, batch, build, noise
from torch import Tensor
from torch.nn import functional

import colaflex
from colaflex.generation.token_sampling import slot_choice
from colaflex.interfaces.noise import SampleNoise
from colaflex.interfaces.options import TokenSampling
from colaflex.interfaces.values import Segmentation, TokenBatch

IN_TURN: dict[str, Any] = {"decoder": "autoregressive", "segment_layers": 2}
NAMES = pytest.mark.parametrize("name", ["text_vae", "text_ae", "resampler"])


@NAMES
@torch.no_grad()
def test_the_probabilities_of_all_texts_of_a_segment_add_up_to_one(name: str) -> None:
    one = build(name=name, **IN_TURN)
    latent = torch.randn(1, 1, DIM, generator=torch.Generator().manual_seed(1)).double()
    texts = [
        [*text, *[one.end_of_segment] * (SLOTS - len(text))]
        for length in range(1, SLOTS + 1)
        for text in product(range(SIZE), repeat=length)
    ]
    content = torch.tensor(texts)[:, None]
    costs = one.costs(latent.expand(len(texts), -1, -1), content)
    # All that is left is that the segment ends before its first token.
    empty = one.decode(latent)[0, 0, 0].softmax(-1)[one.end_of_segment]
    assert float(costs.neg().exp().sum() + empty) == pytest.approx(1.0, abs=1e-9)


@NAMES
@torch.no_grad()
def test_decoding_tells_the_likeliest_token_after_the_likeliest(name: str) -> None:
    one = build(name=name, **IN_TURN)
    latents = torch.randn(3, 4, DIM, generator=torch.Generator().manual_seed(1)).double()
    logits = one.decode(latents)
    barred = logits.clone()
    barred[..., VOCABULARY.mask] = -torch.inf
    barred[..., 0, one.end_of_segment] = -torch.inf
    best = barred.argmax(-1)
    torch.testing.assert_close(one.told(latents, best), logits, atol=1e-9, rtol=0)
    tokens, _ = one.tell_next(
        latents, one.begin_decoding(3), lambda at, k: barred[..., k, :].argmax(-1)
    )
    assert torch.equal(tokens, best)


@torch.no_grad()
def test_hidden_context_is_heard_as_withheld_and_none_is_by_default() -> None:
    tokens, segmentation = batch()
    options = {**IN_TURN, "mask_weight": 0.0}
    whole, hidden = build(**options), build(context_dropout=0.4, **options)
    content = whole.content(tokens, segmentation)
    sample = whole.losses(tokens, segmentation, noise()).sample
    lost = whole.losses(tokens, segmentation, noise()).losses["realisation"].total
    costs = whole.costs(sample, content)[segmentation.mask].sum()
    torch.testing.assert_close(lost, costs, atol=1e-9, rtol=0)
    draws = noise().uniform("context dropout", (*content.shape[:2], SLOTS - 1), sample)
    before = hidden.inside.before(content)
    before[..., 1:][draws < 0.4] = hidden.inside.withheld
    logits = hidden.unembedding(hidden.inside(hidden._slots(hidden._decoded(sample)), before))
    nats = functional.cross_entropy(logits.flatten(0, 2), content.flatten(), reduction="none")
    counted = functional.pad(content != hidden.end_of_segment, (1, 0), value=True)[..., :-1]
    counted &= segmentation.mask[..., None]
    found = hidden.losses(tokens, segmentation, noise()).losses["realisation"].total
    torch.testing.assert_close(found, nats.view(content.shape)[counted].sum(), atol=1e-9, rtol=0)
    assert found != lost


def pairs(rows: int, draws: torch.Generator) -> tuple[TokenBatch, Segmentation]:
    """One segment a row: AB or CD."""
    which = torch.randint(2, (rows,), generator=draws)
    tokens = torch.tensor([[3, 4], [5, 6]])[which]
    return TokenBatch(tokens, torch.full((rows,), 2), torch.zeros(rows).bool()), Segmentation(
        torch.full((rows, 1), 2)
    )


@pytest.mark.parametrize(("decoder", "mixed"), [("slots", 0.5), ("autoregressive", 0.0)])
def test_of_two_texts_behind_one_latent_it_tells_each_unmixed(decoder: str, mixed: float) -> None:
    torch.manual_seed(0)
    one: Any = colaflex.build(
        "representation",
        "text_ae",
        vocabulary=VOCABULARY,
        max_segment_tokens=2,
        latent_dim=2,
        width=16,
        heads=1,
        embedding_dim=8,
        mask_weight=0.0,
        decoder=decoder,
    )
    optimizer = torch.optim.AdamW(one.parameters(), lr=2e-2)
    draws, blank = torch.Generator().manual_seed(0), torch.zeros(64, 1, 2)
    for _ in range(60):
        tokens, segmentation = pairs(64, draws)
        loss = one.costs(blank, one.content(tokens, segmentation)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    keys = SampleNoise(tuple(map(str, range(64))))
    seen, banned = torch.zeros(64, SIZE + 1).bool(), torch.zeros(1, 2, SIZE + 1).bool()
    choose = slot_choice(TokenSampling(temperature=1.0), keys, seen, banned)
    with torch.no_grad():
        said: Tensor = one.tell_next(blank, one.begin_decoding(64), choose)[0][:, 0]
    apart = (said[:, 1] - said[:, 0] != 1).float().mean()
    # Of 64 fair draws, a share of one half is told within .2: three standard errors.
    assert float(apart) == pytest.approx(mixed, abs=0.2 if mixed else 1e-9)
    assert 0.3 < float((said[:, 0] == 3).float().mean()) < 0.7


def test_a_wrong_choice_of_options_is_refused() -> None:
    for options, text in (
        ({"context_dropout": 0.2}, "option of decoder: autoregressive"),
        ({"decoder": "autoregressive", "alpha": 1.0}, "told apart"),
        ({"decoder": "autoregressive", "embedding_dim": 9}, "even embedding_dim"),
    ):
        with pytest.raises(Exception, match=text):
            build(**options)
