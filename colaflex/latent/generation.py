"""Generation with a latent model: encode the prompt, sample block by block, decode.

Each row keeps its own place in the caches of prior and decoder, so that prompts of different
length stand in one batch without seeing each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from colaflex.generation.token_sampling import draw_tokens, slot_choice
from colaflex.interfaces.language_model import GeneratedTokens
from colaflex.interfaces.levels import coarse_places
from colaflex.interfaces.noise import SampleNoise
from colaflex.interfaces.options import SamplingOptions, TokenSampling
from colaflex.interfaces.prior import Known
from colaflex.latent.model import LatentModel
from colaflex.latent.segments import Segments, committed, encode_segments, prompt_segments

__all__ = ["BlockGenerator", "decoded_rows", "sampled_latents"]

FEWEST = 4
"""Segments encoded together: of fewer, a matrix product may round otherwise than of many."""


def decoded_rows(model: LatentModel, logits: Tensor, mask: Tensor) -> list[list[int]]:
    """The most probable tokens of each row's segments, up to end-of-text.

    Args:
        model: the model that the logits are of.
        logits: (batch, segments, slots, size + 1).
        mask: (batch, segments) bool, segments that exist.
    """
    generator = BlockGenerator(model, SamplingOptions(), TokenSampling(), 0)
    banned = banned_tokens(model, logits.shape[1])
    best = logits.masked_fill(banned, -torch.inf).argmax(-1).tolist()
    counts = mask.sum(1).tolist()
    room = logits.shape[1] * logits.shape[2] + 1
    return [generator.read(row[:n], room)[0] for row, n in zip(best, counts, strict=True)]


def banned_tokens(model: LatentModel, places: int) -> Tensor:
    """(places, slots, size + 1) bool: what the segments at the first places of a row can't hold.

    A segment holds at least one token, a coarse one none.
    """
    end = model.representation.end_of_segment
    fine = torch.zeros(model.representation.slots, model.vocabulary.size + 1, dtype=torch.bool)
    fine[:, model.vocabulary.mask] = True
    fine[0, end] = True
    coarse = torch.ones_like(fine)
    coarse[:, end] = False
    at = coarse_places(torch.arange(places), model.segments.group)
    return torch.where(at[:, None, None], coarse, fine).to(model.device)


@dataclass
class _Rows:
    """The rows still being continued: caches, and what each holds and has produced."""

    index: list[int]
    keys: tuple[str, ...]
    prior: Any
    decoder: Any
    seen: Tensor
    blocks: list[int]
    segments: list[Segments]
    prompts: list[int]
    produced: list[int] = field(default_factory=list)

    def keep(self, model: LatentModel, chosen: list[int]) -> None:
        """Go on with some of the rows only."""
        rows = torch.tensor(chosen, dtype=torch.int64, device=self.seen.device)
        self.index = [self.index[i] for i in chosen]
        self.keys = tuple(self.keys[i] for i in chosen)
        self.prior = model.prior.select(self.prior, rows)
        self.decoder = model.representation.select_decoding(self.decoder, rows)
        self.seen = self.seen[rows]
        self.blocks = [self.blocks[i] for i in chosen]
        self.segments = [self.segments[i] for i in chosen]
        self.prompts = [self.prompts[i] for i in chosen]
        self.produced = [self.produced[i] for i in chosen]


class BlockGenerator:
    """Continues prompts with a latent model.

    Args:
        model: a trained latent model.
        latent_sampling: how blocks of latents are sampled.
        token_sampling: how tokens are drawn from the decoder's logits.
        max_new_tokens: most tokens a row gains.
    """

    def __init__(
        self,
        model: LatentModel,
        latent_sampling: SamplingOptions,
        token_sampling: TokenSampling,
        max_new_tokens: int,
    ) -> None:
        self.model = model
        self.latent_sampling, self.token_sampling = latent_sampling, token_sampling
        self.max_new_tokens = max_new_tokens
        # Blocks are of whole groups, and so alike.
        self.banned = banned_tokens(model, model.prior.block_size)

    @torch.no_grad()
    def run(
        self, prompts: Sequence[Sequence[int]], keys: Sequence[str]
    ) -> Iterator[list[GeneratedTokens]]:
        """One list per block, of the rows that were still going; the keys key their draws."""
        if not prompts:
            return
        rows, known = self._begin(prompts, tuple(keys))
        if self.max_new_tokens <= 0:
            yield [GeneratedTokens(row, (), "length") for row in rows.index]
            return
        while rows.index:
            noise = SampleNoise(
                tuple(f"{key}/{block}" for key, block in zip(rows.keys, rows.blocks, strict=True))
            )
            latents = self.model.prior.sample_block(rows.prior, noise, self.latent_sampling, known)
            pinned = None if known is None else known.mask
            tokens, decoder = self._told(rows, latents, noise, pinned)
            given = [0] * len(rows.index) if pinned is None else pinned.sum(1).tolist()
            fresh = [row[n:] for row, n in zip(tokens.tolist(), given, strict=True)]
            for segments, more in zip(rows.segments, fresh, strict=True):
                segments.extend(self.held(slots) for slots in more)
            if self.latent_sampling.reencode:
                latents = self._reencoded(rows)
                raw = self.model.raw(latents)
                decoder = self.model.representation.continue_decoding(raw, rows.decoder)
            latest = [segments[-latents.shape[1] :] for segments in rows.segments]
            rows.prior = committed(self.model, rows.prior, latents, latest)
            rows.decoder = decoder
            yield self._emit(rows, fresh)
            known = None

    def _told(
        self, rows: _Rows, latents: Tensor, noise: SampleNoise, pinned: Tensor | None
    ) -> tuple[Tensor, Any]:
        """Tokens drawn for a block's latents, and the decoder behind them."""
        options, seen, banned = self.token_sampling, rows.seen, self.banned
        if not self.model.representation.in_turn:
            logits, decoder = self._decoded(rows, latents)
            return draw_tokens(logits, options, noise, seen, banned, pinned), decoder
        choose = slot_choice(options, noise, seen, banned, pinned)
        raw = self.model.raw(latents)
        return self.model.representation.tell_next(raw, rows.decoder, choose)

    def _decoded(self, rows: _Rows, latents: Tensor) -> tuple[Tensor, Any]:
        return self.model.representation.decode_next(self.model.raw(latents), rows.decoder)

    def _reencoded(self, rows: _Rows) -> Tensor:
        """The block's latents as the encoder has them from its tokens."""
        block, prompts = self.model.prior.block_size, rows.prompts
        read: Sequence[Segments] = rows.segments
        if self.model.representation.segmentwise:
            last = max(block, -(-FEWEST // len(read)))
            read, prompts = [row[-last:] for row in read], [0] * len(read)
        latents, counts = encode_segments(self.model, read, prompts)
        index = counts[:, None] - block + torch.arange(block, device=counts.device)
        return latents.gather(1, index[..., None].expand(-1, -1, latents.shape[-1]))

    def held(self, slots: list[int]) -> list[int]:
        """The tokens before a segment's end."""
        end = self.model.representation.end_of_segment
        return slots[: slots.index(end)] if end in slots else slots

    def _begin(
        self, prompts: Sequence[Sequence[int]], keys: tuple[str, ...]
    ) -> tuple[_Rows, Known | None]:
        """Encode the prompts, commit their whole blocks, and pin what is left of them."""
        model, block = self.model, self.model.prior.block_size
        count, device = len(prompts), model.device
        segments = prompt_segments(model, prompts)
        latents, lengths = encode_segments(model, segments)
        whole = lengths // block * block
        longest = int(whole.max())
        prior, decoder = model.prior.begin(count), model.representation.begin_decoding(count)
        if longest:
            prior = committed(model, prior, latents[:, :longest], segments, whole)
            raw = model.raw(latents[:, :longest])
            decoder = model.representation.continue_decoding(raw, decoder, whole)
        rest = lengths - whole
        seen = torch.zeros(count, model.vocabulary.size + 1, dtype=torch.bool, device=device)
        for row, prompt in enumerate(prompts):
            seen[row, torch.tensor(list(prompt), dtype=torch.int64, device=device)] = True
        rows = _Rows(
            list(range(count)),
            keys,
            prior,
            decoder,
            seen,
            (whole // block).tolist(),
            segments,
            [sum(map(len, row)) for row in segments],
            [0] * count,
        )
        if not bool(rest.any()):
            return rows, None
        offset = torch.arange(block, device=device)
        padded = functional.pad(latents, (0, 0, 0, block))
        index = (whole[:, None] + offset)[..., None].expand(-1, -1, latents.shape[-1])
        return rows, Known(padded.gather(1, index), offset < rest[:, None])

    def _emit(self, rows: _Rows, fresh: Sequence[Segments]) -> list[GeneratedTokens]:
        """The tokens that each row gains; rows that have ended are dropped."""
        made, going = [], []
        for i, segments in enumerate(fresh):
            tokens, finish = self.read(segments, self.max_new_tokens - rows.produced[i])
            rows.produced[i] += len(tokens)
            rows.blocks[i] += 1
            made.append(GeneratedTokens(rows.index[i], tuple(tokens), finish))
            if finish is None:
                going.append(i)
        if len(going) < len(rows.index):
            rows.keep(self.model, going)
        return made

    def read(self, segments: Segments, room: int) -> tuple[list[int], str | None]:
        """The tokens of a block up to end-of-text or the limit."""
        end_of_text = self.model.vocabulary.end_of_text
        tokens: list[int] = []
        for token in chain.from_iterable(map(self.held, segments)):
            if token == end_of_text:
                return tokens, "end"
            tokens.append(token)
            if len(tokens) == room:
                return tokens, "length"
        return tokens, None


@torch.no_grad()
def sampled_latents(
    model: LatentModel, rows: int, blocks: int, options: SamplingOptions, seed: int
) -> Tensor:
    """(rows, blocks · block, dim): normalised latents from an empty prefix, as `Prior.sample`.

    Where the prior asks what latents stand for, it is told the most probable tokens of each block.
    """
    if not model.prior.needs_content:
        return model.prior.sample(rows, blocks, options, seed)
    generator = BlockGenerator(model, options, TokenSampling(), 0)
    prefix, decoder = model.prior.begin(rows), model.representation.begin_decoding(rows)
    drawn = []
    for block in range(blocks):
        noise = SampleNoise(tuple(f"{seed}/{row}/{block}" for row in range(rows)))
        drawn.append(model.prior.sample_block(prefix, noise, options))
        logits, decoder = model.representation.decode_next(model.raw(drawn[-1]), decoder)
        best = logits.masked_fill(generator.banned, -torch.inf).argmax(-1).tolist()
        segments = [[generator.held(slots) for slots in row] for row in best]
        prefix = committed(model, prefix, drawn[-1], segments)
    return torch.cat(drawn, 1)
