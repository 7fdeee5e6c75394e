"""Representation: lifts what is observed into latents, and realises latents back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from colaflex.interfaces.losses import Losses
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.one_line import one_line
from colaflex.interfaces.readout import Readout
from colaflex.interfaces.values import Posterior, Segmentation, TokenBatch

__all__ = ["Choice", "Encoding", "Representation"]

Choice = Callable[[Tensor, int], Tensor]
"""Logits (..., size + 1) and the slot that they are of -> (...) tokens."""


@dataclass(frozen=True)
class Encoding:
    """What training a representation on a batch yields.

    Attributes:
        losses: its terms.
        posterior: q(z | x) of the batch.
        sample: (batch, segments, dim) the sample that was decoded, before whatever noise is for
            the decoder alone: what a prior learns.

    Example:
        >>> from colaflex.interfaces.losses import LossTerm
        >>> from colaflex.interfaces.values import Posterior
        >>> mean = torch.zeros(2, 6, 8)
        >>> Encoding({"rate": LossTerm(mean.sum(), "latents")}, Posterior(mean), sample=mean)
        Encoding(losses {rate}, posterior Posterior(mean (2, 6, 8)), sample (2, 6, 8))
    """

    losses: Losses
    posterior: Posterior
    sample: Tensor

    __repr__ = one_line


class Representation(nn.Module, ABC):
    """Encoder q(z | x) and decoder p(x | z), causal over segments by default.

    Latents here are raw; the border to the prior normalises them.

    Attributes:
        latent_dim: channels of one latent.
        slots: token slots of one segment.
        end_of_segment: index of the logit that ends a segment early.

    Example:
        >>> from colaflex.interfaces.values import Segmentation, TokenBatch, Vocabulary
        >>> sizes = {"vocabulary": Vocabulary(300, 256, 257), "max_segment_tokens": 4}
        >>> text = colaflex.build("representation", "text_vae", latent_dim=8, **sizes)
        >>> tokens = TokenBatch(torch.zeros(1, 12).long(), torch.tensor([12]), torch.tensor([True]))
        >>> posterior = text.encode(tokens, Segmentation(torch.tensor([[4, 4, 4]])))
        >>> text.decode(posterior.mode()).shape
        torch.Size([1, 3, 4, 301])
    """

    latent_dim: int
    slots: int
    end_of_segment: int

    @property
    def token_width(self) -> int:
        """Channels of the token states; 0 where there are none."""
        return 0

    def token_states(self, tokens: TokenBatch) -> Tensor:
        """(batch, tokens, width): causal states of the tokens, where they are declared."""
        raise NotImplementedError(f"{type(self).__name__} declares no token states")

    def token_state_parameters(self) -> Iterator[nn.Parameter]:
        """What gives the token states; it is frozen along with the segmenter that needs them."""
        return iter(())

    def fit(self, batches: Iterable[tuple[TokenBatch, Segmentation]]) -> None:
        """Fit constants, such as statistics, to training data; once, before the first step.

        Every process gets the same batches. By default there is nothing to fit.
        """
        del batches

    @abstractmethod
    def encode(self, tokens: TokenBatch, segmentation: Segmentation) -> Posterior:
        """The posterior of every segment's latent, (batch, segments, dim)."""

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Logits of every slot.

        Args:
            latents: (batch, segments, dim).

        Returns:
            (batch, segments, slots, size + 1): token logits and, last, that of end-of-segment.
            Where slots are told in turn, each hears the likeliest tokens before it.
        """

    @property
    def in_turn(self) -> bool:
        """Whether a slot's logits depend on the tokens before it in its segment."""
        return False

    def told(self, latents: Tensor, content: Tensor) -> Tensor:
        """Logits of every slot, given the true tokens before it where slots are told in turn.

        Args:
            latents: (batch, segments, dim).
            content: (batch, segments, slots) tokens, and the segment's end behind them.

        Returns:
            As `decode`.
        """
        del content
        return self.decode(latents)

    @abstractmethod
    def losses(self, tokens: TokenBatch, segmentation: Segmentation, noise: Noise) -> Encoding:
        """The losses of stage 1, with their weights; a term named "rate" is KL(q || base).

        In stage 2 the base is that of normalised latents, as far as the prior's gradient doesn't
        reach the encoder, and the caller asks `rate` for it. As far as it does, the prior takes
        the base's place, and the negative entropy of the posterior that of "rate".
        """

    def rate(self, posterior: Posterior) -> Tensor:
        """(batch, segments) nats: what "rate" is of a posterior, KL(q || N(0, I)) by default."""
        return posterior.kl()

    @abstractmethod
    def begin_decoding(self, rows: int) -> Any:
        """An empty decoder state (cache) for `rows` rows."""

    @abstractmethod
    def decode_next(
        self, latents: Tensor, state: Any, counts: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """Decode further latents of each row, given the state left by the ones before.

        Args:
            latents: (rows, segments, dim).
            state: from `begin_decoding` or the last call.
            counts: (rows,) how many of the latents count in each row; all by default.

        Returns:
            The logits, as `decode`, and the new state; the given one stays as it was.
        """

    def tell_next(
        self, latents: Tensor, state: Any, choose: Choice, counts: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """Tokens of further latents of each row, chosen slot by slot.

        Args:
            latents: (rows, segments, dim).
            state: from `begin_decoding` or the last call.
            choose: which token, of all segments at once.
            counts: (rows,) how many of the latents count in each row; all by default.

        Returns:
            (rows, segments, slots), and the new state; the given one stays as it was.
        """
        logits, state = self.decode_next(latents, state, counts)
        tokens = [choose(logits[..., slot, :], slot) for slot in range(self.slots)]
        return torch.stack(tokens, -1), state

    @property
    def segmentwise(self) -> bool:
        """Whether each posterior is of its own segment alone, whatever stands around it."""
        return False

    def continue_decoding(self, latents: Tensor, state: Any, counts: Tensor | None = None) -> Any:
        """The state of `decode_next` alone, where nobody asks for the logits."""
        return self.decode_next(latents, state, counts)[1]

    @abstractmethod
    def select_decoding(self, state: Any, rows: Tensor) -> Any:
        """The decoder state of some of the rows, by index."""

    # What it offers to priors; by default, nothing.

    def content(self, tokens: TokenBatch, segmentation: Segmentation) -> Tensor:
        """(batch, segments, any) what each latent stands for, of its own segment alone.

        It teaches the readouts that this representation makes, and is what its `history` reads.
        """
        raise NotImplementedError(f"{type(self).__name__} tells no content")

    def costs(self, latents: Tensor, content: Tensor) -> Tensor:
        """(batch, segments) nats that contents cost by the decoder, where that is declared.

        Args:
            latents: (batch, segments, dim).
            content: as `content` gives it.
        """
        raise NotImplementedError(f"{type(self).__name__} tells no costs of contents")

    def decoder_parameters(self) -> Iterator[nn.Parameter]:
        """What `costs` can learn by alone, the encoder and all that it reads staying; none here."""
        return iter(())

    def decoding_flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of `decode`; unless it is known better, half of a pass of both halves."""
        return self.flops(batch, segments) // 2

    def readout(self, name: str, width: int) -> Readout:
        """A new readout of network states of `width` channels.

        Args:
            name: one of the `readouts` that the representation declares.
            width: channels of the states.
        """
        raise NotImplementedError(f"{type(self).__name__} offers no readout {name!r}")

    def history(self, width: int) -> nn.Module:
        """A new module by which a prior reads its clean history, where that is declared.

        It maps contents (..., any) to (..., width); the prior learns it.
        """
        raise NotImplementedError(f"{type(self).__name__} offers no reading of the history")

    @abstractmethod
    def flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of one forward pass of encoder and decoder as in `losses`."""

    def token_flops(self, batch: int, tokens: int) -> int:
        """Those of what runs token by token besides, in rows of so many; none by default."""
        del batch, tokens
        return 0

    def frozen_flops(self, batch: int, segments: int) -> int:
        """The part of `flops` that has no backward pass: encoders that never learn."""
        del batch, segments
        return 0

    def teacher_flops(self, batch: int, segments: int) -> int:
        """The part of `frozen_flops` that `losses` alone runs, and `encode` doesn't; none."""
        del batch, segments
        return 0
