"""What a coupling promises."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from colaflex.interfaces.noise import Noise
from colaflex.testing.probes import demand_close, demand_own_draws, drawn
from colaflex.testing.results import Fault
from colaflex.testing.subject import Subject

__all__ = ()

ROWS, POSITIONS, DIM = 96, 3, 2


def _inputs(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Data, noise, and a mask of rows of different length."""
    data, noise = drawn(2, ROWS, POSITIONS, DIM, seed=seed).unbind()
    mask = torch.arange(POSITIONS) < (1 + torch.arange(ROWS) % POSITIONS)[:, None]
    return data + 1.0, noise, mask


def _pair(subject: Subject, data: Tensor, noise: Tensor, mask: Tensor, step: int = 0) -> Tensor:
    coupling: Any = subject.build()
    pair: Tensor = coupling.pair(data, noise, mask, Noise(0, step))
    return pair


def shapes(subject: Subject) -> None:
    """What comes back has the noise's shape and dtype, and the arguments stay as they were."""
    for dtype in (torch.float32, torch.float64):
        data, noise, mask = (x.to(dtype) if x.is_floating_point() else x for x in _inputs())
        originals = [data.clone(), noise.clone(), mask.clone()]
        pair = _pair(subject, data, noise, mask)
        if pair.shape != noise.shape or pair.dtype != dtype:
            raise Fault(
                f"noise of {dtype} {tuple(noise.shape)} comes back as {pair.dtype} "
                f"{tuple(pair.shape)}"
            )
        for before, after in zip(originals, (data, noise, mask), strict=True):
            if not torch.equal(before, after):
                raise Fault("pair() changes what it is given")


def rearranges(subject: Subject) -> None:
    """Every latent's noise is one of the noises given: pairing moves noise, it doesn't alter it."""
    data, noise, mask = _inputs()
    pairs = _pair(subject, data, noise, mask)[mask]
    distance = torch.cdist(pairs, noise.flatten(0, 1)).min(1).values
    if float(distance.max()) > 1e-6:
        raise Fault(f"noise comes back altered, by up to {float(distance.max()):.2g}")


def keeps_marginals(subject: Subject) -> None:
    """Seen without the data, the noise of whole rows stays standard normal."""
    batches = [_inputs(seed)[:2] for seed in range(8)]
    whole = torch.ones(ROWS, POSITIONS, dtype=torch.bool)
    sources = torch.cat([noise for _, noise in batches]).flatten(0, 1)
    pairs = [_pair(subject, *each, whole, step) for step, each in enumerate(batches)]
    matches = torch.cat(pairs).flatten(0, 1)
    # Pairs drawn with replacement repeat some of the noise: 6 deviations of a mean of so many.
    allowed = 6 / len(sources) ** 0.5
    mean = float((matches.mean(0) - sources.mean(0)).abs().max())
    spread = float((matches.var(0) - sources.var(0)).abs().max())
    if mean > allowed or spread > 1.5 * allowed:
        raise Fault(f"the noise's mean moves by {mean:.2f}, its variance by {spread:.2f}")


def masked(subject: Subject) -> None:
    """Positions that don't count have no say in the pairing of those that do."""
    data, noise, mask = _inputs()
    pair = _pair(subject, data, noise, mask)
    filled = torch.where(mask[..., None], data, 30.0)
    again = _pair(subject, filled, noise, mask)
    demand_close(again[mask], pair[mask], 1e-9, "data at masked positions changes the pairing")


def reproducible(subject: Subject) -> None:
    """The pairing is a function of data, noise and the draws that it is given."""
    data, noise, mask = _inputs()
    demand_own_draws(lambda: [_pair(subject, data, noise, mask)], "pair()")
