"""The small frozen values that pass between components."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from colaflex.interfaces.one_line import one_line

__all__ = ["LatentBatch", "Posterior", "Segmentation", "TokenBatch", "Vocabulary"]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The token ids a representation deals in.

    Attributes:
        size: number of token ids, special ones included.
        end_of_text: id that ends a document and fills what is left of its last block.
        mask: id that hides a token in masked-reconstruction losses.
        texts: the text of each id, U+FFFD for bytes that are no character; empty where unknown.

    Example:
        >>> Vocabulary(size=300, end_of_text=256, mask=257)
        Vocabulary(size 300, end_of_text 256, mask 257, texts [0])
    """

    size: int
    end_of_text: int
    mask: int
    texts: tuple[str, ...] = ()

    __repr__ = one_line


@dataclass(frozen=True)
class TokenBatch:
    """Rows of tokens, one document (or one window of a long one) a row, never packed.

    Attributes:
        tokens: (batch, tokens) int64, filled with end-of-text behind each row's length.
        lengths: (batch,) int64, tokens that count; of a complete row, its end-of-text included.
        complete: (batch,) bool, whether the document ends within the row.
        forced: (batch, tokens) bool, tokens at which a segment must begin, or None.
        segments: (batch, segments) int64, the segments' lengths where they are settled, or None.

    Example:
        >>> tokens = torch.tensor([[5, 6, 7, 0], [8, 0, 0, 0]])  # 0 is end-of-text
        >>> batch = TokenBatch(tokens, torch.tensor([4, 2]), torch.tensor([True, True]))
        >>> batch.mask.sum(1)
        tensor([4, 2])
    """

    tokens: Tensor
    lengths: Tensor
    complete: Tensor
    forced: Tensor | None = None
    segments: Tensor | None = None

    __repr__ = one_line

    @cached_property
    def mask(self) -> Tensor:
        """(batch, tokens) bool: tokens that count."""
        positions = torch.arange(self.tokens.shape[1], device=self.tokens.device)
        return positions < self.lengths[:, None]

    def to(self, device: torch.device | str) -> TokenBatch:
        """The same batch on another device."""
        return self._each(lambda tensor: tensor.to(device))

    def rows(self, chosen: slice | Tensor) -> TokenBatch:
        """Some of the rows."""
        return self._each(lambda tensor: tensor[chosen])

    def _each(self, change: Callable[[Tensor], Tensor]) -> TokenBatch:
        forced = None if self.forced is None else change(self.forced)
        segments = None if self.segments is None else change(self.segments)
        tokens, lengths, complete = map(change, (self.tokens, self.lengths, self.complete))
        return TokenBatch(tokens, lengths, complete, forced, segments)


