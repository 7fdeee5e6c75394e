"""Config of the Gaussian prior. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from colaflex.interfaces.capabilities import PriorCapabilities
from colaflex.interfaces.configs import PriorConfig

__all__ = ["GaussianConfig"]


class GaussianConfig(PriorConfig):
    """Linear-Gaussian conditional of each block, in closed form: the floor for all priors."""

    context: int = Field(
        8, ge=0, le=1024, description="Latents before the block that its mean is linear in."
    )
    covariance: Literal["full", "diagonal"] = Field(
        "full", description="Covariance of a block given its context, over all its channels."
    )
    ridge: float = Field(
        1.0,
        gt=0,
        le=1e9,
        description="Standard-normal pseudo-observations at the start (blocks); their number goes "
        "on being learned, by how well each batch is predicted from those before it.",
    )
    memory: Annotated[int, Field(ge=1, le=10**9)] | Literal["all"] = Field(
        1000,
        description="Steps in which the weight of a batch falls to 1/e, for latents that move "
        "while the encoder learns; all: it never falls.",
    )

    def capabilities(self) -> PriorCapabilities:
        """An exact likelihood, no guidance, one evaluation whatever the steps."""
        return PriorCapabilities(
            likelihood="exact", fewest_steps=1, guidance=False, maximum_likelihood=True
        )
