"""Network: the backbone under a prior."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

__all__ = ["Network"]


class Network(nn.Module, ABC):
    """Maps latents (already lifted to `width` by the prior) and times to states.

    The prior owns the input and output heads and says how many times it conditions on.

    Attributes:
        width: channels of the states.

    Example:
        >>> network = colaflex.build("network", "block_causal", width=16, layers=1, heads=2)
        >>> history = network.begin(rows=2, like=torch.zeros(1))
        >>> history = network.commit(torch.zeros(2, 1, 4, 16), history)
        >>> network(torch.zeros(2, 4, 16), torch.full((2, 1, 1), 0.5), history).shape
        torch.Size([2, 4, 16])
    """

    width: int

    @abstractmethod
    def forward(self, latents: Tensor, times: Tensor, history: Any | None = None) -> Tensor:
        """States of one block, given a committed history.

        Args:
            latents: (batch, positions, width).
            times: (batch, positions, n_times), or broadcastable to it; conditioning is computed
                at the shape given, so that one time for all costs one evaluation.
            history: from `begin` and `commit`; None for an empty one.

        Returns:
            (batch, positions, width).
        """

    @abstractmethod
    def parallel(
        self,
        noisy: Tensor,
        times: Tensor,
        history: Any,
        pinned: Tensor | None = None,
        blind: Tensor | None = None,
    ) -> Tensor:
        """States of every block of a document at once, for training.

        Noisy block b sees the clean blocks before b, out of a history of (at least) all blocks but
        the last, and itself.

        Args:
            noisy: (samples · batch, blocks, block, width), sample-major: row i belongs to history
                row i mod batch, so that several noisings share one history.
            times: (samples · batch, blocks or 1, n_times); or, where that is declared, times of
                positions, (samples · batch, blocks, block, n_times). Conditioning is computed at
                the shape given.
            history: the document's clean blocks, from `begin` and `commit`; differentiable.
            pinned: (samples · batch, blocks, block) bool, positions held clean, at time 0.
            blind: (samples · batch,) bool, rows whose noisy blocks see no history (guidance).

        Returns:
            (samples · batch, blocks, block, width), states of the noisy positions.
        """

    @abstractmethod
    def begin(self, rows: int, like: Tensor) -> Any:
        """An empty history of `rows` rows; device and dtype as `like`."""

    @abstractmethod
    def commit(self, latents: Tensor, history: Any, counts: Tensor | None = None) -> Any:
        """Append clean latents to the history; a block sees itself and the blocks before it.

        Args:
            latents: (rows, blocks, block, width).
            history: the history so far (not to be used again).
            counts: (rows,) how many of the latents count in each row, multiples of the block.
        """

    def forget(self, history: Any) -> Any | None:
        """An empty history of the same rows, for guidance; None is one too, made when asked."""
        del history
        return None

    @abstractmethod
    def flops(
        self, batch: int, blocks: int, block: int, samples: int = 1, times: int | None = None
    ) -> int:
        """Model FLOPs of one forward training pass: the history and all noisy blocks.

        Args:
            batch: documents.
            blocks: blocks of each.
            block: latents of a block.
            samples: noisings.
            times: distinct times of a document's noising; None is one a block.
        """
