"""What a prior promises of its training."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from colaflex.interfaces.losses import Losses
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.prior import Prior
from colaflex.interfaces.values import LatentBatch
from colaflex.testing.prior_cases import BLOCKS, ROWS, Case, batch, keys, latents
from colaflex.testing.probes import demand_close, demand_gradients, demand_own_draws, gap, objective
from colaflex.testing.results import Fault
from colaflex.testing.subject import Subject

__all__ = ()


def _losses(prior: Prior, values: LatentBatch, noise: Noise) -> dict[str, Tensor]:
    """The totals of the phase that comes last, the one that samples."""
    terms: Losses = prior.losses(values, noise)
    objective(terms)
    return {name: term.total.detach() for name, term in terms.items()}


def phases(subject: Subject) -> None:
    """Phases have names of their own, shares that add up to 1, and hold all that learns."""
    prior = Case(subject).fresh()
    listed = prior.phases(teacher_fraction=0.25)
    if len({phase.name for phase in listed}) < len(listed):
        raise Fault("two phases have one name")
    if not math.isclose(sum(phase.share for phase in listed), 1.0, abs_tol=1e-6):
        raise Fault(f"the phases' shares add up to {sum(p.share for p in listed):g}, not to 1")
    if subject.capabilities.needs_teacher and not listed[-1].representation_rests:
        raise Fault("it needs a teacher, and its last phase lets the representation learn")
    learned = {id(p) for phase in listed for p in phase.parameters}
    for name, parameter in prior.named_parameters():
        if parameter.requires_grad and id(parameter) not in learned:
            raise Fault(f"{name} requires a gradient and is learned in no phase")


def gradients(subject: Subject) -> None:
    """After three steps, a finite gradient that is not zero in every parameter that learns."""
    prior = Case(subject).fresh(double=False)
    values = batch(latents(prior).float())
    for phase in prior.phases():
        phase.start()

        def loss(step: int, phase: object = phase) -> Tensor:
            terms = phase.losses(values, Noise(0, step, phase.name))  # type: ignore[attr-defined]
            return objective(terms) / values.mask.sum()

        demand_gradients(prior, phase.parameters, loss)


def losses(subject: Subject) -> None:
    """Losses are scalars with a unit, finite, and a function of weights, batch and noise alone."""
    prior = Case(subject).shaken()
    values = batch(latents(prior))
    terms = prior.losses(values, Noise(0, 1))
    if not terms:
        raise Fault("losses() returns no term")
    for name, term in terms.items():
        if term.per not in ("tokens", "latents", "rows") or not math.isfinite(term.weight):
            raise Fault(f"the loss term {name!r} is per {term.per!r} with weight {term.weight}")
    demand_own_draws(lambda: _losses(prior, values, Noise(0, 1)).values(), "losses()")
    before = latents(prior)
    if not torch.equal(values.values, before):
        raise Fault("losses() changes the latents that it is given")


def additive(subject: Subject) -> None:
    """Loss totals are sums over rows: the parts of a split batch add up to the whole."""
    case = Case(subject)
    prior = case.shaken()
    whole = batch(latents(prior), prior.block_size, [3, 1, 2, 3])
    expected = _losses(prior, whole, Noise(4, 2, "x", 0, ROWS))
    parts = [
        _losses(prior, LatentBatch(whole.values[a:b], whole.mask[a:b]), Noise(4, 2, "x", a, ROWS))
        for a, b in ((0, 1), (1, ROWS))
    ]
    for name, total in expected.items():
        joined = parts[0][name] + parts[1][name]
        what = f"the parts' {name!r} don't add up (statistics of the batch, or a mean?)"
        demand_close(joined, total, case.tolerance, what)


def padding(subject: Subject) -> None:
    """What lies behind a row's last latent that counts never changes a loss."""
    case = Case(subject)
    prior = case.shaken()
    counts = [3, 1, 2, 2]
    before = batch(latents(prior), prior.block_size, counts)
    filled = torch.where(before.mask[..., None], before.values, 50.0)
    for step in range(2):
        one = _losses(prior, before, Noise(1, step))
        other = _losses(prior, before.with_values(filled), Noise(1, step))
        for name, total in one.items():
            what = f"the loss {name!r} changes with values behind a row's end"
            demand_close(other[name], total, case.tolerance, what)


