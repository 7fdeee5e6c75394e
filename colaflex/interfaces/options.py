"""How latents and tokens are sampled. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MAX_NEW_TOKENS", "SamplingOptions", "TokenSampling"]

MAX_NEW_TOKENS = 65_536
"""Of one continuation: the caches of a row grow with its length, and attention with its square."""


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """How a block is sampled.

    Attributes:
        steps: solver intervals per block.
        guidance: g in g·conditional + (1-g)·unconditional; 1 is off.
        reencode: whether later blocks see a block through the tokens decoded from it, encoded
            again, instead of its sampled latents.
        estimate: whether each step but the last follows the expected clean latents (mean), or ones
            drawn from what the readout says (draw).
        renoise: share r of fresh noise in each step, r in [0, 1]; 0 keeps the path's own.
        grid: the times at which a sampler looks, uniform or power(p).

    Example:
        >>> SamplingOptions(steps=4, guidance=2.0).along_the_flow
        True
        >>> SamplingOptions(steps=4, renoise=0.5).along_the_flow
        False
    """

    steps: int = 16
    guidance: float = 1.0
    reencode: bool = False
    estimate: str = "mean"
    renoise: float = 0.0
    grid: str = "uniform"

    @property
    def along_the_flow(self) -> bool:
        """Whether a solver follows the field, in the mean and at even times."""
        return (self.estimate, self.renoise, self.grid) == ("mean", 0.0, "uniform")


@dataclass(frozen=True, slots=True)
class TokenSampling:
    """How tokens are drawn from logits.

    Attributes:
        temperature: 0 takes the most probable token.
        top_k: keep the k most probable tokens; 0 keeps all.
        top_p: keep the smallest set of tokens whose probability reaches p.
        repetition_penalty: divides positive logits of tokens seen before, multiplies negative ones.

    Example:
        >>> TokenSampling(temperature=0.8, top_p=0.95)
        TokenSampling(temperature=0.8, top_k=0, top_p=0.95, repetition_penalty=1.0)
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
