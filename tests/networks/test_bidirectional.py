"""The bidirectional transformer: who sees whom, and what it costs."""

from __future__ import annotations

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from colaflex.networks.bidirectional import BidirectionalTransformer
from colaflex.testing.probes import drawn, shake

WIDTH, PLACES = 16, 6


def built() -> BidirectionalTransformer:
    torch.manual_seed(0)
    made = BidirectionalTransformer(WIDTH, layers=2, heads=2)
    shake(made)
    return made.double()


def test_every_position_sees_every_other() -> None:
    model, x = built(), drawn(1, PLACES, WIDTH).requires_grad_()
    for place in range(PLACES):
        (gradient,) = torch.autograd.grad(model(x)[0, place].square().sum(), x)
        assert (gradient[0].abs().sum(-1) > 1e-6).all()


def test_order_matters_and_rows_do_not_see_each_other() -> None:
    model, x = built(), drawn(2, PLACES, WIDTH)
    turned = model(x.flip(1)).flip(1)
    assert not torch.allclose(turned, model(x), atol=1e-3)
    assert torch.allclose(model(x)[1:], model(x[1:]), atol=1e-12)


def test_training_and_inference_agree() -> None:
    model, x = built(), drawn(2, PLACES, WIDTH)
    learning = model(x)
    with torch.no_grad():
        assert torch.allclose(model(x), learning, atol=1e-12)
    model.gradient_checkpointing = True
    assert torch.equal(model(x), learning)


def test_model_flops_are_those_of_torch() -> None:
    model, x = built(), drawn(3, PLACES, WIDTH)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(x)
    assert counter.get_total_flops() == model.flops(3, PLACES)
