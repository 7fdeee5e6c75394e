"""Options of the scorer `exact`. Imports no torch."""

from __future__ import annotations

from colaflex.interfaces.configs import ScorerConfig

__all__ = ["ExactConfig"]


class ExactConfig(ScorerConfig):
    """An answer is right where it says the truth; there is nothing to choose."""
