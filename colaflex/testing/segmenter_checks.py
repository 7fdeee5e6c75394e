"""What a segmenter promises."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from colaflex.interfaces.levels import coarse_places
from colaflex.interfaces.values import Segmentation, TokenBatch, Vocabulary
from colaflex.testing.probes import demand_own_draws, drawn
from colaflex.testing.results import Fault
from colaflex.testing.subject import Subject

__all__ = ()

ROWS, TOKENS, SIZE, WIDTH = 4, 17, 50, 16
LENGTHS = (17, 9, 1, 14)


WORDS = (" the", "word", ".", " more", "s", ",", " and", " it")


def _segmenter(subject: Subject) -> Any:
    texts = tuple(WORDS[i % len(WORDS)] for i in range(SIZE))
    vocabulary = Vocabulary(SIZE, end_of_text=0, mask=1, texts=texts)
    return subject.once("segmenter", lambda: subject.build(width=WIDTH, vocabulary=vocabulary))


def _batch(forced: bool = False) -> TokenBatch:
    draws = torch.Generator().manual_seed(3)
    tokens = torch.randint(2, SIZE, (ROWS, TOKENS), generator=draws)
    lengths = torch.tensor(LENGTHS)
    tokens[torch.arange(TOKENS) >= lengths[:, None]] = 0
    marks = None
    if forced:
        marks = torch.rand(ROWS, TOKENS, generator=draws) < 0.2
    return TokenBatch(tokens, lengths, torch.ones(ROWS, dtype=torch.bool), marks)


def _states(subject: Subject, batch: TokenBatch) -> Tensor | None:
    """Causal token states: a running mean of fixed random embeddings."""
    if not subject.capabilities.needs_states:
        return None
    table = drawn(SIZE + 100, WIDTH, seed=4).float()
    count = torch.arange(1, batch.tokens.shape[1] + 1)[:, None]
    return table[batch.tokens].cumsum(1) / count


def _segment(subject: Subject, batch: TokenBatch) -> Segmentation:
    with torch.no_grad():
        segmentation: Segmentation = _segmenter(subject).segment(batch, _states(subject, batch))
    return segmentation


def _starts(segmentation: Segmentation, row: int) -> list[int]:
    """The tokens at which the segments of a row begin."""
    lengths = segmentation.lengths[row]
    lengths = lengths[lengths > 0]
    starts: list[int] = (lengths.cumsum(0) - lengths).tolist()
    return starts


def partition(subject: Subject) -> None:
    """Segments hold every token that counts, each once; empty ones only behind a row's last."""
    for forced in (False, True):
        batch = _batch(forced)
        segmentation = _segment(subject, batch)
        if segmentation.lengths.dtype != torch.int64 or segmentation.lengths.shape[0] != ROWS:
            shape = tuple(segmentation.lengths.shape)
            raise Fault(
                f"lengths are {segmentation.lengths.dtype} {shape}, not int64 ({ROWS}, segments)"
            )
        if bool((segmentation.lengths < 0).any()):
            raise Fault("a segment has a negative length")
        if segmentation.lengths.sum(1).tolist() != batch.lengths.tolist():
            raise Fault(
                f"lengths add up to {segmentation.lengths.sum(1).tolist()}, the rows have "
                f"{batch.lengths.tolist()} tokens"
            )
        if bool((segmentation.mask[:, 1:] & ~segmentation.mask[:, :-1]).any()):
            raise Fault("an empty segment stands before one that holds tokens")


def longest(subject: Subject) -> None:
    """No segment is longer than `max_segment_tokens`; without `variable`, whole ones are alike."""
    declared = subject.capabilities
    segmentation = _segment(subject, _batch())
    if int(segmentation.lengths.max()) > declared.max_segment_tokens:
        raise Fault(
            f"a segment has {int(segmentation.lengths.max())} tokens, max_segment_tokens is "
            f"{declared.max_segment_tokens}"
        )
    if not declared.variable:
        for row in range(ROWS):
            whole = segmentation.lengths[row][segmentation.lengths[row] > 0][:-1]
            if bool((whole != declared.max_segment_tokens).any()):
                raise Fault(f"lengths vary, {whole.tolist()}, and `variable` is not declared")


def forced(subject: Subject) -> None:
    """A segment begins at every forced boundary that lies within its row."""
    batch = _batch(forced=True)
    segmentation = _segment(subject, batch)
    assert batch.forced is not None
    for row in range(ROWS):
        marks = (batch.forced[row] & batch.mask[row]).nonzero().flatten().tolist()
        missed = set(marks) - set(_starts(segmentation, row))
        if missed:
            raise Fault(f"no segment begins at the forced boundaries {sorted(missed)} of row {row}")