@dataclass(frozen=True)
class Segmentation:
    """Which span of tokens each latent stands for.

    Attributes:
        lengths: (batch, segments) int64, tokens of each segment in order; 0 behind the last one,
            and of a coarse segment, whose tokens are those of the fine ones that follow it.
        boundary_probability: (batch, tokens), differentiable, where the segmenter is learned.
        states: (batch, tokens, width), the token states by which the rows were cut, if any were.
        level: (batch, segments) int64, 0 the finest, or None where there is one level.

    Example:
        >>> segmentation = Segmentation(torch.tensor([[2, 1, 3], [4, 0, 0]]))
        >>> segmentation.starts[0], segmentation.count
        (tensor([0, 2, 3]), tensor([3, 1]))
    """

    lengths: Tensor
    boundary_probability: Tensor | None = None
    states: Tensor | None = None
    level: Tensor | None = None

    __repr__ = one_line

    def rows(self, chosen: slice | Tensor) -> Segmentation:
        """The segments of some of the rows."""
        parts = (self.boundary_probability, self.states, self.level)
        return Segmentation(
            self.lengths[chosen], *(None if each is None else each[chosen] for each in parts)
        )

    @cached_property
    def mask(self) -> Tensor:
        """(batch, segments) bool: segments that exist."""
        fine = self.lengths > 0
        return fine if self.level is None else fine | (self.level > 0)

    @cached_property
    def starts(self) -> Tensor:
        """(batch, segments) int64: each segment's first token; behind the last, the row's end."""
        return self.lengths.cumsum(1) - self.lengths

    @cached_property
    def count(self) -> Tensor:
        """(batch,) int64: number of segments of each row."""
        return self.mask.sum(1)

    def slots(self, tokens: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Lay the tokens out by segment.

        Args:
            tokens: (batch, tokens).
            size: slots of a segment, at least the longest length.

        Returns:
            (batch, segments, size) tokens, with arbitrary tokens in empty slots, and the bool mask
            of the slots that hold one.
        """
        slot = torch.arange(size, device=tokens.device)
        index = self._places(size, tokens.shape[1])
        grid = tokens.gather(1, index.flatten(1)).view(index.shape)
        return grid, slot < self.lengths[..., None]

    def spread(self, states: Tensor, size: int) -> Tensor:
        """(batch, tokens, width) of tokens -> (batch, segments, size, width), as `slots`."""
        index = self._places(size, states.shape[1]).flatten(1)
        wide = index[..., None].expand(-1, -1, states.shape[-1])
        laid: Tensor = states.gather(1, wide).unflatten(1, (-1, size))
        return laid

    def _places(self, size: int, tokens: int) -> Tensor:
        slot = torch.arange(size, device=self.lengths.device)
        return (self.starts[..., None] + slot).clamp_(max=tokens - 1)


@dataclass(frozen=True)
class Posterior:
    """q(z | x) of every latent: Gaussian, or a point where `log_variance` is None.

    Attributes:
        mean: (batch, segments, dim).
        log_variance: (batch, segments, dim) or broadcastable to it, or None.

    Example:
        >>> posterior = Posterior(torch.zeros(2, 8, 16), torch.zeros(2, 8, 16))
        >>> posterior.sample(torch.randn(2, 8, 16)).shape, posterior.kl().shape
        (torch.Size([2, 8, 16]), torch.Size([2, 8]))
        >>> posterior
        Posterior(mean (2, 8, 16), log_variance (2, 8, 16))
    """

    mean: Tensor
    log_variance: Tensor | None = None

    __repr__ = one_line

    def sample(self, noise: Tensor) -> Tensor:
        """mean + sigma · noise, with standard-normal noise of the mean's shape."""
        if self.log_variance is None:
            return self.mean
        return self.mean + torch.exp(0.5 * self.log_variance) * noise

    def mode(self) -> Tensor:
        """(batch, segments, dim): the most probable latents."""
        return self.mean

    def entropy(self) -> Tensor:
        """(batch, segments) differential entropy in nats; raises ValueError for a point."""
        if self.log_variance is None:
            raise ValueError("a deterministic posterior has no differential entropy")
        log_variance = self.log_variance.expand_as(self.mean)
        return 0.5 * (log_variance + 1.0 + math.log(2.0 * math.pi)).sum(-1)

    def kl(self, other: Posterior | None = None) -> Tensor:
        """(batch, segments) KL divergence in nats to `other`, by default the standard normal."""
        if self.log_variance is None:
            raise ValueError("a deterministic posterior has no KL divergence")
        if other is None:
            terms = self.mean.square() + self.log_variance.exp() - 1.0 - self.log_variance
            return 0.5 * terms.sum(-1)
        if other.log_variance is None:
            raise ValueError("the KL divergence to a deterministic posterior is infinite")
        difference = self.log_variance - other.log_variance
        distance = (self.mean - other.mean).square() / other.log_variance.exp()
        return 0.5 * (distance + difference.exp() - 1.0 - difference).sum(-1)

    def normalised(self, shift: Tensor, scale: Tensor) -> Posterior:
        """That of (z - shift) · scale, channel by channel."""
        variance = self.log_variance
        if variance is not None:
            variance = variance + 2.0 * scale.log()
        return Posterior((self.mean - shift) * scale, variance)

    def detach(self) -> Posterior:
        """The same posterior without gradient."""
        variance = None if self.log_variance is None else self.log_variance.detach()
        return Posterior(self.mean.detach(), variance)

    def log_snr(self, mask: Tensor) -> Tensor:
        """log(mean mu^2 / mean sigma^2) over the masked positions and all channels."""
        if self.log_variance is None:
            raise ValueError("a deterministic posterior has no logSNR")
        variance = self.log_variance.expand_as(self.mean)[mask].exp()
        return torch.log(self.mean[mask].square().mean() / variance.mean())


@dataclass(frozen=True)
class LatentBatch:
    """Sequences of normalised latents, as a prior sees them.

    Attributes:
        values: (batch, segments, dim).
        mask: (batch, segments) bool, latents that are learned; one that is not but has such a
            latent behind it is history only.
        level: (batch, segments) int64, 0 the finest, or None where there is one level.
        code: (batch, segments) int64 codebook index, or None.
        content: (batch, segments, any) what each latent stands for, as the representation tells
            it to readouts and to priors that read their history so; None where nobody asks.

    Example:
        >>> LatentBatch(torch.zeros(2, 8, 16), torch.ones(2, 8, dtype=torch.bool))
        LatentBatch(values (2, 8, 16), mask (2, 8))
    """

    values: Tensor
    mask: Tensor
    level: Tensor | None = None
    code: Tensor | None = None
    content: Tensor | None = None

    __repr__ = one_line

    def with_values(self, values: Tensor) -> LatentBatch:
        """The same batch with other values."""
        return replace(self, values=values)
