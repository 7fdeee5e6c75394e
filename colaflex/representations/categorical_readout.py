"""Categorical readout: network states to token probabilities, to the latent they expect."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.interfaces.levels import coarse_places
from colaflex.interfaces.noise import SampleNoise
from colaflex.interfaces.readout import Readout
from colaflex.representations.configs import ReadoutConfig
from colaflex.representations.expected_embeddings import (
    expected,
    expected_and_nats,
    logits_of,
    parts_of,
)
from colaflex.representations.token_content import TokenSlots

__all__ = ["ALL", "CategoricalReadout", "Choice"]

Choice = Callable[[Tensor, int, slice], Tensor]
"""(logits (..., latents, symbols), slot, which latents of the block) -> (..., latents) tokens."""
ALL = slice(None)

UNEMBEDDING_STD = 0.02
"""Of the first unembedding's weights: nearly all tokens are as likely, and so is their mean."""


class CategoricalReadout(Readout):
    """States -> logits of every slot -> mean embedding of each -> the latent, linear in these.

    Slots are independent given the states. What was said are the channels before the unembedding,
    in which logits are linear. A coarse latent stands for no tokens of its own, and has a linear
    head.

    Args:
        config: weight of its loss, and whose embeddings it takes.
        sizes: of what latents stand for.
        width: channels of the network's states.
        table: gives the decoder's embeddings (symbols, inner) where these are taken.

    Example:
        >>> from colaflex.interfaces.values import Vocabulary
        >>> sizes = {"vocabulary": Vocabulary(300, 256, 257), "max_segment_tokens": 4}
        >>> text = colaflex.build("representation", "text_vae", latent_dim=8, **sizes)
        >>> readout = text.readout("categorical", width=32)
        >>> isinstance(readout, CategoricalReadout), readout(torch.zeros(2, 6, 32)).shape
        (True, torch.Size([2, 6, 8]))
    """

    frozen: Tensor | None

    def __init__(
        self,
        config: ReadoutConfig,
        sizes: TokenSlots,
        width: int,
        table: Callable[[], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.sizes, self.weight, self._table = sizes, config.weight, table
        self.draw_weight = config.draw_weight
        self.slots = nn.Linear(width, sizes.slots * sizes.inner)
        self.relift = nn.Linear(sizes.slots * sizes.inner, sizes.dim)
        self.embedding: nn.Embedding | None = None
        self.unembedding: nn.Linear | None = None
        self.bias: nn.Parameter | None = None
        if table is None:
            self.embedding = nn.Embedding(sizes.symbols, sizes.inner)
            self.unembedding = nn.Linear(sizes.inner, sizes.symbols)
            nn.init.normal_(self.unembedding.weight, std=UNEMBEDDING_STD)
            nn.init.zeros_(self.unembedding.bias)
        else:
            self.bias = nn.Parameter(torch.zeros(sizes.symbols))
        frozen = config.embeddings == "frozen"
        self.register_buffer("frozen", torch.zeros(sizes.symbols, sizes.inner) if frozen else None)
        self.coarse = nn.Linear(width, sizes.dim) if sizes.group > 1 else None
        self.channels = sizes.slots * sizes.inner + (sizes.dim if sizes.group > 1 else 0)

    def start(self) -> None:
        """Take the decoder's embeddings as stage 1 left them, where they are to stay so."""
        if self.frozen is not None and self._table is not None:
            self.frozen.copy_(self._table().detach())

    def _weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """Unembedding and its bias, and the embeddings of an estimate."""
        if self.embedding is not None and self.unembedding is not None:
            return self.unembedding.weight, self.unembedding.bias, self.embedding.weight
        assert self.bias is not None
        assert self._table is not None
        table = self._table() if self.frozen is None else self.frozen
        return table, self.bias, table

    def said(self, states: Tensor) -> Tensor:
        """(..., block, width) -> (..., block, channels), in which logits are linear."""
        parts = self._of_states(states)
        return torch.cat(parts if self.coarse is None else [*parts, self.coarse(states)], -1)

    def _of_states(self, states: Tensor) -> list[Tensor]:
        return [functional.silu(self.slots(states))]

    def _of_slots(self, said: Tensor) -> Tensor:
        fine = said[..., : self.sizes.slots * self.sizes.inner]
        apart: Tensor = fine.unflatten(-1, (self.sizes.slots, self.sizes.inner))
        return apart

    def logits(self, said: Tensor) -> Tensor:
        """(..., block, slots, symbols) of what was said, in fp32 or more."""
        unembedding, bias, _ = self._weights()
        return logits_of(self._of_slots(said), unembedding, bias)

    def mean(self, said: Tensor) -> Tensor:
        """The latent of the mean embeddings; see `Readout.mean`."""
        inner = self._of_slots(said)
        embedded = expected(inner.flatten(0, -2), *self._weights())
        return self._relifted(embedded.view(inner.shape), said)

    def taught(self, states: Tensor, content: Tensor) -> tuple[Tensor, Tensor]:
        """The expected latents, and -log p of their tokens, the sum over slots.

        Args:
            states: (..., block, width).
            content: (..., block, slots) symbols.
        """
        return self._mean_and_nats(self.said(states), content)

    def _mean_and_nats(self, said: Tensor, content: Tensor) -> tuple[Tensor, Tensor]:
        inner = self._of_slots(said)
        rows = inner.flatten(0, -2)
        embedded, nats = expected_and_nats(rows, content.flatten(), *self._weights())
        mean = self._relifted(embedded.view(inner.shape), said)
        return mean, self._of_segments(nats, content)

    def _of_segments(self, nats: Tensor, content: Tensor) -> Tensor:
        """Nats of all slots -> (..., block)."""
        whole = nats.view(content.shape).sum(-1)
        # A segment holds a token at least: what begins with its end is coarse, or not there.
        return torch.where(content[..., 0] == self.sizes.symbols - 1, 0.0, whole)

    def _relifted(self, embedded: Tensor, said: Tensor) -> Tensor:
        fine: Tensor = self.relift(embedded.flatten(-2))
        if self.coarse is None:
            return fine
        places = torch.arange(fine.shape[-2], device=fine.device)
        at = coarse_places(places, self.sizes.group)[:, None]
        return torch.where(at, said[..., -self.sizes.dim :].to(fine.dtype), fine)

    def draw_error(self, content: Tensor, clean: Tensor) -> Tensor:
        """Of the latents of the true tokens' embeddings; 0 of coarse ones, which draw none."""
        latents: Tensor = self.relift(functional.embedding(content, self._weights()[2]).flatten(-2))
        error = (latents - clean).square().mean(-1)
        return torch.where(content[..., 0] == self.sizes.symbols - 1, 0.0, error)

    def drawn(
        self, said: Tensor, noise: SampleNoise, purpose: str, temperature: float = 1.0
    ) -> Tensor:
        """The latents of tokens drawn slot by slot; see `Readout.drawn`."""
        shape = (said.shape[-2], self.sizes.slots, self.sizes.symbols)
        like = said.to(torch.promote_types(said.dtype, torch.float32))
        uniform = noise.uniform(purpose, shape, like).clamp(min=1e-20)
        gumbel = -(-uniform.log()).log()
        if temperature != 1.0:
            gumbel = temperature * gumbel

        def choose(logits: Tensor, slot: int, latents: slice) -> Tensor:
            return (logits + gumbel[..., latents, slot, :]).argmax(-1)

        embedded = functional.embedding(self._tokens(said, choose), self._weights()[2])
        return self._relifted(embedded.to(said.dtype), said)

    def content_nats(self, said: Tensor, content: Tensor) -> Tensor:
        """(..., block, slots) nats of each slot's symbol; see `Readout.content_nats`."""
        return self._nats(self._of_slots(said), content)

    def _nats(self, inner: Tensor, content: Tensor) -> Tensor:
        """(..., slots) nats of symbols under logits linear in `inner` (..., slots, any)."""
        unembedding, bias, table = self._weights()
        nothing, rows = table.new_zeros(len(table), 0), inner.flatten(0, -2)
        _, nats = expected_and_nats(rows, content.flatten(), unembedding, bias, nothing)
        return nats.view(content.shape)

    def likeliest(self, said: Tensor) -> Tensor:
        """(..., block, slots) symbols; behind a segment's end, and of coarse latents, the end."""
        rows = said.flatten(0, -3)
        parts = parts_of(len(rows), rows.shape[1] * self.sizes.symbols)
        tokens = [self._tokens(rows[part], lambda logits, *_: logits.argmax(-1)) for part in parts]
        return self.sizes.with_ends(torch.cat(tokens).view(*said.shape[:-1], self.sizes.slots))

    def likeliest_flops(self, batch: int, segments: int) -> int:
        """The logits'."""
        return 2 * batch * segments * self.sizes.symbols * self.sizes.inner * self.sizes.slots

    def _tokens(self, said: Tensor, choose: Choice) -> Tensor:
        """(..., block, slots) the tokens that are chosen, a slot's logits at a time."""
        inner, (unembedding, bias, _) = self._of_slots(said), self._weights()
        slots = range(self.sizes.slots)
        tokens = [choose(logits_of(inner[..., k, :], unembedding, bias), k, ALL) for k in slots]
        return torch.stack(tokens, -1)

    def flops(self, latents: int) -> int:
        """Model FLOPs of a forward pass: slots, logits, mean embeddings, the latent."""
        table = self.sizes.symbols * self.sizes.inner * self.sizes.slots
        linear = self.slots.weight.numel() + self.relift.weight.numel() + 2 * table
        coarse = 0 if self.coarse is None else self.coarse.weight.numel()
        return 2 * latents * (linear + coarse)

    def taught_flops(self, batch: int, segments: int) -> int:
        """As the base's, and the latents of the true tokens where these are learned."""
        drawn = 2 * batch * segments * self.relift.weight.numel() if self.draw_weight else 0
        return super().taught_flops(batch, segments) + 3 * drawn