def blind(subject: Subject) -> None:
    """In training, no block sees those behind it: they are nothing to its loss."""
    case = Case(subject)
    prior = case.shaken()
    values, block = latents(prior), prior.block_size
    place = torch.arange(values.shape[1]) // block

    def learning(blocks: tuple[int, ...], shown: Tensor) -> dict[str, Tensor]:
        mask = torch.isin(place, torch.tensor(blocks)).expand(ROWS, -1)
        return _losses(prior, LatentBatch(shown, mask), Noise(2))

    alone = [learning((b,), values) for b in range(BLOCKS)]
    for last in range(1, BLOCKS):
        together = learning(tuple(range(last + 1)), values)
        for name, total in together.items():
            expected = sum((alone[b][name] for b in range(last + 1)), torch.zeros(()))
            what = f"the loss {name!r} of blocks up to {last} is not the sum of theirs alone"
            demand_close(total, expected, case.tolerance, what)
    for last in range(BLOCKS - 1):
        learned = tuple(range(last + 1))
        shifted = torch.where((place > last)[:, None], values + 3.0, values)
        before = learning(learned, values)
        for name, total in learning(learned, shifted).items():
            what = f"the loss {name!r} of blocks up to {last} changes with the blocks behind them"
            demand_close(total, before[name], case.tolerance, what)


def trained_on_history(subject: Subject) -> None:
    """In training, a block's loss depends on the blocks before it."""
    for prior in Case(subject).candidates():
        values, block = latents(prior), prior.block_size
        mask = (torch.arange(values.shape[1]) // block == 1).expand(ROWS, -1)
        moved = values.clone()
        moved[:, :block] += 1.0
        before = _losses(prior, LatentBatch(values, mask), Noise(3))
        after = _losses(prior, LatentBatch(moved, mask), Noise(3))
        if any(gap(after[name], total) > 1e-9 for name, total in before.items()):
            return
    raise Fault("the loss of a block doesn't change with the block before it: history is ignored")


def autocast(subject: Subject) -> None:
    """Under bf16 autocast, losses and gradients stay finite."""
    prior = Case(subject).shaken(double=False)
    with torch.autocast("cpu", torch.bfloat16):
        total = objective(prior.losses(batch(latents(prior).float()), Noise(5)))
    if total.requires_grad:
        total.backward()
    for name, parameter in prior.named_parameters():
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            raise Fault(f"the gradient of {name} is not finite")


def float64(subject: Subject) -> None:
    """`.double()` makes all of it compute in float64, and `.float()` in fp32."""
    for double in (True, False):
        prior = Case(subject).shaken(double)
        dtype = torch.float64 if double else torch.float32
        values = latents(prior).to(dtype)
        for name, total in _losses(prior, batch(values), Noise(6)).items():
            if double and total.dtype != dtype:
                raise Fault(f"the loss {name!r} of float64 latents is {total.dtype}")
        with torch.no_grad():
            state = prior.commit(prior.begin(ROWS), values)
            sample = prior.sample_block(state, keys(), Case(subject).options)
        if sample.dtype != dtype:
            raise Fault(f"a sample of a {dtype} prior is {sample.dtype}")


def state_dict(subject: Subject) -> None:
    """All that is learned is in the state dict: loaded into a new prior, it samples the same."""
    case = Case(subject)
    one, other = case.fitted(), case.fresh()
    other.load_state_dict(one.state_dict())
    with torch.no_grad():
        values = latents(one)
        first, second = (
            prior.sample_block(prior.commit(prior.begin(ROWS), values), keys(), case.options)
            for prior in (one, other)
        )
    if not torch.equal(first, second):
        raise Fault(f"loaded into a new prior, samples differ by {gap(first, second):.2g}")


def flops(subject: Subject) -> None:
    """FLOPs of a training step are positive, and linear in the number of rows."""
    prior = Case(subject).fresh()
    for phase in prior.phases():
        segments = 4 * prior.block_size
        one, two, four = (phase.flops(rows, segments) for rows in (16, 32, 64))
        if not 0 < one < two or not isinstance(one, int):
            raise Fault(f"FLOPs of {phase.name!r} are {one} for 16 rows and {two} for 32")
        if abs((four - two) - 2 * (two - one)) > 0.01 * four:
            raise Fault(f"FLOPs of {phase.name!r} are {one}, {two}, {four} for 16, 32, 64 rows")
        if phase.flops(16, 2 * segments) <= one:
            raise Fault(f"FLOPs of {phase.name!r} don't grow with the number of latents")
