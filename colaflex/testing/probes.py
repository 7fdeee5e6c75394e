"""Comparisons and inputs that the checks of several kinds share."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn

from colaflex.interfaces.losses import Losses
from colaflex.testing.results import Fault

__all__ = [
    "demand_close",
    "demand_gradients",
    "demand_own_draws",
    "drawn",
    "gap",
    "objective",
    "shake",
]

T = TypeVar("T")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Standard-normal float64 numbers, the same at every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def shake(module: nn.Module, scale: float = 0.1) -> None:
    """Add noise to every weight: what starts at zero would hide mistakes behind it."""
    draws = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.is_floating_point():
                noise = torch.randn(parameter.shape, generator=draws)
                parameter.add_(scale * noise.to(parameter))


def gap(one: Tensor, other: Tensor) -> float:
    """Largest difference, relative where the numbers are larger than 1; inf for other shapes."""
    if one.shape != other.shape:
        return float("inf")
    if not one.numel():
        return 0.0
    size = max(1.0, float(other.detach().abs().max()))
    largest = float((one.detach().double() - other.detach().double()).abs().max()) / size
    return largest if largest == largest else float("inf")


def demand_close(one: Tensor, other: Tensor, tolerance: float, what: str) -> None:
    """Raise Fault unless two results agree within a tolerance."""
    if one.shape != other.shape:
        raise Fault(f"{what}: the shapes differ, {tuple(one.shape)} and {tuple(other.shape)}")
    distance = gap(one, other)
    if not distance <= tolerance:
        raise Fault(f"{what}: off by {distance:.2g}, allowed is {tolerance:g}")


def objective(terms: Losses) -> Tensor:
    """The weighted sum of loss terms; raises Fault where one is no scalar or not finite."""
    total = torch.zeros(())
    for name, term in terms.items():
        if term.total.ndim:
            raise Fault(f"the loss term {name!r} has shape {tuple(term.total.shape)}, no scalar")
        if not torch.isfinite(term.total):
            raise Fault(f"the loss term {name!r} is {term.total.item()}")
        total = total + term.weight * term.total
    return total


def demand_own_draws(act: Callable[[], Iterable[Tensor]], what: str) -> None:
    """Raise Fault where something draws from, or reseeds, a global random generator."""
    state, python_state = torch.get_rng_state(), random.getstate()
    try:
        results = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            random.seed(seed)
            before, python_before = torch.get_rng_state(), random.getstate()
            results.append([tensor.detach().clone() for tensor in act()])
            moved = not torch.equal(before, torch.get_rng_state())
            if moved or python_before != random.getstate():
                raise Fault(f"{what} draws from the global random generator, not from its noise")
        for one, other in zip(*results, strict=True):
            if not torch.equal(one, other):
                raise Fault(f"{what}: twice the same, and the results differ (what is random?)")
    finally:
        torch.set_rng_state(state)
        random.setstate(python_state)


def demand_gradients(
    module: nn.Module, learned: Iterable[nn.Parameter], loss: Callable[[int], Tensor]
) -> None:
    """Raise Fault unless, after three optimiser steps, every parameter gets a finite gradient.

    What starts at zero passes no gradient on at first; three steps open three such gates. Where a
    step's draws leave a part out, it has eight more to get its gradient.

    Args:
        module: names the parameters.
        learned: parameters that should learn.
        loss: step -> loss.
    """
    parameters = list(learned)
    names = {id(p): name for name, p in module.named_parameters()}
    untouched = {id(p) for p in parameters}
    optimizer = torch.optim.Adam(parameters, lr=1e-2) if parameters else None
    for step in range(11):
        if optimizer is None or (step > 3 and not untouched):
            return
        value = loss(step)
        if not value.requires_grad:
            raise Fault("the losses carry no gradient at all")
        value.backward()
        for p in parameters:
            name = names.get(id(p), "a parameter that the module doesn't have")
            if p.grad is not None and not torch.isfinite(p.grad).all():
                raise Fault(f"the gradient of {name} is not finite in step {step}")
            if step >= 3 and p.grad is not None and bool(p.grad.any()):
                untouched.discard(id(p))
        if step < 3:
            optimizer.step()
        optimizer.zero_grad()
    if untouched:
        missing = sorted(names.get(i, "?") for i in untouched)
        raise Fault(f"no gradient reaches {', '.join(missing[:4])} ({len(missing)} in all)")
