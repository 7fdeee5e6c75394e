"""Uniform times."""

from __future__ import annotations

from torch import Tensor

from colaflex.interfaces.schedule import Schedule

__all__ = ["Uniform"]


class Uniform(Schedule):
    """All times alike."""

    def quantile(self, shares: Tensor) -> Tensor:
        """The shares themselves."""
        return shares
