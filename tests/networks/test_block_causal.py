"""Cache, parallel layout and causality of the block-causal network."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from colaflex.networks import layout
from colaflex.networks.block_causal import BlockCausal
from colaflex.networks.configs import BlockCausalConfig

ROWS, BLOCKS, BLOCK, WIDTH = 3, 5, 4, 32


@pytest.fixture
def network() -> BlockCausal:
    torch.manual_seed(0)
    config = BlockCausalConfig(width=WIDTH, layers=3, heads=2, time_width=16)
    net = BlockCausal(config).double()
    for parameter in net.parameters():  # zero-initialised gates would hide every mistake
        torch.nn.init.normal_(parameter, std=0.3)
    return net


def inputs(samples: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    clean = draw(ROWS, BLOCKS, BLOCK, WIDTH)
    noisy = draw(samples * ROWS, BLOCKS, BLOCK, WIDTH)
    times = torch.rand(samples * ROWS, BLOCKS, 1, generator=generator, dtype=torch.float64)
    return clean, noisy, times


def parallel(
    network: BlockCausal, clean: Tensor, noisy: Tensor, times: Tensor, **options: Any
) -> Tensor:
    history = network.commit(clean[:, :-1], network.begin(len(clean), clean))
    return network.parallel(noisy, times, history, **options)


@pytest.mark.parametrize("gradients", [True, False])
def test_parallel_training_equals_block_by_block_sampling(
    network: BlockCausal, gradients: bool
) -> None:
    clean, noisy, times = inputs()
    together = parallel(network, clean, noisy, times)
    history = network.begin(ROWS, clean)
    with torch.set_grad_enabled(gradients):
        for block in range(BLOCKS):
            for _ in range(2):  # what one look leaves in the cache is nothing to the next
                alone = network(noisy[:, block], times[:, block, None], history)
                assert torch.allclose(together[:, block], alone, atol=1e-9)
            history = network.commit(clean[:, block : block + 1], history)


@torch.no_grad()
def test_two_continuations_of_one_history_do_not_meet(network: BlockCausal) -> None:
    clean, noisy, times = inputs()
    stem = network.commit(clean[:, :2], network.begin(ROWS, clean))
    branches = [network.commit(blocks[:, None], stem) for blocks in (clean[:, 2], noisy[:, 2])]
    for blocks, branch in zip((clean[:, 2], noisy[:, 2]), branches, strict=True):
        whole = torch.cat([clean[:, :2], blocks[:, None]], 1)
        alone = network.commit(whole, network.begin(ROWS, clean))
        found = network(noisy[:, 3], times[:, 3, None], branch)
        assert torch.allclose(found, network(noisy[:, 3], times[:, 3, None], alone), atol=1e-9)


@torch.no_grad()
def test_rows_of_different_length_under_bf16() -> None:
    torch.manual_seed(0)
    network = BlockCausal(BlockCausalConfig(width=WIDTH, layers=2, heads=2, time_width=16))
    clean, noisy, times = (x.float() for x in inputs())
    counts = torch.tensor([BLOCK, 2 * BLOCK, 0])
    with torch.autocast("cpu", torch.bfloat16):
        history = network.commit(clean[:, :2], network.begin(ROWS, clean), counts)
        found = network(noisy[:, 2], times[:, 2, None], history)
        for row, count in enumerate(counts.tolist()):
            past = clean[row : row + 1, : count // BLOCK]
            alone = network.commit(past, network.begin(1, clean))
            single = network(noisy[row : row + 1, 2], times[row : row + 1, 2, None], alone)
            # bf16 has 8 bits: the products' order differs between the two.
            assert torch.allclose(found[row : row + 1], single, atol=0.05)


@pytest.mark.parametrize("blocks_of_a_chunk", [1, 2, BLOCKS])
def test_one_time_for_all_blocks_is_that_time_for_each(
    network: BlockCausal, blocks_of_a_chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean, noisy, times = inputs(samples=2)
    monkeypatch.setattr(layout, "CHUNK_POSITIONS", 2 * BLOCK * blocks_of_a_chunk)
    layout.parallel_layout.cache_clear()
    pinned = torch.zeros(noisy.shape[:3], dtype=torch.bool)
    pinned[1, :, 0] = True
    each = parallel(network, clean, noisy, times[:, :1].expand_as(times), pinned=pinned)
    once = parallel(network, clean, noisy, times[:, :1], pinned=pinned)
    layout.parallel_layout.cache_clear()
    assert torch.allclose(once, each, atol=1e-9)


def test_fp32_agrees_within_a_hundred_thousandth(network: BlockCausal) -> None:
    clean, noisy, times = (x.float() for x in inputs())
    network.float()
    torch.nn.init.normal_(network.final_modulation.weight, std=0.05)
    together = parallel(network, clean, noisy, times)
    history = network.commit(clean[:, :-1], network.begin(ROWS, clean))
    alone = network(noisy[:, -1], times[:, -1, None], history)
    assert (together[:, -1] - alone).abs().max() <= 1e-5 * together.abs().max()


@pytest.mark.parametrize("samples", [2, 3])
def test_noisings_that_share_a_history_equal_single_ones(
    network: BlockCausal, samples: int
) -> None:
    clean, noisy, times = inputs(samples)
    together = parallel(network, clean, noisy, times).unflatten(0, (samples, ROWS))
    for index, (part, time) in enumerate(zip(noisy.split(ROWS), times.split(ROWS), strict=True)):
        assert torch.allclose(together[index], parallel(network, clean, part, time), atol=1e-9)


def test_blocks_are_blind_to_later_ones(network: BlockCausal) -> None:
    clean, noisy, times = inputs()
    before = parallel(network, clean, noisy, times)
    clean[:, 2], noisy[:, 3:] = 7.0, -3.0
    after = parallel(network, clean, noisy, times)
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3], after[:, 3])


def test_commit_in_parts_equals_commit_at_once(network: BlockCausal) -> None:
    clean, _, _ = inputs()
    whole = network.commit(clean, network.begin(ROWS, clean))
    parts = network.begin(ROWS, clean)
    for first, last in [(0, 2), (2, 3), (3, 5)]:
        parts = network.commit(clean[:, first:last], parts)
    for one, other in zip(whole.layers, parts.layers, strict=True):
        assert torch.allclose(one.keys, other.keys, atol=1e-10)
        assert torch.allclose(one.values, other.values, atol=1e-10)


def test_rows_of_different_length_do_not_talk(network: BlockCausal) -> None:
    clean, noisy, times = inputs()
    counts = torch.tensor([0, 2, 4]) * BLOCK
    ragged = network.commit(clean[:, :4], network.begin(ROWS, clean), counts)
    ragged = network.commit(clean[:, 4:], ragged)
    together = network(noisy[:, 0], times[:, 0, None], ragged)
    for row, blocks in enumerate([0, 2, 4]):
        own = torch.cat([clean[row : row + 1, :blocks], clean[row : row + 1, 4:]], 1)
        history = network.commit(own, network.begin(1, clean))
        alone = network(noisy[row : row + 1, 0], times[row : row + 1, 0, None], history)
        assert torch.allclose(together[row], alone[0], atol=1e-9)
    kept = network(noisy[[2, 0], 0], times[[2, 0], 0, None], ragged.select(torch.tensor([2, 0])))
    assert torch.allclose(kept, together[[2, 0]], atol=1e-10)


def test_pinned_positions_are_at_time_zero(network: BlockCausal) -> None:
    clean, noisy, times = inputs()
    pinned = torch.zeros(ROWS, BLOCKS, BLOCK, dtype=torch.bool)
    pinned[1, 2, :2] = True
    together = parallel(network, clean, noisy, times, pinned=pinned)
    history = network.commit(clean[1:2, :2], network.begin(1, clean))
    mixed = times[1, 2].expand(BLOCK, 1).clone()
    mixed[:2] = 0
    alone = network(noisy[1:2, 2], mixed[None], history)
    assert torch.allclose(together[1, 2], alone[0], atol=1e-9)


def test_blind_rows_see_no_history(network: BlockCausal) -> None:
    clean, noisy, times = inputs(2)
    blind = torch.tensor([False, True, False, True, False, False])
    together = parallel(network, clean, noisy, times, blind=blind)
    for row in range(2 * ROWS):
        for block in range(BLOCKS):
            past = clean[row % ROWS : row % ROWS + 1, : 0 if blind[row] else block]
            history = network.commit(past, network.begin(1, clean)) if past.shape[1] else None
            # Relative positions: an empty history at block b is one at block 0.
            alone = network(noisy[row : row + 1, block], times[row : row + 1, block, None], history)
            assert torch.allclose(together[row, block], alone[0], atol=1e-9)


def test_gradient_checkpointing_changes_nothing(network: BlockCausal) -> None:
    clean, noisy, times = inputs()
    gradients = []
    for switch in (False, True):
        network.gradient_checkpointing = switch
        network.zero_grad()
        parallel(network, clean, noisy, times).square().mean().backward()
        gradients.append([p.grad.clone() for p in network.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-12)


def test_forward_mode_differentiation_runs_under_math_attention(network: BlockCausal) -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    clean, noisy, times = inputs()
    history = network.commit(clean[:, :-1], network.begin(ROWS, clean))

    def states(t: Tensor) -> Tensor:
        return network.parallel(noisy, t, history)

    with sdpa_kernel(SDPBackend.MATH):
        _, tangent = torch.func.jvp(states, (times,), (torch.ones_like(times),))
    step = 1e-6
    difference = (states(times + step) - states(times - step)) / (2 * step)
    assert torch.allclose(tangent, difference, rtol=1e-4, atol=1e-4 * float(difference.abs().max()))


def test_model_flops_agree_with_torch_counting_a_dense_mask(network: BlockCausal) -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    clean, noisy, times = inputs()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        parallel(network, clean, noisy, times)
    allowed = network.flops(ROWS, BLOCKS, BLOCK)
    layers, head = 3, 4 * WIDTH * ROWS * BLOCK**2
    # What a dense mask adds: the pairs that chunks compute and then mask away.
    dense = layers * (BLOCKS * BLOCKS + (BLOCKS - 1) * BLOCKS) + (layers - 1) * (BLOCKS - 1) ** 2
    pairs = layers * BLOCKS * (BLOCKS + 1) // 2 + (layers - 1) * (BLOCKS - 1) * BLOCKS // 2
    assert counter.get_total_flops() == pytest.approx(allowed + head * (dense - pairs), rel=0.03)


@pytest.mark.parametrize("blocks", [1, 3])
def test_rows_of_any_number_of_blocks_learn_in_bf16(network: BlockCausal, blocks: int) -> None:
    network = network.float()
    clean, noisy, times = (x[:, :blocks].float() for x in inputs())
    expected = parallel(network, clean, noisy, times)
    with torch.autocast("cpu", torch.bfloat16):
        found = parallel(network, clean, noisy, times)
    assert (found - expected).abs().mean() < 0.1 * expected.abs().mean()


@torch.no_grad()
def test_what_a_history_keeps_changes_nothing(network: BlockCausal) -> None:
    """At times asked before, behind histories of several lengths, for guidance's other branch."""
    draws = torch.Generator().manual_seed(7)
    width, blocks = network.width, 3
    clean = torch.randn(2, blocks, 4, width, generator=draws, dtype=torch.float64)
    noisy = torch.randn(2, 4, width, generator=draws, dtype=torch.float64)
    history = network.begin(2, clean)
    for block in range(blocks):
        fresh = network.commit(clean[:, :block], network.begin(2, clean))
        for time in (0.5, 0.25, 0.5):
            times = torch.full((1, 1, network.n_times), time, dtype=torch.float64)
            found = network(noisy, times, history)
            torch.testing.assert_close(found, network(noisy, times, fresh), atol=1e-12, rtol=0)
            alone = network(noisy, times, network.forget(history))
            assert torch.equal(alone, network(noisy, times, None))
        history = network.commit(clean[:, block : block + 1], history)
