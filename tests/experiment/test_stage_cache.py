"""What stage 1 leaves behind is found again whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from colaflex.experiment.stage_cache import (
    StageOne,
    load_stage_one,
    save_stage_one,
    stage_one_state,
    weights_digest,
)

COST = StageOne(steps=3, tokens=5, flops=7, seconds=1.5)


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.representation, self.prior = nn.Linear(2, 3), nn.Linear(3, 3)
        self.register_buffer("shift", torch.randn(3))
        self.register_buffer("scale", torch.rand(3))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLAFLEX_CACHE", str(tmp_path))
    return tmp_path / "stage1"


def test_what_was_kept_is_found_and_the_model_stays_as_it_is(cache: Path) -> None:
    one, other = Parts(), Parts()
    assert load_stage_one(other, "d") is None
    save_stage_one(one, COST, "d")
    before = {name: value.clone() for name, value in other.state_dict().items()}
    kept = load_stage_one(other, "d")
    assert kept is not None and kept.cost == COST
    assert kept.state.keys() == {"representation.weight", "representation.bias", "shift", "scale"}
    assert all(torch.equal(value, one.state_dict()[name]) for name, value in kept.state.items())
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())
    assert load_stage_one(other, "e") is None
    assert stage_one_state(one).keys() == kept.state.keys()


def test_weights_are_told_apart_by_the_last_bit_and_not_by_the_prior() -> None:
    one, other = Parts(), Parts()
    assert weights_digest(one) != weights_digest(other)
    other.load_state_dict(one.state_dict())
    with torch.no_grad():
        other.prior.weight.zero_()
    assert weights_digest(one) == weights_digest(other)
    for name, value in other.state_dict().items():
        if not name.startswith("prior."):
            before = value.clone()
            value.view(torch.int32).flatten()[0] ^= 1
            assert weights_digest(one) != weights_digest(other), name
            value.copy_(before)
    assert weights_digest(nn.Linear(2, 2)) == ""


@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_a_damaged_one_is_no_one(cache: Path, size: int, caplog: pytest.LogCaptureFixture) -> None:
    save_stage_one(Parts(), COST, "d")
    path = cache / "d.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    assert load_stage_one(Parts(), "d") is None
    assert "is damaged" in caplog.text and "trained anew" in caplog.text


def test_a_cache_that_cannot_be_written_is_only_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("COLAFLEX_CACHE", str(tmp_path / "file"))
    save_stage_one(Parts(), COST, "d")
    assert "stage 1 is not kept for other runs" in caplog.text
