"""Options of the schedules. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from colaflex.interfaces.configs import ScheduleConfig
from colaflex.interfaces.search import SearchRange

__all__ = ["LogitNormalConfig", "TangentConfig", "UniformConfig"]


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
