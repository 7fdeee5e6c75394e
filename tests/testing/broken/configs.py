"""Configs with one fault each, on a solver that is sound."""

# ruff: noqa: ANN001  what overrides a method has the types of what it overrides

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from colaflex.solvers.configs import EulerConfig
from colaflex.solvers.ode import OdeSolver


class UndescribedConfig(EulerConfig):
    rate: float = Field(1.0, ge=0)


class UnboundedConfig(EulerConfig):
    rate: float = Field(1.0, description="A rate.")


class LaxConfig(EulerConfig):
    model_config = ConfigDict(extra="ignore")


class Inner(BaseModel):
    rate: float = Field(1.0, ge=0, description="A rate.")


class LaxInsideConfig(EulerConfig):
    inner: Inner = Field(Inner(), description="More options.")


class WrongDefaultConfig(EulerConfig):
    rate: float = Field(-1.0, ge=0, description="A rate.")


class RequiredConfig(EulerConfig):
    rate: float = Field(ge=0, description="A rate.")


class OtherKindConfig(EulerConfig):
    kind = "prior"


class NonsenseEvaluationsConfig(EulerConfig):
    def evaluations(self, steps):
        return "many"


class Undescribed(OdeSolver):
    config: UndescribedConfig


class Unbounded(OdeSolver):
    config: UnboundedConfig


class Lax(OdeSolver):
    config: LaxConfig


class LaxInside(OdeSolver):
    config: LaxInsideConfig


class WrongDefault(OdeSolver):
    config: WrongDefaultConfig


class Required(OdeSolver):
    config: RequiredConfig


class OtherKind(OdeSolver):
    config: OtherKindConfig


class NonsenseEvaluations(OdeSolver):
    config: NonsenseEvaluationsConfig


class ConfigImportsTorch(OdeSolver):
    config: UndescribedConfig


FAULTS = {
    Undescribed: ("config.described", "UndescribedConfig.rate has no description"),
    Unbounded: ("config.bounded", "UnboundedConfig.rate is a number without bounds"),
    Lax: ("config.strict", 'LaxConfig lacks extra="forbid"'),
    LaxInside: ("config.strict", 'Inner lacks extra="forbid"'),
    WrongDefault: ("config.defaults", "rate: Input should be greater than or equal to 0"),
    Required: ("config.defaults", "rate: Field required"),
    OtherKind: ("config.kind", "has kind = 'prior'"),
    NonsenseEvaluations: ("config.declares", "evaluations"),
    ConfigImportsTorch: ("config.light", "brings torch in"),
}