def levels(subject: Subject) -> None:
    """Of two levels, the first of every `group` segments is coarse: without tokens, fine follow."""
    group = subject.capabilities.group
    if (subject.capabilities.levels > 1) != (group > 1):
        raise Fault(f"levels = {subject.capabilities.levels}, and its groups are of {group}")
    for forced in (False, True):
        segmentation = _segment(subject, _batch(forced))
        if (segmentation.level is not None) != (group > 1):
            what = "no levels" if segmentation.level is None else "levels"
            raise Fault(f"its segments have {what}, its groups are of {group}")
        if segmentation.level is None:
            continue
        places = torch.arange(segmentation.lengths.shape[1])
        coarse = segmentation.mask & coarse_places(places, group)
        if not torch.equal(segmentation.level, coarse.long()):
            raise Fault(
                f"levels {segmentation.level[0].tolist()} are not the first of every {group}"
            )
        if bool((segmentation.lengths[coarse] > 0).any()):
            raise Fault("a coarse segment holds tokens")
        if bool((segmentation.count % group == 1).any()):
            raise Fault("a coarse segment stands before no fine one")


def causal(subject: Subject) -> None:
    """A boundary before token i depends on tokens up to i only."""
    for forced in (False, True):
        batch = _batch(forced)
        before = _segment(subject, batch)
        for cut in range(1, TOKENS, 3):
            tokens = batch.tokens.clone()
            tokens[:, cut:] = (tokens[:, cut:] * 7 + 3) % SIZE
            after = _segment(
                subject, TokenBatch(tokens, batch.lengths, batch.complete, batch.forced)
            )
            for row in range(ROWS):
                one = [s for s in _starts(before, row) if s < cut]
                other = [s for s in _starts(after, row) if s < cut]
                if one != other:
                    raise Fault(f"boundaries before token {cut} change with tokens behind it")


def prefix_stable(subject: Subject) -> None:
    """A text cut short has the boundaries it has within the whole."""
    for forced in (False, True):
        batch = _batch(forced)
        whole = _segment(subject, batch)
        for cut in range(1, TOKENS, 3):
            marks = None if batch.forced is None else batch.forced[:, :cut]
            lengths = batch.lengths.clamp(max=cut)
            short = _segment(
                subject, TokenBatch(batch.tokens[:, :cut], lengths, batch.complete, marks)
            )
            for row in range(ROWS):
                common = [s for s in _starts(whole, row) if s < int(lengths[row])]
                if _starts(short, row) != common:
                    raise Fault(f"cut at token {cut}, row {row} is segmented otherwise")


def row_independent(subject: Subject) -> None:
    """Neighbours and padding change nothing."""
    batch = _batch(forced=True)
    together = _segment(subject, batch)
    assert batch.forced is not None
    for row, length in enumerate(LENGTHS):
        filler = torch.full((1, 5), 7)
        alone = TokenBatch(
            torch.cat([batch.tokens[row : row + 1, :length], filler], 1),
            batch.lengths[row : row + 1],
            batch.complete[:1],
            torch.cat([batch.forced[row : row + 1, :length], filler > 0], 1),
        )
        if _starts(_segment(subject, alone), 0) != _starts(together, row):
            raise Fault(f"row {row} alone, with other padding, is segmented otherwise")


def reproducible(subject: Subject) -> None:
    """The same tokens give the same segments, and no global generator is drawn from."""
    batch = _batch()
    tokens = batch.tokens.clone()
    demand_own_draws(lambda: [_segment(subject, batch).lengths], "segment()")
    if not torch.equal(tokens, batch.tokens):
        raise Fault("segment() changes the tokens that it is given")


def learned(subject: Subject) -> None:
    """`learned` is declared where there are weights; its regularisers are finite."""
    segmenter = _segmenter(subject)
    weights = [p for p in segmenter.parameters() if p.requires_grad]
    if bool(weights) != subject.capabilities.learned:
        raise Fault(f"learned = {subject.capabilities.learned}, and {len(weights)} weights learn")
    batch = _batch()
    segmentation = segmenter.segment(batch, _states(subject, batch))
    for name, term in segmenter.losses(batch, segmentation).items():
        if not torch.isfinite(term.total):
            raise Fault(f"the regulariser {name!r} is {term.total.item()}")
