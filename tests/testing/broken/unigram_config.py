"""Config of the unigram baseline; imports no torch."""

from __future__ import annotations

from colaflex.interfaces.capabilities import BaselineCapabilities
from colaflex.interfaces.configs import BaselineConfig


class UnigramConfig(BaselineConfig):
    """Every token by itself."""

    def capabilities(self) -> BaselineCapabilities:
        return BaselineCapabilities(likelihood="exact")
