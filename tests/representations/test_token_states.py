"""Token layers: causal states of tokens before they are joined, in every autoencoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from segments import SIZE, VOCABULARY, batch, build, noise
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import colaflex
from colaflex.host.registry import registry
from colaflex.interfaces.values import Segmentation, TokenBatch
from colaflex.testing import conformance_checks

NAMES = ("text_vae", "text_ae")
EACH = pytest.mark.parametrize("name", NAMES)


def probable(segmentation: Segmentation, width: int = 12) -> Segmentation:
    """The segments with probabilities of their boundaries."""
    p = torch.rand(4, width, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return replace(segmentation, boundary_probability=p)


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(*each.values, id=f"{name}-{each.id}")
        for name in NAMES
        for each in conformance_checks("representation", name, config={"token_layers": 1})
    ],
)
def test_conformance(check: Callable[[], None]) -> None:
    check()


@EACH
def test_states_are_declared_where_there_are_layers(name: str) -> None:
    config = registry().config("representation", {"type": name, "token_layers": 2})
    assert config.capabilities().token_states
    assert not registry().config("representation", name).capabilities().token_states
    made = build(name=name, token_layers=2)
    assert made.token_width == 8
    assert made.token_states(batch()[0]).shape == (4, 12, 8)
    parameters = {id(p) for p in made.token_state_parameters()}
    names = {n.split(".")[0] for n, p in made.named_parameters() if id(p) in parameters}
    assert names == {"embedding", "token_encoder"}
    without = build(name=name)
    assert without.token_width == 0
    assert not list(without.token_state_parameters())
    with pytest.raises(ValueError, match="even embedding_dim, not 9"):
        registry().config("representation", {"type": name, "token_layers": 1, "embedding_dim": 9})


@EACH
def test_states_see_nothing_later_and_latents_hear_earlier_tokens(name: str) -> None:
    made = build(name=name, token_layers=1, encoder_layers=0)
    tokens, segmentation = batch()
    before, states = made.encode(tokens, segmentation).mean, made.token_states(tokens)
    for cut in range(1, 12):
        late = torch.arange(12) >= cut
        other = TokenBatch(
            torch.where(late, (tokens.tokens + 5) % SIZE, tokens.tokens), *tokens_rest(tokens)
        )
        assert torch.equal(made.token_states(other)[:, :cut], states[:, :cut])
        closed = segmentation.lengths.cumsum(1) <= cut
        after = made.encode(other, segmentation).mean
        assert torch.equal(after[closed], before[closed])
    # Without encoder layers, only token states carry the first segment into the others.
    first = torch.where(torch.arange(12) < 1, (tokens.tokens + 5) % SIZE, tokens.tokens)
    moved = made.encode(TokenBatch(first, *tokens_rest(tokens)), segmentation).mean
    assert (moved != before)[segmentation.mask].any(-1).all()


def tokens_rest(tokens: TokenBatch) -> tuple[Any, ...]:
    return tokens.lengths, tokens.complete


@EACH
def test_states_that_were_heard_are_not_computed_again(name: str) -> None:
    made = build(name=name, token_layers=1)
    tokens, segmentation = batch()
    plain = made.losses(tokens, probable(segmentation), noise())
    heard = replace(probable(segmentation), states=made.token_states(tokens))
    found = made.losses(tokens, heard, noise())
    for term in plain.losses:
        assert torch.equal(found.losses[term].total, plain.losses[term].total)
    other = replace(heard, states=heard.states + 1)
    assert (made.encode(tokens, other).mean != found.posterior.mean)[segmentation.mask].all()


@EACH
def test_losses_with_learned_boundaries_add_up_however_the_rows_are_split(name: str) -> None:
    made = build(name=name, token_layers=1, mask_rows=0.6, mask_ratio=0.5)
    tokens, segmentation = batch()
    segmentation = probable(segmentation)
    for step in range(3):
        whole = made.losses(tokens, segmentation, noise(step))
        parts = [
            made.losses(
                tokens.rows(slice(a, b)), segmentation.rows(slice(a, b)), noise(step, first=a)
            )
            for a, b in ((0, 1), (1, 4))
        ]
        for term_name, term in whole.losses.items():
            total = sum(part.losses[term_name].total for part in parts)
            torch.testing.assert_close(total, term.total, atol=1e-9, rtol=1e-9)


def test_the_masked_view_hides_its_tokens_from_the_token_layers() -> None:
    made = build(token_layers=1, encoder_layers=0, mask_rows=1.0, mask_ratio=0.99, mask_weight=1.0)
    tokens, segmentation = batch()
    hidden = torch.full_like(tokens.tokens, VOCABULARY.mask)
    seen = []
    made.token_encoder.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    made.losses(tokens, segmentation, noise())
    share = (seen[1] == made.embedding(hidden)).all(-1)[tokens.mask].double().mean()
    assert share > 0.9
    assert torch.equal(seen[1][~tokens.mask], seen[0][~tokens.mask])  # fillers are not hidden


def test_model_flops_count_the_token_layers() -> None:
    made = build(False, token_layers=2, mask_weight=0.0)
    tokens, segmentation = batch([[3] * 4] * 4)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        made.losses(tokens, segmentation, noise())
    # Layers, 4 width, rows, the pairs that causality drops: over segments, over tokens.
    dense = 4 * 4 * 32 * 4 * (16 - 10) + 2 * 4 * 8 * 4 * (144 - 78)
    counted = made.flops(4, 4) + made.token_flops(4, 12)
    assert counter.get_total_flops() == pytest.approx(counted + dense, rel=0.01)
    assert build(False).token_flops(4, 12) == 0
    twice = build(False, token_layers=2, mask_weight=1.0, mask_rows=1.0)
    assert twice.token_flops(4, 12) == 2 * made.token_flops(4, 12)


def test_heads_are_as_many_as_divide_the_embedding() -> None:
    made = colaflex.build(
        "representation",
        "text_vae",
        vocabulary=VOCABULARY,
        max_segment_tokens=3,
        width=32,
        heads=4,
        embedding_dim=12,
        token_layers=1,
    )
    assert made.token_encoder.heads == 3
