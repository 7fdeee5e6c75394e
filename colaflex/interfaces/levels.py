"""Sequences of two levels: the first of every `group` segments is coarse, the others are fine.

The level of a segment is a function of its place alone, so that whoever stands at a place of the
sequence (a decoder, a sampler) knows it. With a group of one all segments are of one level.

Example:
    >>> lengths = spread(torch.full((1, 4), 2), group=3)  # four fine segments of two tokens
    >>> lengths
    tensor([[0, 2, 2, 0, 2, 2]])
    >>> levelled(lengths, group=3).level
    tensor([[1, 0, 0, 1, 0, 0]])
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from colaflex.interfaces.values import Segmentation

__all__ = [
    "coarse_places",
    "fine_lengths",
    "fine_places",
    "grouped",
    "levelled",
    "places_of",
    "spread",
]


def coarse_places(places: Tensor, group: int) -> Tensor:
    """Bool, of the places' shape: whether the segment there is coarse."""
    return (places % group == 0) & (group > 1)


def fine_places(places: int, group: int) -> int:
    """How many of the first places are fine."""
    return places if group == 1 else places - -(-places // group)


def places_of(fine: int, group: int) -> int:
    """How many places so many fine segments take, with their coarse ones."""
    return fine if group == 1 else fine + -(-fine // (group - 1))


def spread(lengths: Tensor, group: int) -> Tensor:
    """(batch, fine segments) -> (batch, segments): lengths with the coarse places' zeros."""
    if group == 1:
        return lengths
    places = places_of(lengths.shape[1], group)
    by_run = functional.pad(grouped(lengths, group - 1), (1, 0))
    return by_run.flatten(1)[:, :places]


def fine_lengths(lengths: Tensor, group: int) -> Tensor:
    """(batch, segments) -> (batch, fine segments): the inverse of `spread`."""
    places = torch.arange(lengths.shape[1], device=lengths.device)
    return lengths[:, ~coarse_places(places, group)]


def levelled(lengths: Tensor, group: int) -> Segmentation:
    """Segments of these lengths, (batch, segments), with their levels.

    A coarse one exists where the fine one behind it does.
    """
    if group == 1:
        return Segmentation(lengths)
    level = torch.zeros_like(lengths)
    begun = functional.pad(lengths, (0, 1))[:, 1::group] > 0
    level[:, ::group] = begun.long()
    return Segmentation(lengths, level=level)


def grouped(values: Tensor, group: int) -> Tensor:
    """(batch, segments, ...) -> (batch, groups, group, ...), the last group filled with zeros."""
    missing = -values.shape[1] % group
    filler = values.new_zeros(values.shape[0], missing, *values.shape[2:])
    groups: Tensor = torch.cat([values, filler], 1).unflatten(1, (-1, group))
    return groups
