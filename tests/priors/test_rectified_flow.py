"""The rectified flow and its teacher."""

from __future__ import annotations

import pytest
import torch
from random_priors import BLOCK, BLOCKS, DIM, ROWS, batch, latents, shaken, unconditional
from toys import small_prior

from colaflex.interfaces.noise import Noise


def test_a_rectified_flow_first_trains_its_own_teacher() -> None:
    prior = shaken("rectified_flow")
    teacher, reflow = prior.phases(teacher_fraction=0.3)
    assert (teacher.name, teacher.share, reflow.name) == ("teacher", 0.3, "prior")
    assert reflow.share == pytest.approx(0.7)
    flow = shaken("flow_matching")
    for name, parameter in flow.state_dict().items():
        prior.state_dict()[name].copy_(parameter)
    data = batch(latents())
    same = flow.losses(data, Noise(0))["flow"].total
    torch.testing.assert_close(teacher.losses(data, Noise(0))["flow"].total, same)
    assert reflow.flops(8, 12) > teacher.flops(8, 12) == flow.training_flops(8, 12)
    frozen = prior.teacher.lift.weight.clone()
    assert not torch.equal(frozen, prior.lift.weight)
    reflow.start()
    assert torch.equal(prior.teacher.lift.weight, prior.lift.weight)
    assert {"teacher.head.weight", "teacher.head.bias"} <= set(prior.state_dict())


@torch.no_grad()
@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_reflow_pairs_noise_with_the_teachers_sample(guidance: float) -> None:
    prior = shaken(
        "rectified_flow",
        teacher_steps=3,
        teacher_guidance=guidance,
        pinned_blocks=1.0,
        history_dropout=0.4,
    )
    prior.phases()[1].start()
    values = latents()
    path = prior.draw_path(batch(values), Noise(2), 1)
    taught, _ = prior._teach(prior.blocks(values), path)
    assert torch.equal(taught[path.masks.pinned], path.data[path.masks.pinned])
    for row in range(ROWS):
        for block in range(BLOCKS):
            state = unconditional(prior, 1) if path.masks.blind[row] else prior.begin(1)
            if block and not path.masks.blind[row]:
                state = prior.commit(state, values[row : row + 1, : block * BLOCK])
            pinned = path.masks.pinned[row : row + 1, block]
            start = torch.where(pinned[..., None], path.data[row, block], path.noise[row, block])
            field = prior.field(state, 1.0 if path.masks.blind[row] else guidance, pinned)
            expected = prior.solver.solve(field, start, 3)
            torch.testing.assert_close(taught[row : row + 1, block], expected, atol=1e-9, rtol=0)


def test_what_is_straight_already_has_no_reflow_loss() -> None:
    prior = small_prior("rectified_flow", DIM, BLOCK)  # zero velocity: noise is mapped to itself
    assert prior.losses(batch(latents(double=False)), Noise(0))["reflow"].total.item() == 0.0


def test_a_teacher_may_be_adopted_if_it_fits() -> None:
    teacher, prior = shaken("flow_matching"), small_prior("rectified_flow", DIM, BLOCK).double()
    prior.adopt_teacher(teacher)
    assert [phase.name for phase in prior.phases()] == ["prior"]
    torch.testing.assert_close(prior.sample(2, 2), teacher.sample(2, 2))
    for name, parameter in prior.teacher.state_dict().items():
        assert torch.equal(parameter, teacher.state_dict()[name])
    second = small_prior("rectified_flow", DIM, BLOCK)
    second.adopt_teacher(shaken("rectified_flow", double=False))
    misfits = {
        "prediction": small_prior("flow_matching", DIM, BLOCK, prediction="x0"),
        "block_size": small_prior("flow_matching", DIM, 2),
        "network": small_prior("flow_matching", DIM, BLOCK, network={"width": 32}),
        "channels": small_prior("flow_matching", 2, BLOCK),
    }
    for cause, misfit in misfits.items():
        with pytest.raises(ValueError, match=cause):
            small_prior("rectified_flow", DIM, BLOCK).adopt_teacher(misfit)
    with pytest.raises(ValueError, match="learns from no teacher"):
        teacher.adopt_teacher(teacher)
