"""Options of the solvers. Imports neither torch nor diffusers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from colaflex.interfaces.configs import SolverConfig

__all__ = ["DpmPlusPlusConfig", "EulerConfig", "HeunConfig", "SchedulerConfig", "UniPCConfig"]


class SchedulerConfig(SolverConfig):
    """Shared base: where the steps lie."""

    shift: float = Field(
        1.0,
        gt=0,
        le=100,
        description="Where the steps lie: times s of an equal grid become "
        "shift · s / (1 + (shift - 1) · s); 1 keeps them equal, more gives the noisy end more.",
    )

    def evaluations(self, steps: int) -> int:
        """One a step."""
        return steps


class EulerConfig(SchedulerConfig):
    """Euler: order 1."""


class HeunConfig(SchedulerConfig):
    """Heun: order 2; the last step, into t = 0, is Euler's."""

    def evaluations(self, steps: int) -> int:
        """Two a step, one in the last."""
        return 2 * steps - 1


class DpmPlusPlusConfig(SchedulerConfig):
    """DPM-Solver++, multistep, in the prediction of the data over half the log-SNR."""

    order: int = Field(
        2,
        ge=1,
        le=3,
        description="Order of the inner steps; first and last ones are of lower order.",
    )
    variant: Literal["midpoint", "heun"] = Field(
        "midpoint", description="Form of the step of order 2."
    )


class UniPCConfig(SchedulerConfig):
    """UniPC: a multistep predictor, and a corrector that uses the next step's evaluation."""

    order: int = Field(
        2,
        ge=1,
        le=3,
        description="Order of the inner predictors; the corrector's is one higher.",
    )
