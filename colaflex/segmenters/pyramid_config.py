"""Config of the two-level segmenter. Imports no torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Self

from pydantic import Field, model_validator

from colaflex.interfaces.capabilities import SegmenterCapabilities
from colaflex.interfaces.component import ComponentConfig, Slot
from colaflex.interfaces.configs import SegmenterConfig

__all__ = ["PyramidConfig"]


class PyramidConfig(SegmenterConfig):
    """Two levels: a coarse latent stands before every run of fine ones."""

    run: int = Field(3, ge=1, le=256, description="Fine segments that a coarse one stands for.")
    fine: Annotated[ComponentConfig, Slot("segmenter")] = Field(
        "fixed_patch", description="Segmenter of the fine segments."
    )  # type: ignore[assignment]

    @model_validator(mode="after")
    def _fine_of_one_level(self) -> Self:
        inner: SegmenterCapabilities = self.fine.capabilities()
        if inner.levels > 1:
            raise ValueError(
                f"fine: {self.fine.type} has {inner.levels} levels itself; choose a segmenter of "
                "one, e.g. fixed_patch"
            )
        if inner.needs_states:
            raise ValueError(
                f"fine: {self.fine.type} needs token states; choose a segmenter that needs none, "
                "e.g. fixed_patch"
            )
        return self

    def capabilities(self) -> SegmenterCapabilities:
        """As the fine segments', in groups of a coarse one and its run."""
        inner: SegmenterCapabilities = self.fine.capabilities()
        return replace(inner, levels=2, group=self.run + 1)
