"""Options of the schedules. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from colaflex.interfaces.capabilities import ScheduleCapabilities
from colaflex.interfaces.component import Slot
from colaflex.interfaces.configs import ScheduleConfig
from colaflex.interfaces.search import SearchRange

__all__ = ["AdaptiveConfig", "LogitNormalConfig", "TangentConfig", "UniformConfig"]


class LogitNormalConfig(ScheduleConfig):
    """t = sigmoid(loc + scale · n), n ~ N(0, 1)."""

    loc: Annotated[
        Annotated[float, Field(ge=-10, le=10)] | Literal["auto"], SearchRange(low=-1.0, high=3.0)
    ] = Field(
        1.0,
        description="Mean of logit t; larger trains on more noise. auto: 1 + ½ ln(latent_dim "
        "/ 16).",
    )
    scale: float = Field(1.0, gt=0, le=10, description="Standard deviation of logit t.")


class UniformConfig(ScheduleConfig):
    """All times alike; there is nothing else to choose."""


class TangentConfig(ScheduleConfig):
    """Noise over signal is t / (1 - t) = shift · tan(π u / 2), u uniform."""

    shift: Annotated[float, SearchRange(low=1.0, high=10.0, log=True)] = Field(
        3.0,
        gt=0,
        le=1000,
        description="Median of noise over signal, t / (1 - t) (no unit); larger trains on more "
        "noise.",
    )


class AdaptiveConfig(ScheduleConfig):
    """Noise levels are drawn as often as they tell something of the data."""

    source: Annotated[
        Literal["x0", "readout", "decoder"], SearchRange(choices=("x0", "readout"))
    ] = Field(
        "x0",
        description="What tells: the error of the clean latents, what the prior's readout says of "
        "the text, or what the decoder makes of the expected latents.",
    )
    base: Annotated[ScheduleConfig, Slot("schedule")] = Field(
        "logit_normal", description="Law that it starts from, and keeps a share of."
    )  # type: ignore[assignment]
    floor: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of the base law that stays, so that the data's end is learned as well.",
    )
    warmup: float = Field(
        0.1, ge=0, le=1, description="Share of the stage's steps by the base law alone."
    )
    bins: int = Field(
        64, ge=16, le=1024, description="Bins of logit t, from -8 to 8, that are told apart."
    )
    decay: float = Field(
        0.998,
        gt=0,
        le=1,
        description="What is left of what was seen after a further step; 1 forgets nothing.",
    )
    refresh: int = Field(
        50, ge=1, le=100_000, description="Steps after which the law follows what was seen."
    )
    share: float = Field(
        0.125,
        gt=0,
        le=1,
        description="Share of the steps that ask the decoder, a forward pass of it (source: "
        "decoder).",
    )

    @model_validator(mode="after")
    def _base_rests(self) -> Self:
        if self.base.capabilities().source != "none":
            raise ValueError(f"the base {self.base.type} follows the training; name one that rests")
        return self

    def capabilities(self) -> ScheduleCapabilities:
        """It follows what the source tells."""
        return ScheduleCapabilities(source=self.source)
