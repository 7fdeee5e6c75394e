from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

import colaflex
from colaflex.host.registry import registry
from colaflex.testing import conformance_checks

pytest.importorskip("colaflex_diffusers")

NAMES = ("diffusers_euler", "diffusers_heun", "diffusers_dpmpp", "diffusers_unipc")
CASES = (
    ("diffusers_euler", {}, 1),
    ("diffusers_heun", {}, 2),
    ("diffusers_dpmpp", {"order": 1}, 1),
    ("diffusers_dpmpp", {}, 2),
    ("diffusers_dpmpp", {"variant": "heun"}, 2),
    ("diffusers_dpmpp", {"order": 3}, 2),  # its first and last steps are of lower order
    ("diffusers_unipc", {"order": 1}, 2),
    ("diffusers_unipc", {}, 2),
    ("diffusers_unipc", {"order": 3}, 2),
)


def solver(name: str, **options: Any) -> Any:
    return colaflex.build("solver", name, **options)


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


CHECKS = [
    pytest.param(*each.values, id=f"{name}-{each.id}")
    for name in NAMES
    for each in conformance_checks("solver", name)
]


@pytest.mark.parametrize("check", CHECKS)
def test_conformance(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize(("name", "options", "order"), CASES)
def test_they_converge_at_their_order(name: str, options: Any, order: int) -> None:
    # dz/dt = z cos 3t from z(1) = 1; coarse grids are far from their limit, and below 3e-6 the
    # schedulers' rounding to fp32 shows.
    truth = math.exp(-math.sin(3) / 3)
    start = torch.ones(1, 1, 1, dtype=torch.float64)
    errors = [
        abs(solver(name, **options).solve(lambda t, z: z * (3 * t).cos(), start, n).item() - truth)
        for n in (16, 128)
    ]
    assert errors[0] / max(errors[1], 3e-6) > 0.75 * 8**order, errors
    assert errors[1] < (1e-2 if order == 1 else 4e-4)


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("name", NAMES)
def test_the_velocity_is_asked_as_often_as_declared_and_at_the_shifted_times(
    name: str, shift: float
) -> None:
    for steps in (1, 2, 7, 30):
        asked: list[float] = []

        def velocity(time: Any, state: Any, asked: list[float] = asked) -> Any:
            asked.append(float(time))
            return state

        chosen = solver(name, shift=shift)
        chosen.solve(velocity, torch.ones(2, 3, 2), steps)
        assert len(asked) == chosen.config.evaluations(steps)
        equal = [1 - i / steps for i in range(steps)]
        expected = [shift * t / (1 + (shift - 1) * t) for t in equal]
        if name == "diffusers_heun":
            expected = [expected[0], *(t for t in expected[1:] for _ in range(2))]
        assert asked == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("steps", [1, 5, 50])
@pytest.mark.parametrize(("name", "options"), [("euler", {}), ("dpmpp", {"order": 1})])
def test_order_one_on_an_equal_grid_is_our_euler(name: str, options: Any, steps: int) -> None:
    # Also in the data's prediction: on straight paths it is constant where the velocity is.
    start, velocity = drawn(4, 3, 2), lambda t, z: (2 * z).sin() + t
    found = solver(f"diffusers_{name}", **options).solve(velocity, start, steps)
    torch.testing.assert_close(
        found, solver("euler").solve(velocity, start, steps), atol=1e-5, rtol=0
    )


def test_heun_differs_from_ours_in_its_last_step_alone() -> None:
    start, velocity = drawn(4, 3, 2), lambda t, z: torch.where(t > 0.15, (2 * z).sin(), 0 * z)
    found = solver("diffusers_heun").solve(velocity, start, 10)
    # Nothing moves below t = 0.15, where one step of ten begins: both take the same steps before.
    torch.testing.assert_close(found, solver("heun").solve(velocity, start, 10), atol=1e-5, rtol=0)


def test_the_shifted_grid_is_that_of_diffusers() -> None:
    import numpy as np
    from diffusers import FlowMatchEulerDiscreteScheduler

    theirs = FlowMatchEulerDiscreteScheduler(shift=3.0)
    theirs.set_timesteps(sigmas=np.linspace(1, 1 / 8, 8))
    torch.testing.assert_close(solver("diffusers_euler", shift=3.0).times(8).float(), theirs.sigmas)


@pytest.mark.parametrize("name", NAMES)
def test_a_state_in_double_precision_is_stepped_in_fp32_but_by_unipc(name: str) -> None:
    data, noise = torch.randn(
        2, 1, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    end = solver(name).solve(lambda t, z: noise - data, noise, 4)
    assert end.dtype == torch.float64
    error = (end - data).abs().max().item()
    assert error < 1e-6
    if name == "diffusers_dpmpp":  # its last step takes the data's prediction as it is
        return
    # UniPC begins 2^-24 below t = 1, its only error on a straight path.
    assert error > 1e-9


@pytest.mark.parametrize("name", NAMES)
def test_samples_do_not_depend_on_their_neighbours_or_on_a_global_generator(name: str) -> None:
    start, chosen = drawn(4, 3, 2), solver(name)
    torch.manual_seed(1)
    together = chosen.solve(lambda t, z: (3 * z).sin() + t, start, 6)
    torch.manual_seed(2)
    for row in range(4):
        alone = chosen.solve(lambda t, z: (3 * z).sin() + t, start[row : row + 1], 6)
        assert torch.equal(alone[0], together[row])


@pytest.mark.parametrize("name", NAMES)
def test_a_prior_samples_with_it_and_counts_its_evaluations(name: str) -> None:
    from colaflex.interfaces.options import SamplingOptions

    network = {"type": "block_causal", "width": 16, "layers": 1, "heads": 2, "time_width": 8}
    options = {"latent_dim": 2, "block_size": 2, "network": network}
    torch.manual_seed(0)
    prior = colaflex.build("prior", "flow_matching", solver=name, **options)
    torch.nn.init.normal_(prior.head.weight, std=0.5)
    found = prior.sample(3, 2, SamplingOptions(steps=4), seed=1)
    assert found.shape == (3, 4, 2)
    assert found.isfinite().all()
    assert torch.equal(found, prior.sample(3, 2, SamplingOptions(steps=4), seed=1))
    fine = [prior.sample(3, 2, SamplingOptions(steps=n), seed=1) for n in (64, 128)]
    # One flow, whatever the solver: the steps of an Euler grid still show a little.
    torch.testing.assert_close(fine[0], fine[1], atol=0.05, rtol=0)


def test_they_come_from_this_package_and_can_be_named_in_a_spec() -> None:
    entry = registry().find("solver", "diffusers_unipc")
    assert entry.distribution == "colaflex-diffusers"
    spec = colaflex.Spec.parse(
        {
            "name": "solved",
            "corpus": "worlds",
            "representation": {"latent_dim": 4},
            "prior": {"solver": {"type": "diffusers_unipc", "order": 3, "shift": 2}},
        }
    )
    assert spec.prior.solver.order == 3
