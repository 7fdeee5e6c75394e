"""Config base of the priors that learn on paths between noise and data. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from colaflex.interfaces.capabilities import PriorCapabilities
from colaflex.interfaces.component import AbsentMeans, ComponentConfig, Slot
from colaflex.interfaces.configs import PriorConfig
from colaflex.interfaces.search import SearchRange

__all__ = ["PathPriorConfig", "Schedule"]


class Schedule(BaseModel):
    """Which times training draws: t = sigmoid(loc + scale · n), n ~ N(0, 1); t = 1 is noise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    distribution: Literal["logit_normal", "uniform"] = Field(
        "logit_normal", description="Law of the training times; uniform ignores loc and scale."
    )
    loc: Annotated[float, SearchRange(low=-1.0, high=3.0)] = Field(
        1.0, ge=-10, le=10, description="Mean of logit t; larger trains on more noise."
    )
    scale: float = Field(1.0, gt=0, le=10, description="Standard deviation of logit t.")


class PathPriorConfig(PriorConfig):
    """Shared base of priors that learn on straight paths between noise and latents."""

    network: Annotated[ComponentConfig, Slot("network")] = Field(
        "block_causal", description="Backbone under the prior."
    )  # type: ignore[assignment]
    readout: Annotated[str, AbsentMeans("linear")] = Field(
        "auto",
        min_length=1,
        max_length=100,
        description="How network states become clean latents: linear, or one that the "
        "representation offers (of tokens: categorical, chained, through_decoder, second_head); "
        "auto: the first that it offers, else linear.",
    )
    history: Annotated[Literal["auto", "latents", "states"], AbsentMeans("latents")] = Field(
        "auto",
        description="How the prior reads what stands before a block: its latents, or its text as "
        "the representation reads it (states); auto: the latter where it is offered.",
    )
    schedule: Schedule = Field(Schedule(), description="Law of the training times.")
    coupling: Annotated[ComponentConfig, Slot("coupling")] = Field(
        "independent", description="How noise is paired with data in training."
    )  # type: ignore[assignment]
    noisings: int = Field(
        1,
        ge=1,
        le=64,
        description="Noisings of each latent per step; they share one pass over the history.",
    )
    history_dropout: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of rows trained with empty history, the unconditional branch that "
        "guidance needs.",
    )
    pinned_blocks: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of blocks of which a random prefix is given clean in training, as the "
        "tail of a prompt is when sampling (clean repaint).",
    )

    def capabilities(self) -> PriorCapabilities:
        """No likelihood, guidance by empty history, blocks in order."""
        return PriorCapabilities(likelihood="none", guidance=True, readout=True, history=True)
