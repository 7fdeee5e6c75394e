from __future__ import annotations

import itertools

import torch
from torch import Tensor

import colaflex
from colaflex.interfaces.noise import Noise

ROWS, BLOCK, DIM = 6, 3, 2


def paired(data: Tensor, noise: Tensor, mask: Tensor | None = None) -> Tensor:
    mask = torch.ones(data.shape[:2], dtype=torch.bool) if mask is None else mask
    found: Tensor = colaflex.build("coupling", "minibatch_ot").pair(data, noise, mask, Noise(0))
    return found


def drawn(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(2, rows, BLOCK, DIM, generator=draws).unbind()


def test_no_other_permutation_of_the_rows_is_nearer() -> None:
    data, noise = drawn(ROWS, 0)
    mask = torch.rand(ROWS, BLOCK, generator=torch.Generator().manual_seed(1)) < 0.7
    mask[:, 0] = True

    def cost(candidate: Tensor) -> Tensor:
        return (data - candidate).square().sum(-1)[mask].sum()

    least = min(cost(noise[list(p)]) for p in itertools.permutations(range(ROWS)))
    found = paired(data, noise, mask)
    torch.testing.assert_close(cost(found), least)
    assert cost(found) < cost(noise)


def test_rows_that_do_not_count_take_no_part() -> None:
    data, noise = drawn(ROWS, 2)
    mask = torch.ones(ROWS, BLOCK, dtype=torch.bool)
    mask[[1, 4]] = False
    found = paired(data, noise, mask)
    assert torch.equal(found[[1, 4]], noise[[1, 4]])
    others = [0, 2, 3, 5]
    assert torch.equal(found[others], paired(data[others], noise[others]))
    nothing = torch.zeros(ROWS, BLOCK, dtype=torch.bool)
    assert torch.equal(paired(data, noise, nothing), noise)


def test_the_noise_stays_what_it_was_and_lies_nearer() -> None:
    data, noise = drawn(400, 3)
    data = 0.5 * data + 1.0
    found = paired(data, noise)
    # All of it is there once, at its own positions: over the batch, its law is untouched.
    order = [x.flatten(1)[x[:, 0, 0].argsort()] for x in (found, noise)]
    assert torch.equal(*order)
    apart, near = ((data - x).square().sum((1, 2)).mean() for x in (noise, found))
    # Independent: |z|^2 + |e|^2 = 6 (0.25 + 1 + 1); transport between the laws alone: 6 (1 + 0.25).
    assert apart > 12.5
    assert near < 0.8 * apart
    assert near > 6 * 1.25


def test_given_the_data_the_noise_is_normal_no_more() -> None:
    data, noise = drawn(400, 4)
    found = paired(data, noise)
    assert (data * found).mean() > 0.3 > 0.1 > (data * noise).mean().abs()


def test_every_block_of_every_noising_is_paired_at_its_place() -> None:
    data, noise = drawn(ROWS * 2, 5)[0], drawn(ROWS * 2 * 2, 6)[0]
    data, noise = data.view(ROWS, 2, BLOCK, DIM), noise.view(2, ROWS, 2, BLOCK, DIM)
    mask = torch.ones(ROWS, 2, BLOCK, dtype=torch.bool)
    found = colaflex.build("coupling", "minibatch_ot").pair_all(data, noise, mask, Noise(0))
    for sample, block in itertools.product(range(2), range(2)):
        alone = paired(data[:, block], noise[sample, :, block])
        assert torch.equal(found[sample, :, block], alone)
