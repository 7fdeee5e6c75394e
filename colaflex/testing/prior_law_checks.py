"""What a prior promises of its law: that a fit recovers a Gaussian, and a density that is one."""

from __future__ import annotations

import torch
from torch import Tensor

from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.prior import Prior
from colaflex.testing.prior_cases import (
    BLOCKS,
    DIM,
    MEAN,
    SPREAD,
    Case,
    batch,
    entropy,
    latents,
    toy,
)
from colaflex.testing.probes import demand_close, demand_own_draws
from colaflex.testing.results import Fault, NotApplicable
from colaflex.testing.subject import Subject

__all__ = ()

SAMPLES = 512
HALF_WIDTH, CELLS = 7.0, {"exact": 0.25}
"""Of the grid on which densities are integrated, in latent units; 0.6 where each costs an ODE."""


def _moment_error(prior: Prior, options: SamplingOptions) -> float:
    """Mean error of the toy's mean and standard deviation over positions and channels."""
    drawn = prior.sample(SAMPLES, 2, options, seed=1)
    return float((drawn.mean(0) - MEAN).abs().mean() + (drawn.std(0) - SPREAD).abs().mean())


def recovers(subject: Subject) -> None:
    """A short fit brings samples closer to a known Gaussian, in mean and deviation."""
    case = Case(subject)
    options = SamplingOptions(max(4, case.options.steps))
    before = _moment_error(case.fresh(), options)
    after = _moment_error(case.fitted(), options)
    # At the start most are off by 1 in mean and 0.5 in deviation; 512 samples say it to 0.02.
    if not after < max(0.7 * before, 0.1):
        raise Fault(
            f"mean and deviation of its samples are off by {after:.2f} after the fit, "
            f"{before:.2f} before"
        )


def _density(subject: Subject, prior: Prior, values: Tensor) -> Tensor:
    with torch.no_grad():
        nats = prior.log_prob(batch(values))
    if nats.shape != (len(values),):
        raise Fault(f"log_prob has shape {tuple(nats.shape)}, not ({len(values)},)")
    return nats


def _declared(subject: Subject) -> str:
    declared = str(subject.capabilities.likelihood)
    if declared == "none":
        raise NotApplicable("it declares no likelihood")
    return declared


def density(subject: Subject) -> None:
    """`log_prob` is there as declared: one finite number a row, the same alone and among others."""
    if subject.capabilities.likelihood == "none":
        _demand_refusal(Case(subject).fresh())
        raise NotApplicable("it declares no likelihood, and has none")
    case = Case(subject)
    prior = case.shaken()
    values = latents(prior)
    demand_own_draws(lambda: [_density(subject, prior, values)], "log_prob()")
    whole = _density(subject, prior, values)
    if not torch.isfinite(whole).all():
        raise Fault(f"log_prob of standard-normal latents is {whole.tolist()}")
    exact = subject.capabilities.likelihood == "exact"
    tolerance, looked_at = (1e-9, len(values)) if exact else (1e-2, 2)  # an ODE a row takes time
    alone = torch.cat([_density(subject, prior, row) for row in values[:looked_at].split(1)])
    demand_close(alone, whole[:looked_at], tolerance, "log_prob of a row alone and among others")
    counts = [2, 1, BLOCKS, BLOCKS]
    padded = batch(values, prior.block_size, counts)
    with torch.no_grad():
        nats = prior.log_prob(padded)
    for row, count in enumerate(counts[:looked_at]):
        own = _density(subject, prior, values[row : row + 1, : count * prior.block_size])
        what = "log_prob changes with latents that don't count"
        demand_close(nats[row], own[0], tolerance, what)


def _demand_refusal(prior: Prior) -> None:
    try:
        prior.log_prob(batch(latents(prior)))
    except NotImplementedError:
        return
    raise Fault("it declares no likelihood, and log_prob answers")


def integrates(subject: Subject) -> None:
    """The density of a latent, and of the next given it, integrates to one (a bound: to less)."""
    declared = _declared(subject)
    # Weights near their first ones: the grid needs a density without tails and spikes.
    prior, cell = Case(subject).shaken(scale=0.04, block_size=1), CELLS.get(declared, 0.6)
    steps = torch.arange(-HALF_WIDTH, HALF_WIDTH, cell, dtype=torch.float64) + cell / 2
    grid = torch.cartesian_prod(*[steps] * DIM)[:, None]
    before = torch.full((1, 1, DIM), 0.4, dtype=torch.float64)
    first = _density(subject, prior, grid)
    pair = torch.cat([before.expand(len(grid), -1, -1), grid], 1)
    second = _density(subject, prior, pair) - _density(subject, prior, before)
    allowed = 0.02 if declared == "exact" else 0.1
    for what, logs in (("a first latent", first), ("the next latent given one", second)):
        mass = float(logs.exp().sum() * cell**DIM)
        if mass > 1 + allowed or (declared != "bound" and mass < 1 - allowed):
            raise Fault(f"the density of {what} integrates to {mass:.3f}")


def fits(subject: Subject) -> None:
    """Fitted to a known Gaussian, log_prob comes closer to the truth and never above it."""
    _declared(subject)
    case = Case(subject)
    prior = case.fitted()
    values = toy(256, prior.block_size, seed=7)
    positions = values.shape[1]
    truth = -entropy(positions)
    before = float(_density(subject, case.fresh(), values).mean())
    after = float(_density(subject, prior, values).mean())
    # 256 rows say the mean to sqrt(positions · DIM / 2 / 256) nats; five times that is allowed.
    slack = 5 * (positions * DIM / 512) ** 0.5
    if after > truth + slack:
        raise Fault(f"log_prob is {after:.2f} nats on average, above the truth {truth:.2f}")
    if not after > before + 0.3 * (truth - before):
        raise Fault(
            f"log_prob is {after:.2f} nats on average after the fit, {before:.2f} before; "
            f"the truth is {truth:.2f}"
        )
