"""What a prior promises of its sampling: keys, rows, prefixes, pinned positions, cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from colaflex.interfaces.network import Network
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.prior import Known, Prior
from colaflex.testing.prior_cases import BLOCKS, DIM, ROWS, Case, keys, known, latents
from colaflex.testing.probes import demand_close, demand_own_draws, gap
from colaflex.testing.results import Fault, NotApplicable
from colaflex.testing.subject import Subject

__all__ = ()

LENGTHS = (2, 0, 3, 1)
"""Blocks before the one that is sampled, in each row."""


def _ragged(prior: Prior, values: Tensor, lengths: Sequence[int] = LENGTHS) -> Any:
    counts = prior.block_size * torch.tensor(lengths)
    return prior.commit(prior.begin(len(values)), values, counts)


@torch.no_grad()
def shapes(subject: Subject) -> None:
    """A sample is (rows, block, dim) and finite, at the fewest useful steps and with guidance."""
    case = Case(subject)
    prior = case.shaken()
    state = _ragged(prior, latents(prior))
    fewest = SamplingOptions(int(subject.capabilities.fewest_steps))
    for options in (fewest, case.options, case.guided):
        sample = prior.sample_block(state, keys(), options)
        if sample.shape != (ROWS, prior.block_size, DIM):
            shape = (ROWS, prior.block_size, DIM)
            raise Fault(f"a block has shape {tuple(sample.shape)}, not {shape}")
        if not torch.isfinite(sample).all():
            raise Fault(f"samples at {options} are not finite")


@torch.no_grad()
def reproducible(subject: Subject) -> None:
    """Equal keys give equal samples, other keys others, and no global generator is drawn from."""
    case = Case(subject)
    prior = case.shaken()
    values = latents(prior)

    def sample(noise: Any) -> Tensor:
        return prior.sample_block(_ragged(prior, values), noise, case.options)

    demand_own_draws(lambda: [sample(keys())], "sample_block()")
    if gap(sample(keys(seed=1)), sample(keys())) < 1e-6:
        raise Fault("other keys give the same samples")
    alike = prior.sample_block(prior.begin(2), keys([0, 0]), case.options)
    demand_close(alike[1], alike[0], case.tolerance, "two rows of one key and no history")


@torch.no_grad()
def batch_independent(subject: Subject) -> None:
    """A row's sample depends neither on its neighbours, nor on their order or number."""
    case = Case(subject)
    for prior in (case.shaken(), case.shaken(double=False)):
        double = all(p.dtype != torch.float32 for p in prior.parameters())
        tolerance = case.tolerance if double else max(1e-4, case.tolerance)
        values = latents(prior).to(next(prior.parameters(), latents(prior)).dtype)
        pins = known(latents(prior, seed=3).to(values), prior.block_size, [1, 0, 0, 1])
        whole = prior.sample_block(_ragged(prior, values), keys(), case.guided, pins)
        order = [3, 1, 0]
        chosen = torch.tensor(order)
        some = prior.sample_block(
            prior.select(_ragged(prior, values), chosen),
            keys().select(order),
            case.guided,
            Known(pins.values[chosen], pins.mask[chosen]),
        )
        demand_close(some, whole[chosen], tolerance, "select(): rows chosen and put in order")
        for row, blocks in enumerate(LENGTHS):
            own = values[row : row + 1, : blocks * prior.block_size]
            state = prior.commit(prior.begin(1), own) if blocks else prior.begin(1)
            pin = Known(pins.values[row : row + 1], pins.mask[row : row + 1])
            alone = prior.sample_block(state, keys([row]), case.guided, pin)
            demand_close(alone[0], whole[row], tolerance, f"row {row} alone and among others")


