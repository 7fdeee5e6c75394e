"""Guidance: what the network's states give, moved away from what they give without history."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from colaflex.interfaces.network import Network
from colaflex.interfaces.solver import VelocityField
from colaflex.priors.prefix import LatentLift, Prefix

__all__ = ["LastCall", "block_times", "guided"]


def guided(
    of_states: Callable[[Tensor], Tensor],
    network: Network,
    lift: LatentLift,
    state: Prefix,
    guidance: float,
    told: Tensor | None,
) -> Callable[[Tensor, Tensor], Tensor]:
    """(points, times) -> what is made of the network's states there, guided.

    Guidance is off in rows whose history is empty.

    Args:
        of_states: what is made of states, in a form in which guidance is linear.
        network: the prior's.
        lift: of its points.
        state: what stands before the block.
        guidance: g in g · conditional + (1 - g) · unconditional; 1 is off.
        told: (rows, block, width), added to the lifted points, or None.
    """
    opens = state.lengths == 0
    on = guidance != 1.0 and not bool(opens.all())

    def lifted(points: Tensor, opens: Tensor | None) -> Tensor:
        found: Tensor = lift(points, opens)
        return found if told is None else found + told

    def made(points: Tensor, times: Tensor) -> Tensor:
        conditional = of_states(network(lifted(points, opens), times, state.history))
        if not on:
            return conditional
        free = of_states(network(lifted(points, None), times, None))
        mixed = torch.lerp(free, conditional, guidance)
        return torch.where(opens[:, None, None], conditional, mixed)

    return made


class LastCall:
    """A field that remembers where it was asked last.

    Attributes:
        time: scalar, or (n_times,).
        points: (rows, block, dim); empty before the first call.
    """

    def __init__(self, field: VelocityField) -> None:
        self._field = field
        self.time = torch.empty(())
        self.points = torch.empty(0)

    def __call__(self, time: Tensor, points: Tensor) -> Tensor:
        """The field's velocity there."""
        self.time, self.points = time, points
        return self._field(time, points)


def block_times(time: Tensor, points: Tensor, pinned: Tensor | None) -> Tensor:
    """(1 or rows, 1 or block, n_times): a time for all, 0 at pinned positions."""
    times = time.to(points.dtype).reshape(1, 1, -1)
    return times if pinned is None else torch.where(pinned[..., None], 0.0, times)
