"""Exponential moving average of weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from colaflex.training.distributed import gather, is_sharded, local, scatter_like

__all__ = ["Ema"]


class Ema:
    """An exponential moving average of named parameters.

    The decay of update n (from 0) is min(decay, (1 + n) / (10 + n)), so that the first weights,
    which are random, are soon forgotten.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self._parameters = dict(parameters)
        self.averages = {name: local(p).clone() for name, p in self._parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take the present weights into the average."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        weights = [local(p) for p in self._parameters.values()]
        torch._foreach_lerp_(list(self.averages.values()), weights, 1 - decay)
        self.updates += 1

    def state(self) -> dict[str, Tensor]:
        """The averages, whole (collective where the weights are sharded)."""
        if not any(is_sharded(p.data) for p in self._parameters.values()):
            return dict(self.averages)
        with self.swapped_in():
            return {name: gather(p) for name, p in self._parameters.items()}

    @torch.no_grad()
    def load(self, averages: Mapping[str, Tensor], updates: int) -> None:
        """Continue from the averages that `state` gave."""
        for name, parameter in self._parameters.items():
            self.averages[name].copy_(local(scatter_like(averages[name], parameter)))
        self.updates = updates

    @torch.no_grad()
    def adopt(self) -> None:
        """Make the averages the weights, for good."""
        for name, parameter in self._parameters.items():
            local(parameter).copy_(self.averages[name])

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Evaluate with the averages; the weights come back afterwards, bit for bit."""
        with torch.no_grad():
            weights = {name: local(p).clone() for name, p in self._parameters.items()}
        self.adopt()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in self._parameters.items():
                    local(parameter).copy_(weights[name])
