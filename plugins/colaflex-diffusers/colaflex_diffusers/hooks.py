"""What this package offers to colaflex."""

from __future__ import annotations

import colaflex

__all__ = ["colaflex_components"]

SOLVERS = (
    ("euler", "Euler", "FlowMatchEulerDiscreteScheduler: order 1, one evaluation a step."),
    ("heun", "Heun", "FlowMatchHeunDiscreteScheduler: order 2, 2 · steps - 1 evaluations."),
    ("dpmpp", "DpmPlusPlus", "DPMSolverMultistepScheduler (DPM-Solver++): one evaluation a step."),
    ("unipc", "UniPC", "UniPCMultistepScheduler: one evaluation a step, used twice."),
)


@colaflex.hookimpl
def colaflex_components() -> list[colaflex.Component]:
    """The solvers `diffusers_euler`, `diffusers_heun`, `diffusers_dpmpp`, `diffusers_unipc`."""
    return [
        colaflex.Component(
            kind="solver",
            name=f"diffusers_{name}",
            target=f"colaflex_diffusers.solvers:{cls}",
            config=f"colaflex_diffusers.config:{cls}Config",
            summary=summary,
        )
        for name, cls, summary in SOLVERS
    ]
