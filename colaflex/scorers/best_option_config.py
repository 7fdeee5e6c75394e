"""Options of the scorer `best_option`. Imports no torch."""

from __future__ import annotations

from colaflex.interfaces.configs import ScorerConfig

__all__ = ["BestOptionConfig"]


class BestOptionConfig(ScorerConfig):
    """An answer stands for the option that it is most similar to; there is nothing to choose."""
