"""Options of the solvers. Imports no torch."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from colaflex.interfaces.configs import SolverConfig

__all__ = [
    "AdaptiveConfig",
    "AdaptiveHeunConfig",
    "Bosh3Config",
    "Dopri5Config",
    "Dopri8Config",
    "EulerConfig",
    "FixedStepConfig",
    "HeunConfig",
    "MidpointConfig",
    "OdeConfig",
    "RungeKutta4Config",
]


class OdeConfig(SolverConfig):
    """Shared base; `method` is the name under which torchdiffeq knows the solver."""

    method: ClassVar[str]


class FixedStepConfig(OdeConfig):
    """A solver that takes as many equal steps as are asked for; `stages` evaluations each."""

    stages: ClassVar[int]

    def evaluations(self, steps: int) -> int:
        """Stages times steps."""
        return self.stages * steps


class AdaptiveConfig(OdeConfig):
    """A solver that chooses its steps by its error estimate.

    The estimate is taken over the whole batch, so that a row's sample depends on its neighbours
    within the tolerance.
    """

    rtol: float = Field(
        1e-5, ge=1e-12, le=1.0, description="Relative error allowed in a step (no unit)."
    )
    atol: float = Field(
        1e-5, ge=1e-12, le=1.0, description="Absolute error allowed in a step, in latent units."
    )
    max_intervals: int = Field(
        10_000, ge=1, le=10_000_000, description="Steps, rejected ones too, before it gives up."
    )

    def evaluations(self, steps: int) -> None:
        """Unknown beforehand: depends on the field and the tolerance."""
        del steps


class EulerConfig(FixedStepConfig):
    """Euler: order 1, one evaluation a step."""

    method = "euler"
    stages = 1


class MidpointConfig(FixedStepConfig):
    """Explicit midpoint: order 2, two evaluations a step, none at t = 0."""

    method = "midpoint"
    stages = 2


class HeunConfig(FixedStepConfig):
    """Heun's method (explicit trapezoid): order 2, two evaluations a step."""

    method = "heun2"
    stages = 2


class RungeKutta4Config(FixedStepConfig):
    """Runge-Kutta in its 3/8 form: order 4, four evaluations a step."""

    method = "rk4"
    stages = 4


class AdaptiveHeunConfig(AdaptiveConfig):
    """Heun with an Euler error estimate: order 2."""

    method = "adaptive_heun"


class Bosh3Config(AdaptiveConfig):
    """Bogacki-Shampine: order 3."""

    method = "bosh3"


class Dopri5Config(AdaptiveConfig):
    """Dormand-Prince: order 5."""

    method = "dopri5"


class Dopri8Config(AdaptiveConfig):
    """Dormand-Prince: order 8."""

    method = "dopri8"
