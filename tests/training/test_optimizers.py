"""What each optimizer takes, decays and saves."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from colaflex.training.optimizers import (
    NamedGroup,
    OptimizerName,
    Optimizers,
    build_optimizers,
    hidden_matrices,
)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 5))


def optimizers_of(model: nn.Sequential, name: OptimizerName, decay: float = 0.1) -> Optimizers:
    named = dict(model.named_parameters())
    early = {n: p for n, p in named.items() if n.startswith(("0", "1"))}
    late = {n: p for n, p in named.items() if n not in early}
    groups = [NamedGroup(early, 0.5), NamedGroup(late)]
    hidden = hidden_matrices(model)
    return build_optimizers(name, groups, betas=(0.9, 0.95), weight_decay=decay, hidden=hidden)


def step(model: nn.Sequential, optimizers: Optimizers) -> None:
    optimizers.set_learning_rate(0.1)
    model(torch.arange(5)).square().sum().backward()
    optimizers.step()


def test_each_group_has_its_rate_and_only_matrices_decay() -> None:
    model = network()
    optimizers = optimizers_of(model, "adamw")
    optimizers.set_learning_rate(0.2)
    (adamw,) = optimizers.members
    found = {
        (group["lr"], group["weight_decay"]): {p.dim() for p in group["params"]}
        for group in adamw.param_groups
    }
    assert found == {(0.1, 0.1): {2}, (0.1, 0.0): {1}, (0.2, 0.1): {2}, (0.2, 0.0): {1}}


def test_muon_takes_matrices_that_are_no_tables() -> None:
    model = network()
    adamw, muon = optimizers_of(model, "muon").members
    assert {id(p) for g in muon.param_groups for p in g["params"]} == {
        id(model[1].weight),
        id(model[3].weight),
    }
    assert isinstance(adamw, torch.optim.AdamW)
    assert sum(len(g["params"]) for g in adamw.param_groups) == 5


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_continues_exactly_from_its_saved_state(name: OptimizerName) -> None:
    one, other = network(), network()
    first = optimizers_of(one, name)
    for _ in range(3):
        step(one, first)
    state = {key: value.clone() for key, value in first.state().items()}
    assert "exp_avg:2.weight" in state
    assert ("momentum_buffer:1.weight" in state) == (name == "muon")
    other.load_state_dict(one.state_dict())
    second = optimizers_of(other, name)
    second.load_state(state)
    for _ in range(3):
        step(one, first)
        step(other, second)
    for here, there in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(here, there)


def test_goes_on_where_another_optimizer_learned_a_matrix(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As with checkpoints of before the last layer was left to AdamW, and the other way round."""
    one = network()
    before = optimizers_of(one, "muon")
    step(one, before)
    state = {key: value.clone() for key, value in before.state().items()}
    moved = {"3.weight": "exp_avg", "0.weight": "momentum_buffer"}
    for name in ("exp_avg", "exp_avg_sq", "step"):
        state.pop(f"{name}:0.weight")
    state.pop("momentum_buffer:3.weight")
    for name, key in moved.items():
        state[f"{key}:{name}"] = torch.ones_like(dict(one.named_parameters())[name])
    after = optimizers_of(one, "muon")
    after.load_state(state)
    assert "2 matrices that another optimizer trained" in caplog.text
    loaded = after.state()
    assert not {f"{key}:{name}" for name, key in moved.items()} & set(loaded)
    for name in ("momentum_buffer:1.weight", "exp_avg:2.weight"):
        assert torch.equal(loaded[name], state[name])
    step(one, after)
    found = after.state()
    assert float(found["step:0.weight"]) == 1.0  # its moments, and their corrections, are new
    assert float(found["step:2.weight"]) == 2.0


def test_a_parameter_without_gradient_rests() -> None:
    model = network()
    optimizers = optimizers_of(model, "adamw")
    before = model[0].weight.detach().clone()
    optimizers.set_learning_rate(0.1)
    model[1].weight.sum().backward()
    optimizers.step()
    assert torch.equal(model[0].weight, before)
    assert set(optimizers.state()) == {f"{k}:1.weight" for k in ("step", "exp_avg", "exp_avg_sq")}