@torch.no_grad()
def cached(subject: Subject) -> None:
    """A prefix committed block by block equals one committed at once, to 1e-9 in float64."""
    case = Case(subject)
    prior = case.shaken()
    values, block = latents(prior, BLOCKS + 1), prior.block_size
    state = prior.begin(ROWS)
    for done in range(BLOCKS + 1):
        if done:
            state = prior.commit(state, values[:, (done - 1) * block : done * block])
            again = prior.commit(prior.begin(ROWS), values[:, : done * block])
        else:
            again = prior.begin(ROWS)
        noise = keys(seed=done)
        sample = prior.sample_block(state, noise, case.guided)
        expected = prior.sample_block(again, noise, case.guided)
        what = f"after {done} blocks, cached and computed anew"
        demand_close(sample, expected, case.tolerance, what)
        repeated = prior.sample_block(state, noise, case.guided)
        demand_close(repeated, sample, case.tolerance, "sampling leaves something in the prefix")


@torch.no_grad()
def cached_fp32(subject: Subject) -> None:
    """The same in fp32, to 1e-5 for one call."""
    case = Case(subject)
    prior = case.shaken(double=False)
    values, block = latents(prior).float(), prior.block_size
    parts = prior.begin(ROWS)
    for part in values.split(block, 1):
        parts = prior.commit(parts, part)
    options = SamplingOptions(int(subject.capabilities.fewest_steps))
    sample = prior.sample_block(parts, keys(), options)
    whole = prior.commit(prior.begin(ROWS), values)
    expected = prior.sample_block(whole, keys(), options)
    tolerance = 1e-2 if case.adaptive else 1e-5 * max(1, options.steps)
    demand_close(sample, expected, tolerance, "in fp32, cached and computed anew")


@torch.no_grad()
def generation(subject: Subject) -> None:
    """Whole sequences sampled with the cache equal those sampled without, to 1e-9 in float64."""
    case = Case(subject)
    prior = case.fitted()
    cached = prior.sample(2, BLOCKS, case.options, seed=3)
    more = prior.sample(3, BLOCKS, case.options, seed=3)
    tolerance = 100 * case.tolerance if case.adaptive else case.tolerance
    demand_close(more[:2], cached, tolerance, "two rows, and the same among three")
    for block in range(1, BLOCKS):
        done = cached[:, : block * prior.block_size]
        noise = keys()
        noise = type(noise)(tuple(f"3/{row}/{block}" for row in range(2)))
        state = prior.commit(prior.begin(2), done)
        sample = prior.sample_block(state, noise, case.options)
        expected = cached[:, block * prior.block_size :][:, : prior.block_size]
        demand_close(sample, expected, tolerance, f"block {block}, computed anew")


@torch.no_grad()
def hears_history(subject: Subject) -> None:
    """A block's sample depends on the blocks before it."""
    for prior in Case(subject).candidates():
        values = latents(prior)
        options = Case(subject).options
        samples, moved = (
            prior.sample_block(prior.commit(prior.begin(ROWS), shown), keys(), options)
            for shown in (values, values + 1.0)
        )
        if gap(samples, moved) > 1e-6:
            return
    raise Fault("samples don't change with the blocks before them: the prefix is ignored")


@torch.no_grad()
def pinned(subject: Subject) -> None:
    """Known positions come back exactly as given, and what is not known is not looked at."""
    case = Case(subject)
    prior = case.shaken()
    block, clean = prior.block_size, latents(prior, seed=3)
    counts = [0, 1, block, max(0, block - 1)]
    pins = known(clean, block, counts)
    state = _ragged(prior, latents(prior))
    for options in (case.options, case.guided):
        sample = prior.sample_block(state, keys(), options, pins)
        if not torch.equal(sample[pins.mask], clean[:, :block][pins.mask]):
            off = gap(sample[pins.mask], clean[:, :block][pins.mask])
            raise Fault(f"known positions are moved, by {off:.2g}")
        filler = torch.where(pins.mask[..., None], pins.values, 99.0)
        other = prior.sample_block(state, keys(), options, Known(filler, pins.mask))
        demand_close(other, sample, case.tolerance, "values that are not known matter")
        plain = prior.sample_block(state, keys(), options)
        demand_close(sample[0], plain[0], case.tolerance, "a row of which nothing is known changes")


