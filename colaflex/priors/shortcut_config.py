"""Config of the shortcut prior. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from colaflex.priors.average_velocity_config import AverageVelocityConfig

__all__ = ["ShortcutConfig"]


class ShortcutConfig(AverageVelocityConfig):
    """Steps of 1, 1/2, 1/4, ...; one is as long as the two of half its length that teach it."""

    halvings: int = Field(
        7,
        ge=1,
        le=20,
        description="How often the longest step is halved before a step counts as infinitely "
        "short; 7 is 128 steps.",
    )
    target_limit: float = Field(
        4.0,
        gt=0,
        le=1000,
        description="Largest magnitude of a self-made target, per channel (latent units).",
    )
