"""How latents and tokens are sampled. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MAX_NEW_TOKENS", "GuidanceCourse", "SamplingOptions", "TokenSampling"]

MAX_NEW_TOKENS = 65_536
"""Of one continuation: the caches of a row grow with its length, and attention with its square."""


LEAST_WEIGHT = 1e-5
"""Where a law's weight is smaller, guidance is off: rounded times are 0 and 1 too."""


@dataclass(frozen=True, slots=True)
class GuidanceCourse:
    """Guidance over the time t, from 1 (noise) to 0 (data): 1 + w(t) (g - 1).

    Attributes:
        scale: g in g·conditional + (1-g)·unconditional; 1 is off.
        interval: the times, ends included, at which it acts; elsewhere w = 0.
        law: w within it: constant is 1, data_end 1 - t, noise_end t.

    Example:
        >>> course = GuidanceCourse(3.0, interval=(0.0, 0.5), law="data_end")
        >>> [course.at(time) for time in (1.0, 0.5, 0.25, 0.0)]
        [1.0, 2.0, 2.5, 3.0]
        >>> course.branches(1.0), course.branches(0.5)
        (1, 2)
    """

    scale: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)
    law: str = "constant"

    @property
    def constant(self) -> bool:
        """Whether it is the same at all times."""
        return self.scale == 1.0 or (self.interval, self.law) == ((0.0, 1.0), "constant")

    def at(self, time: float) -> float:
        """The guidance at a time; exactly 1 where it is off."""
        if self.constant:
            return self.scale
        low, high = self.interval
        if not low - LEAST_WEIGHT <= time <= high + LEAST_WEIGHT:
            return 1.0
        weight = {"constant": 1.0, "data_end": 1.0 - time, "noise_end": time}[self.law]
        return 1.0 if weight < LEAST_WEIGHT else 1.0 + weight * (self.scale - 1.0)

    def branches(self, time: float) -> int:
        """Network evaluations that a prediction takes at a time."""
        return 1 if self.at(time) == 1.0 else 2


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
        renoise: share r of fresh noise in each step, r in [0, 1]; 0 keeps the path's own, and ddpm
            takes the share that the noising process has.
        grid: the times at which a sampler looks: uniform, power(p), law or prefix(rho).
        guidance_interval: the times, ends included, at which guidance acts.
        guidance_law: how guidance goes over time; see `GuidanceCourse`.
        noise_temperature: standard deviation of the noise that sampling draws.
        estimate_temperature: of what drawn estimates are drawn from; 0 takes the most probable.
        end: whether the last step gives the expected latents (mean) or drawn ones as well (draw).

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
    renoise: float | str = 0.0
    grid: str = "uniform"
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    guidance_law: str = "constant"
    noise_temperature: float = 1.0
    estimate_temperature: float = 1.0
    end: str = "mean"

    @property
    def course(self) -> GuidanceCourse:
        """Guidance over time."""
        return GuidanceCourse(self.guidance, self.guidance_interval, self.guidance_law)

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