@torch.no_grad()
def hears_pinned(subject: Subject) -> None:
    """What is sampled of a block depends on the positions of it that are known."""
    for prior in Case(subject).candidates():
        block = prior.block_size
        if block < 2:
            raise NotApplicable("its blocks have one latent")
        clean, state = latents(prior, seed=3), _ragged(prior, latents(prior))
        samples, moved = (
            prior.sample_block(
                state, keys(), Case(subject).options, known(shown, block, [1] * ROWS)
            )[:, 1:]
            for shown in (clean, clean + 1.0)
        )
        if gap(samples, moved) > 1e-6:
            return
    raise Fault("the rest of a block doesn't change with its known positions: they are ignored")


@torch.no_grad()
def evaluations(subject: Subject) -> None:
    """`network_evaluations` is the number of the network's forward passes of one block."""
    case = Case(subject)
    prior = case.shaken()
    networks = [module for module in prior.modules() if isinstance(module, Network)]
    if not networks:
        raise NotApplicable("it holds no network")
    state = prior.commit(prior.begin(ROWS), latents(prior))
    calls: list[int] = []
    hooks = [n.register_forward_hook(lambda *_: calls.append(1)) for n in networks]
    try:
        asked = [case.options, SamplingOptions(case.options.steps + 3), case.guided]
        if subject.capabilities.guided_by_time:
            asked += [replace(case.guided, guidance_law=law) for law in ("data_end", "noise_end")]
            asked.append(replace(case.guided, guidance_interval=(0.3, 0.8)))
        for options in asked:
            calls.clear()
            prior.sample_block(state, keys(), options)
            declared = prior.network_evaluations(options)
            if declared is not None and declared != len(calls):
                raise Fault(
                    f"it declares {declared} network evaluations at {options.steps} steps and "
                    f"guidance {options.guidance:g} ({options.guidance_law}, in "
                    f"{options.guidance_interval}), and makes {len(calls)}"
                )
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def guidance(subject: Subject) -> None:
    """Guidance 1 is off; other guidance changes rows with a history, and none without."""
    case = Case(subject)
    if not subject.capabilities.guidance:
        raise NotApplicable("it declares no guidance")
    strong = SamplingOptions(case.options.steps, 3.0)
    changes = 0.0
    for prior in case.candidates():
        state = _ragged(prior, latents(prior))
        plain = prior.sample_block(state, keys(), case.options)
        guided = prior.sample_block(state, keys(), strong)
        empty = LENGTHS.index(0)
        what = "guidance changes a row without a history"
        demand_close(guided[empty], plain[empty], case.tolerance, what)
        changes = max(changes, gap(guided, plain))
    if changes < 1e-6:
        raise Fault("it declares guidance, and guidance 3 changes nothing")


@torch.no_grad()
def guided_by_time(subject: Subject) -> None:
    """Guidance is off outside its interval, and without noise rows of one history are alike."""
    case = Case(subject)
    if not subject.capabilities.guided_by_time:
        raise NotApplicable("it declares no guidance by time")
    strong = SamplingOptions(case.options.steps, 3.0 if subject.capabilities.guidance else 1.0)
    changes, spread = 0.0, 0.0
    for prior in case.candidates():
        history = latents(prior)[:1].expand(ROWS, -1, -1)
        state = prior.commit(prior.begin(ROWS), history)
        plain = prior.sample_block(state, keys(), case.options)
        never = replace(strong, guidance_law="noise_end", guidance_interval=(0.0, 0.0))
        what = "guidance outside its interval"
        demand_close(prior.sample_block(state, keys(), never), plain, case.tolerance, what)
        half = replace(strong, guidance_law="noise_end")
        changes = max(changes, gap(prior.sample_block(state, keys(), half), plain))
        cold = prior.sample_block(state, keys(), replace(case.options, noise_temperature=0.0))
        what = "rows at noise temperature 0"
        demand_close(cold, cold[:1].expand_as(cold), case.tolerance, what)
        spread = max(spread, gap(plain, plain[:1].expand_as(plain)))
    if subject.capabilities.guidance and changes < 1e-6:
        raise Fault("it declares guidance by time, and guidance_law: noise_end changes nothing")
    if spread < 1e-6:
        raise Fault("rows of one history are alike at noise temperature 1")
