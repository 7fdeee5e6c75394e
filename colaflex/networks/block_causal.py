"""Block-causal transformer with AdaLN-zero: the default network under a prior.

References:
    Scalable Diffusion Models with Transformers (Peebles and Xie, 2023), for AdaLN-zero,
    https://arxiv.org/abs/2212.09748; Cola DLM (2026), eq. 2.1.4 and 2.1.7, for block causality,
    https://arxiv.org/abs/2605.06548.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from colaflex.interfaces.network import Network
from colaflex.networks.attention import KeyValues, SelfAttention, attention
from colaflex.networks.cache import Cache
from colaflex.networks.conditioning import TimeEmbedding
from colaflex.networks.configs import BlockCausalConfig
from colaflex.networks.feed_forward import FeedForward
from colaflex.networks.layout import ParallelLayout, chunk_bounds, parallel_layout
from colaflex.networks.recompute import recomputed
from colaflex.networks.rotary import rotary_table

__all__ = ["BlockCausal"]

Attend = Callable[[Tensor, KeyValues], Tensor]
"""(queries, fresh keys and values) -> what attention finds, (rows, heads, queries, head_dim)."""


def _norm(x: Tensor) -> Tensor:
    return functional.rms_norm(x, (x.shape[-1],), eps=1e-6)


def _modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return torch.addcmul(shift, _norm(x), 1 + scale)


class _Layer(nn.Module):
    """One layer over (rows, ..., width), with modulations of a shape that broadcasts to it."""

    def __init__(self, config: BlockCausalConfig) -> None:
        super().__init__()
        width = config.width
        self.attention = SelfAttention(width, config.heads)
        self.feed = FeedForward(width, FeedForward.hidden_width(width, config.feed_forward_ratio))
        self.modulation = nn.Linear(config.time_width, 6 * width)
        # AdaLN-zero: every layer starts as the identity.
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def keys_values(self, x: Tensor, modulation: Tensor, table: Tensor) -> tuple[Tensor, KeyValues]:
        """The modulated input of the attention, (rows, positions, width), and its keys, values."""
        shift, scale = modulation.chunk(6, -1)[:2]
        h = recomputed(_modulated, x, shift, scale).flatten(1, -2)
        return h, self.attention.keys_values(h, table)

    def forward(
        self, x: Tensor, modulation: Tensor, table: Tensor, attend: Attend
    ) -> tuple[Tensor, KeyValues]:
        """The layer's output and its own keys and values."""
        h, fresh = self.keys_values(x, modulation, table)
        heads = attend(self.attention.queries(h, table), fresh)
        mixed = self.attention.output(heads.transpose(1, 2).flatten(2))
        gate, shift, scale, feed_gate = modulation.chunk(6, -1)[2:]
        x = torch.addcmul(x, gate, mixed.view_as(x))
        fed = self.feed.narrow(recomputed(self._widened, x, shift, scale)).view_as(x)
        return torch.addcmul(x, feed_gate, fed), fresh

    def _widened(self, x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        wide: Tensor = self.feed.gate_up(_modulated(x, shift, scale).flatten(1, -2))
        return wide


class BlockCausal(Network):
    """Noisy blocks see the clean blocks before them and themselves; clean blocks clean ones.

    Attributes:
        gradient_checkpointing: recompute layers in the backward pass.

    Example:
        >>> network = colaflex.build("network", "block_causal", width=32, layers=2, heads=4)
        >>> history = network.commit(torch.zeros(1, 3, 4, 32), network.begin(1, torch.zeros(1)))
        >>> noisy = torch.zeros(2, 4, 4, 32)  # two noisings of one document's four blocks
        >>> network.parallel(noisy, torch.full((2, 4, 1), 0.5), history).shape
        torch.Size([2, 4, 4, 32])
    """

    def __init__(self, config: BlockCausalConfig, *, n_times: int = 1) -> None:
        super().__init__()
        self.config, self.width, self.n_times = config, config.width, n_times
        self.time = TimeEmbedding(n_times, config.time_width)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))
        self.final_modulation = nn.Linear(config.time_width, 2 * config.width)
        nn.init.zeros_(self.final_modulation.weight)
        nn.init.zeros_(self.final_modulation.bias)
        self.gradient_checkpointing = False

    def forward(self, latents: Tensor, times: Tensor, history: Cache | None = None) -> Tensor:
        """States of one block given its history; see `Network.forward`."""
        latents = self._wide(latents)
        history = history or self.begin(latents.shape[0], latents)
        block = latents.shape[1]
        modulations = self._modulations(times, history)
        mask = None
        if not history.even:
            mask = functional.pad(history.valid(), (0, block), value=True)[:, None, None]
        table = self._table_behind(history, block, latents)
        x = latents[:, None]
        for index, layer in enumerate(self._stack):
            attend = _attend_behind(history, index, mask)
            x, _ = self._run(layer, x, modulations[index], table, attend)
        return self._final(x, modulations[-1])[:, 0]

    def parallel(
        self,
        noisy: Tensor,
        times: Tensor,
        history: Cache,
        pinned: Tensor | None = None,
        blind: Tensor | None = None,
    ) -> Tensor:
        """States of every noisy block at once; see `Network.parallel`."""
        noisy = self._wide(noisy)
        blocks, block = noisy.shape[1:3]
        samples = len(noisy) // len(history.lengths)
        layout = parallel_layout(blocks, block, samples, noisy.device)
        embedded = self.time(_sample_minor(times, samples))
        if times.ndim < noisy.ndim:
            embedded = embedded[..., None, :]
        at_zero = None if pinned is None else self.time(times.new_zeros(1, 1, 1, 1, self.n_times))
        clean = None if pinned is None else _sample_minor(pinned, samples)[..., None]

        def modulation(linear: nn.Module) -> Tensor:
            own: Tensor = linear(embedded)
            return own if clean is None else torch.where(clean, linear(at_zero), own)

        masks = _masks(layout, None if blind is None else blind.view(samples, -1).T)
        steps = torch.arange(blocks * block, device=noisy.device)
        table = self._table(steps.repeat(samples), noisy)
        x = _sample_minor(noisy, samples)
        for layer, past in zip(self._stack, history.layers, strict=True):
            attend = _attend_chunks(past, layout, masks)
            x, _ = self._run(layer, x, modulation(layer.modulation), table, attend)
        states = self._final(x, modulation(self.final_modulation))
        return states.transpose(0, 1).flatten(0, 1)

    def begin(self, rows: int, like: Tensor) -> Cache:
        """An empty history."""
        heads = self.config.heads
        return Cache.empty(self.config.layers, rows, heads, self.width // heads, like)

    def commit(self, latents: Tensor, history: Cache, counts: Tensor | None = None) -> Cache:
        """Append clean blocks to the history; see `Network.commit`."""
        latents = self._wide(latents)
        _, blocks, block, _ = latents.shape
        if not blocks:
            return history
        modulations = self._modulations(latents.new_zeros(1, 1, self.n_times), history)
        table = self._table_behind(history, blocks * block, latents)
        alone = blocks == 1 and history.even  # one block sees all there is
        masks = [] if alone else _commit_masks(history, blocks, block)
        x, fresh = latents, list[KeyValues]()
        for index, layer in enumerate(self._stack):
            if index < len(self.layers) - 1:
                attend = _attend_before(history.layers[index], masks)
                if alone:
                    attend = _attend_behind(history, index, None)
                x, own = self._run(layer, x, modulations[index], table, attend)
            else:
                # Nobody reads the last layer's clean states, only its keys and values.
                _, own = layer.keys_values(x, modulations[index], table)
            fresh.append(own)
        return history.append(blocks * block, fresh, counts, spare=block)

    def forget(self, history: Cache) -> Cache:
        """See `Network.forget`."""
        return history.emptied()

    def flops(
        self, batch: int, blocks: int, block: int, samples: int = 1, times: int | None = None
    ) -> int:
        """Model FLOPs of a document's history and `parallel` pass; see `Network.flops`."""
        times = blocks if times is None else times
        layers, width = self.config.layers, self.width
        hidden = FeedForward.hidden_width(width, self.config.feed_forward_ratio)
        clean, noisy = (blocks - 1) * block, samples * blocks * block
        per_position = 2 * (4 * width * width + 3 * width * hidden)
        linear = layers * (clean + noisy) * per_position
        linear -= clean * (per_position - 4 * width * width)
        clean_pairs = block * block * blocks * (blocks - 1) // 2
        noisy_pairs = samples * block * block * blocks * (blocks + 1) // 2
        pairs = layers * (clean_pairs + noisy_pairs) - clean_pairs
        embedding = sum(m.weight.numel() for m in self.time.modules() if isinstance(m, nn.Linear))
        per_time = 2 * (embedding + self.config.time_width * width * (6 * layers + 2))
        return batch * (linear + 4 * width * pairs + samples * times * per_time) + per_time

    def _run(
        self, layer: nn.Module, x: Tensor, modulation: Tensor, table: Tensor, attend: Attend
    ) -> tuple[Tensor, KeyValues]:
        if self.gradient_checkpointing and torch.is_grad_enabled():
            out: tuple[Tensor, KeyValues] = checkpoint(
                layer, x, modulation, table, attend, use_reentrant=False
            )
            return out
        direct: tuple[Tensor, KeyValues] = layer(x, modulation, table, attend)
        return direct

    def _wide(self, x: Tensor) -> Tensor:
        """The residual stream in the weights' precision, also under autocast."""
        return x.to(self.final_modulation.weight.dtype)

    def _modulations(self, times: Tensor, history: Cache) -> list[Tensor]:
        """Those of the layers and, last, of the states, by times of one block.

        At a time that all share they are kept for the blocks to come, but where looking at it would
        wait for a device.
        """
        shared = times.numel() == self.n_times and times.device.type == "cpu"
        if torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or not shared:
            return self._modulations_at(times)
        key = ("modulations", times.dtype, *times.flatten().tolist())
        if key not in history.kept:
            history.kept[key] = self._modulations_at(times)
        found: list[Tensor] = history.kept[key]
        return found

    def _modulations_at(self, times: Tensor) -> list[Tensor]:
        embedded = self.time(times)[:, None]
        linear = [*(layer.modulation for layer in self._stack), self.final_modulation]
        return [each(embedded) for each in linear]

    @property
    def _stack(self) -> Sequence[_Layer]:
        return cast("Sequence[_Layer]", self.layers)

    def _final(self, x: Tensor, modulation: Tensor) -> Tensor:
        shift, scale = modulation.chunk(2, -1)
        return torch.addcmul(shift, _norm(x), 1 + scale)

    def _table(self, positions: Tensor, like: Tensor) -> Tensor:
        head_dim = self.width // self.config.heads
        return rotary_table(positions, head_dim, self.config.rope_theta, like.dtype)

    def _table_behind(self, history: Cache, positions: int, like: Tensor) -> Tensor:
        steps = torch.arange(positions, device=like.device)
        if history.even:
            key = ("rotations", like.dtype, like.device, history.longest, positions)
            if key not in history.kept:
                history.kept[key] = self._table(history.longest + steps, like)
            table: Tensor = history.kept[key]
            return table
        return self._table(history.lengths[:, None] + steps, like)[:, None]


def _sample_minor(x: Tensor, samples: int) -> Tensor:
    """(samples · batch, ...) -> (batch, samples, ...)."""
    # Contiguous: a linear map of anything else may become a product per row, with a weight each.
    minor: Tensor = x.unflatten(0, (samples, -1)).transpose(0, 1).contiguous()
    return minor


def _seen(query: Tensor, seen: KeyValues, mask: Tensor | None) -> Tensor:
    return attention(query, seen.keys, seen.values, mask)


def _attend_behind(history: Cache, layer: int, mask: Tensor | None) -> Attend:
    """All of the history and all of the fresh positions, but for the mask."""
    return lambda query, fresh: _seen(query, history.behind(layer, fresh), mask)


def _attend_chunks(past: KeyValues, layout: ParallelLayout, masks: list[Tensor]) -> Attend:
    """Each chunk sees the history up to its last block, and itself."""

    def attend(query: Tensor, fresh: KeyValues) -> Tensor:
        query, keys, values = (
            x.unflatten(2, (layout.samples, -1)) for x in (query, fresh.keys, fresh.values)
        )
        parts = []
        for (first, last), before, mask in zip(layout.bounds, layout.history, masks, strict=True):
            chunk = slice(first, last)
            own = KeyValues(*(x[:, :, :, chunk].flatten(2, 3) for x in (keys, values)))
            seen = past.first(before).join(own)
            part = _seen(query[:, :, :, chunk].flatten(2, 3), seen, mask)
            parts.append(part.unflatten(2, (layout.samples, -1)))
        return torch.cat(parts, 3).flatten(2, 3)

    return attend


def _masks(layout: ParallelLayout, blind: Tensor | None) -> list[Tensor]:
    """Per chunk (batch or 1, 1, queries, keys); `blind` is (batch, samples) bool."""
    masks = [mask[None, None] for mask in layout.masks]
    if blind is None:
        return masks
    closed = []
    for mask, past in zip(layout.masks, layout.history, strict=True):
        queries, keys = mask.shape
        rows = blind.repeat_interleave(queries // layout.samples, 1)[..., None]
        closed.append(rows & (torch.arange(keys, device=blind.device) < past))
    return [mask & ~shut[:, None] for mask, shut in zip(masks, closed, strict=True)]


def _commit_masks(history: Cache, blocks: int, block: int) -> list[Tensor]:
    """Per chunk of clean blocks (rows, 1, queries, history + blocks up to the chunk's end)."""
    past = history.valid()[:, None, None]
    index = torch.arange(blocks, device=past.device).repeat_interleave(block)
    masks = []
    for first, last in chunk_bounds(blocks, block):
        inside = index[: last * block] <= index[first * block : last * block, None]
        queries = inside.shape[0]
        rows = 1 if history.even else past.shape[0]
        masks.append(
            torch.cat([past[:rows].expand(-1, -1, queries, -1), inside.expand(rows, 1, -1, -1)], -1)
        )
    return masks


def _attend_before(past: KeyValues, masks: Iterable[Tensor]) -> Attend:
    """Chunks of clean blocks, each seeing the history and the blocks up to its own."""

    def attend(query: Tensor, fresh: KeyValues) -> Tensor:
        sizes = [mask.shape[2] for mask in masks]
        keys, values = fresh.keys.split(sizes, 2), fresh.values.split(sizes, 2)
        parts = []
        for i, (part, mask) in enumerate(zip(query.split(sizes, 2), masks, strict=True)):
            so_far = KeyValues(torch.cat(keys[: i + 1], 2), torch.cat(values[: i + 1], 2))
            parts.append(_seen(part, past.join(so_far), mask))
        return torch.cat(parts, 2)

    return attend
