"""What representations of tokens offer to priors. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from colaflex.interfaces.search import SearchRange

__all__ = ["OFFERED_READOUTS", "UNDRAWN_READOUTS", "ReadoutConfig"]

OFFERED_READOUTS = ("categorical", "chained", "through_decoder", "second_head")
"""The readouts that all representations of tokens make; the first is what `auto` takes."""

UNDRAWN_READOUTS = ("through_decoder", "second_head")


class ReadoutConfig(BaseModel):
    """How a prior's readout and its reading of history are made; stage 1 has nothing of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: Annotated[float, SearchRange(choices=(0.02, 0.1, 0.5))] = Field(
        0.1,
        ge=0,
        le=100,
        description="Of the cross-entropy of a latent's tokens, nats per latent, beside the "
        "prior's own loss.",
    )
    embedding_dim: int | None = Field(
        None,
        ge=4,
        le=8192,
        description="Channels of a token's embedding; null: as many as the decoder's have. A small "
        "one keeps a large vocabulary cheap.",
    )
    embeddings: Literal["own", "shared", "frozen"] = Field(
        "own",
        description="The embeddings that an estimate is the mean of: the readout's own, the "
        "decoder's as they are (shared), or these as stage 1 left them (frozen).",
    )
