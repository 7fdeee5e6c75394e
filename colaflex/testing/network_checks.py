"""What a network promises: one block after another, or all at once, the states are the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from colaflex.interfaces.network import Network
from colaflex.testing.probes import demand_close, demand_gradients, drawn, gap, shake
from colaflex.testing.results import Fault, NotApplicable
from colaflex.testing.subject import Subject

__all__ = ()

ROWS, BLOCKS, BLOCK = 3, 4, 2
EXACT = 1e-9


def _inputs(network: Network, samples: int = 1, n_times: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Clean blocks, noisy blocks, and a time for each noisy block."""
    clean = drawn(ROWS, BLOCKS, BLOCK, network.width, seed=1)
    noisy = drawn(samples * ROWS, BLOCKS, BLOCK, network.width, seed=2)
    times = torch.sigmoid(drawn(samples * ROWS, BLOCKS, n_times, seed=3))
    return clean, noisy, times


def _case(
    subject: Subject, samples: int = 1, n_times: int = 1, scale: float = 0.2
) -> tuple[Network, Tensor, Tensor, Tensor]:
    """A network whose weights are all random, in float64, and its inputs."""
    network: Network = subject.build(n_times=n_times)
    shake(network, scale)
    return network.double(), *_inputs(network, samples, n_times)


def _history(network: Network, clean: Tensor, counts: Tensor | None = None) -> Any:
    return network.commit(clean, network.begin(len(clean), clean), counts)


def _parallel(network: Network, clean: Tensor, noisy: Tensor, times: Tensor, **more: Any) -> Tensor:
    return network.parallel(noisy, times, _history(network, clean[:, :-1]), **more)


def parallel(subject: Subject) -> None:
    """All blocks at once, as in training, equal block by block, as in sampling."""
    most = subject.capabilities.max_times
    for n_times in (1, 2) if most is None or most >= 2 else (1,):
        network, clean, noisy, times = _case(subject, n_times=n_times)
        for learning in (True, False):
            with torch.set_grad_enabled(learning):
                together = _parallel(network, clean, noisy, times)
                if together.shape != noisy.shape:
                    raise Fault(f"states of {tuple(noisy.shape)} are {tuple(together.shape)}")
                history = network.begin(ROWS, clean)
                for block in range(BLOCKS):
                    alone = network(noisy[:, block], times[:, block, None], history)
                    what = f"block {block} in training and in sampling ({n_times} times)"
                    demand_close(alone, together[:, block], EXACT, what)
                    history = network.commit(clean[:, block : block + 1], history)


@torch.no_grad()
def cache(subject: Subject) -> None:
    """Committed in parts equals committed at once; looking leaves nothing in the history."""
    network, clean, noisy, times = _case(subject)
    at_once, parts = _history(network, clean), network.begin(ROWS, clean)
    for first, last in ((0, 2), (2, 3), (3, BLOCKS)):
        parts = network.commit(clean[:, first:last], parts)
        network(noisy[:, 0], times[:, 0, None], parts)
    states, expected = (network(noisy[:, 0], times[:, 0, None], h) for h in (parts, at_once))
    demand_close(states, expected, EXACT, "a history in parts and at once")


@torch.no_grad()
def ragged(subject: Subject) -> None:
    """Rows with histories of different length, or none, are as if alone; rows can be selected."""
    network, clean, noisy, times = _case(subject)
    blocks = [0, 2, 3]
    history = _history(network, clean, BLOCK * torch.tensor(blocks))
    together = network(noisy[:, 0], times[:, 0, None], history)
    for row, count in enumerate(blocks):
        one = slice(row, row + 1)
        own = _history(network, clean[one, :count]) if count else network.begin(1, clean)
        alone = network(noisy[one, 0], times[one, 0, None], own)
        demand_close(alone[0], together[row], EXACT, f"a row with {count} blocks of history")
    none = network(noisy[:1, 0], times[:1, 0, None], None)
    demand_close(none[0], together[0], EXACT, "no history and an empty one")
    order = torch.tensor([2, 0])
    chosen = network(noisy[order, 0], times[order, 0, None], history.select(order))
    demand_close(chosen, together[order], EXACT, "history.select(): rows chosen")


def blind_to_later(subject: Subject) -> None:
    """Block b sees neither the blocks behind it nor its own clean version."""
    network, clean, noisy, times = _case(subject)
    before = _parallel(network, clean, noisy, times)
    for block in range(1, BLOCKS):
        late_clean, late_noisy = clean.clone(), noisy.clone()
        late_clean[:, block - 1 :] += 3.0
        late_noisy[:, block:] -= 3.0
        after = _parallel(network, late_clean, late_noisy, times)
        what = f"blocks before {block} see what lies behind them"
        demand_close(after[:, :block], before[:, :block], EXACT, what)
    moved = clean.clone()
    moved[:, 0] += 1.0
    if gap(_parallel(network, moved, noisy, times)[:, 1:], before[:, 1:]) < 1e-6:
        raise Fault("later blocks don't change with the first clean one: history is ignored")


@torch.no_grad()
def times(subject: Subject) -> None:
    """Times broadcast: one for all equals the same for each; and states depend on them."""
    network, clean, noisy, drawn_times = _case(subject)
    once = _parallel(network, clean, noisy, drawn_times[:, :1])
    each = _parallel(network, clean, noisy, drawn_times[:, :1].expand_as(drawn_times))
    demand_close(once, each, EXACT, "one time for all blocks and the same for each")
    one = network(noisy[:, 0], drawn_times[:1, 0, None], None)
    same = drawn_times[:1, 0, None].expand(ROWS, BLOCK, 1)
    demand_close(one, network(noisy[:, 0], same, None), EXACT, "one time for all positions")
    if gap(_parallel(network, clean, noisy, 1 - drawn_times[:, :1]), once) < 1e-6:
        raise Fault("states don't change with the time")


