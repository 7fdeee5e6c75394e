"""Random draws keyed by what they are for, so that nothing depends on what was drawn before."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Noise", "SampleNoise", "generator_for", "row_keys"]

SOME_STEPS = 0.25


def generator_for(*key: object) -> torch.Generator:
    """A CPU generator whose state is a pure function of the key.

    Example:
        >>> one, two = generator_for("seed", 0), generator_for("seed", 0)
        >>> torch.rand(3, generator=one).equal(torch.rand(3, generator=two))
        True
    """
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


@dataclass(frozen=True, slots=True)
class Noise:
    """Draws of one training step, keyed by (seed, purpose, step).

    Every process draws for the whole global batch and keeps its own rows: the draws are a few
    numbers a latent, small beside a training step, and in return any number of processes or
    accumulation steps sees the same noise.

    Attributes:
        seed: the run's seed.
        step: step of the stage, with the stage's name in `scope`.
        scope: name of the stage.
        first: index of this batch's first row in the global batch.
        total: rows of the global batch, or None where this batch is all of it.
        steps: of the stage, or None where the training has no known end.

    Example:
        >>> whole = Noise(seed=0, step=7).normal("flow", (4, 8), like=torch.zeros(1))
        >>> last = Noise(seed=0, step=7, first=2).normal("flow", (2, 8), like=torch.zeros(1))
        >>> last.equal(whole[2:])  # whatever process draws them
        True
    """

    seed: int
    step: int = 0
    scope: str = ""
    first: int = 0
    total: int | None = None
    steps: int | None = None

    @property
    def progress(self) -> float:
        """How much of the stage lies behind, in [0, 1]; 1 where the end is not known."""
        return min(1.0, self.step / self.steps) if self.steps else 1.0

    def in_some_steps(self, share: float) -> float:
        """A share to be met on average, all of it in a quarter of the steps: 0 in the others.

        For what makes a step dearer once it occurs; all that ask meet in the same steps.
        """
        often = max(SOME_STEPS, share)
        return share / often if self.of_step("some steps") < often else 0.0

    def of_step(self, purpose: str) -> float:
        """A uniform draw in [0, 1), one for all rows of the step."""
        draw = generator_for(self.seed, self.scope, purpose, self.step)
        return float(torch.rand((), generator=draw))

    def _draw(self, purpose: str, shape: Sequence[int], kind: str) -> Tensor:
        total = self.total if self.total is not None else self.first + shape[0]
        generator = generator_for(self.seed, self.scope, purpose, self.step)
        draw = torch.randn if kind == "normal" else torch.rand
        return draw(total, *shape[1:], generator=generator)[self.first : self.first + shape[0]]

    def normal(self, purpose: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """Standard-normal draws; the first of `shape` counts rows; device and dtype as `like`."""
        return self._draw(purpose, shape, "normal").to(like)

    def uniform(self, purpose: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """Uniform draws in [0, 1); the first of `shape` counts rows."""
        return self._draw(purpose, shape, "uniform").to(like)


@dataclass(frozen=True, slots=True)
class SampleNoise:
    """Draws for generation: every row has a key of its own and does not see its neighbours.

    Attributes:
        keys: one per row; equal keys give equal draws, whatever the batch.

    Example:
        >>> both = SampleNoise(("a", "b")).normal("flow", (8,), like=torch.zeros(1))
        >>> alone = SampleNoise(("b",)).normal("flow", (8,), like=torch.zeros(1))
        >>> alone.equal(both[1:])
        True
    """

    keys: tuple[str, ...]

    def normal(self, purpose: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """(rows, *shape) standard-normal draws; drawn in fp32 so that precision changes nothing."""
        drawn = [torch.randn(*shape, generator=generator_for(k, purpose)) for k in self.keys]
        return torch.stack(drawn).to(like)

    def uniform(self, purpose: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """(rows, *shape) uniform draws in [0, 1)."""
        drawn = [torch.rand(*shape, generator=generator_for(k, purpose)) for k in self.keys]
        return torch.stack(drawn).to(like)

    def select(self, rows: Sequence[int]) -> SampleNoise:
        """The draws of some of the rows."""
        return SampleNoise(tuple(self.keys[row] for row in rows))


def row_keys(
    prompts: Sequence[Sequence[int]], seed: int, earlier: Sequence[Sequence[int]] = ()
) -> tuple[str, ...]:
    """A key per row: equal for equal (seed, prompt, repetition), whatever else is in the batch.

    Example:
        >>> len(set(row_keys([[1, 2], [1, 2], [3]], seed=0)))
        3
    """
    before = Counter(tuple(prompt) for prompt in earlier)
    keys = []
    for prompt in prompts:
        tokens = tuple(prompt)
        keys.append(f"{seed}:{tokens}:{before[tokens]}")
        before[tokens] += 1
    return tuple(keys)
