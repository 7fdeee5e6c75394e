"""The posterior's closed forms against torch.distributions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from colaflex.interfaces.values import Posterior


def normal(posterior: Posterior) -> Normal:
    assert posterior.log_variance is not None
    return Normal(posterior.mean, (0.5 * posterior.log_variance).exp().expand_as(posterior.mean))


def drawn(seed: int, dim: int, shared: bool) -> Posterior:
    generator = torch.Generator().manual_seed(seed)
    mean = 3 * torch.randn(2, 3, dim, generator=generator, dtype=torch.float64)
    shape = (1,) if shared else (2, 3, dim)
    return Posterior(mean, 2 * torch.randn(shape, generator=generator, dtype=torch.float64))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 6), st.booleans(), st.booleans())
def test_entropy_and_divergences_agree(seed: int, dim: int, one: bool, two: bool) -> None:
    q, p = drawn(seed, dim, one), drawn(seed + 1, dim, two)
    standard = Normal(torch.zeros(()).double(), torch.ones(()).double())
    torch.testing.assert_close(q.entropy(), normal(q).entropy().sum(-1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(q.kl(), kl_divergence(normal(q), standard).sum(-1))
    torch.testing.assert_close(q.kl(p), kl_divergence(normal(q), normal(p)).sum(-1))
    assert torch.equal(q.kl(q), torch.zeros(2, 3).double())
    unit = Posterior(torch.zeros_like(q.mean), torch.zeros(1).double())
    torch.testing.assert_close(q.kl(unit), q.kl())


def test_samples_have_the_stated_mean_and_variance() -> None:
    q = drawn(0, 2, shared=False)
    noise = torch.randn(40_000, 2, 3, 2, generator=torch.Generator().manual_seed(1)).double()
    samples = q.sample(noise)
    assert q.log_variance is not None
    sigma = (0.5 * q.log_variance).exp()
    assert ((samples.mean(0) - q.mean) / sigma).abs().max() < 5 / 40_000**0.5
    assert (samples.var(0) / sigma.square() - 1).abs().max() < 5 * (2 / 40_000) ** 0.5
    assert torch.equal(q.mode(), q.mean)


def test_log_snr_is_the_ratio_of_second_moments_where_it_counts() -> None:
    mean = torch.tensor([[[3.0, 4.0], [100.0, 100.0]]])
    mask = torch.tensor([[True, False]])
    found = Posterior(mean, torch.tensor([-2.0])).log_snr(mask)
    torch.testing.assert_close(found, torch.tensor(12.5).log() + 2.0)


def test_a_point_has_no_density() -> None:
    point = Posterior(torch.ones(1, 1, 2))
    assert torch.equal(point.sample(torch.randn(1, 1, 2)), point.mean)
    for ask in (point.entropy, point.kl, lambda: point.log_snr(torch.ones(1, 1) > 0)):
        with pytest.raises(ValueError, match="deterministic"):
            ask()
    with pytest.raises(ValueError, match="infinite"):
        Posterior(point.mean, torch.zeros(1)).kl(point)


def test_detached_it_carries_no_gradient() -> None:
    mean, log_variance = torch.ones(2, 1, 1, 2, requires_grad=True).unbind()
    free = Posterior(mean, log_variance).detach()
    assert not free.mean.requires_grad and not free.log_variance.requires_grad  # type: ignore[union-attr]