@torch.no_grad()
def pinned(subject: Subject) -> None:
    """Pinned positions are at time 0, the rest of their block at its own."""
    network, clean, noisy, drawn_times = _case(subject)
    fixed = torch.zeros(ROWS, BLOCKS, BLOCK, dtype=torch.bool)
    fixed[1, 2, 0] = fixed[2, 1, 0] = True
    together = _parallel(network, clean, noisy, drawn_times, pinned=fixed)
    for row, block in ((1, 2), (2, 1), (0, 3)):
        own = torch.where(fixed[row, block], 0.0, drawn_times[row, block])[None, :, None]
        past = _history(network, clean[row : row + 1, :block])
        alone = network(noisy[row : row + 1, block], own, past)
        demand_close(alone[0], together[row, block], EXACT, "a block with pinned positions")


@torch.no_grad()
def blind_rows(subject: Subject) -> None:
    """Rows marked blind see no history."""
    network, clean, noisy, drawn_times = _case(subject)
    shut = torch.tensor([False, True, False])
    together = _parallel(network, clean, noisy, drawn_times, blind=shut)
    plain = _parallel(network, clean, noisy, drawn_times)
    demand_close(together[~shut], plain[~shut], EXACT, "rows beside a blind one")
    for block in range(BLOCKS):
        alone = network(noisy[1:2, block], drawn_times[1:2, block, None], None)
        demand_close(together[1, block], alone[0], EXACT, f"block {block} of a blind row")


@torch.no_grad()
def samples(subject: Subject) -> None:
    """Several noisings that share a history equal single ones."""
    network, clean, noisy, drawn_times = _case(subject, samples=2)
    together = _parallel(network, clean, noisy, drawn_times)
    for part in (slice(0, ROWS), slice(ROWS, 2 * ROWS)):
        alone = _parallel(network, clean, noisy[part], drawn_times[part])
        demand_close(together[part], alone, EXACT, "a noising among others and alone")


def gradients(subject: Subject) -> None:
    """A finite gradient reaches every weight, and the history."""
    network: Network = subject.build(n_times=1).float()
    clean, noisy, drawn_times = (x.float() for x in _inputs(network))
    target = drawn(*noisy.shape, seed=9).float()

    def loss(step: int) -> Tensor:
        return (_parallel(network, clean, noisy, drawn_times) - target).square().mean()

    demand_gradients(network, network.parameters(), loss)
    clean.requires_grad_()
    (reached,) = torch.autograd.grad(loss(0), clean)
    if not bool(reached[:, :-1].any()):
        raise Fault("no gradient reaches the history")


def forward_ad(subject: Subject) -> None:
    """Where `forward_ad` is declared, forward-mode derivatives by time agree with differences."""
    if not subject.capabilities.forward_ad:
        raise NotApplicable("it declares no forward-mode differentiation")
    network, clean, noisy, drawn_times = _case(subject, scale=0.05)
    history = _history(network, clean[:, :-1])

    def states(t: Tensor) -> Tensor:
        return network.parallel(noisy, t, history)

    with sdpa_kernel(SDPBackend.MATH):
        ones = torch.ones_like(drawn_times)
        tangent: Tensor = torch.func.jvp(states, (drawn_times,), (ones,))[1]
    step = 1e-6
    difference = (states(drawn_times + step) - states(drawn_times - step)) / (2 * step)
    # Central differences of a function with frequencies up to 1000 are exact to about 1e-4.
    demand_close(tangent, difference, 1e-3, "forward-mode derivative and central differences")


@torch.no_grad()
def position_times(subject: Subject) -> None:
    """Times of positions, where they are declared: in training and in sampling alike."""
    if not subject.capabilities.position_times:
        raise NotApplicable("one time for a block")
    network, clean, noisy, times = _case(subject)
    each = times[:, :, None].expand(-1, -1, BLOCK, -1)
    one, same = (_parallel(network, clean, noisy, given) for given in (times, each))
    demand_close(same, one, EXACT, "times of positions that are all the block's, and the block's")
    each = each * torch.linspace(0.0, 1.0, BLOCK, dtype=each.dtype)[:, None]
    together, history = _parallel(network, clean, noisy, each), network.begin(ROWS, clean)
    for block in range(BLOCKS):
        alone = network(noisy[:, block], each[:, block], history)
        what = f"block {block} at times of positions, in training and in sampling"
        demand_close(alone, together[:, block], EXACT, what)
        history = network.commit(clean[:, block : block + 1], history)


def autocast(subject: Subject) -> None:
    """Under bf16 autocast, states stay finite and near those of fp32."""
    network, *inputs = _case(subject, scale=0.05)
    network.float()
    clean, noisy, drawn_times = (x.float() for x in inputs)
    plain = _parallel(network, clean, noisy, drawn_times)
    with torch.autocast("cpu", torch.bfloat16):
        low = _parallel(network, clean, noisy, drawn_times)
    # bf16 has 8 bits.
    demand_close(low, plain, 0.1, "states under bf16 autocast and in fp32")


def flops(subject: Subject) -> None:
    """FLOPs are positive and grow with rows, blocks and noisings."""
    network: Network = subject.build(n_times=1)
    base = network.flops(2, BLOCKS, BLOCK)
    more = {
        "rows": network.flops(4, BLOCKS, BLOCK),
        "blocks": network.flops(2, 2 * BLOCKS, BLOCK),
        "noisings": network.flops(2, BLOCKS, BLOCK, 2),
    }
    if base <= 0:
        raise Fault(f"flops() is {base}")
    for what, count in more.items():
        if count <= base:
            raise Fault(f"flops() doesn't grow with the number of {what}: {base}, {count}")
