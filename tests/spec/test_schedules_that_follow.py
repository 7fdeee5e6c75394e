"""Schedules that follow the training: refused where nothing tells them what they follow."""

from __future__ import annotations

from typing import Any

import pytest

from colaflex.errors import UserError
from colaflex.spec import Spec

BIBLE: dict[str, Any] = {"corpus": "bible"}


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        (
            {"type": "consistency", "schedule": "adaptive"},
            r"prior\.schedule: adaptive follows the training, of which consistency hears nothing",
        ),
        (
            {"type": "rectified_flow", "reflow_schedule": "adaptive"},
            r"prior\.reflow_schedule: adaptive follows the training, of which reflow_schedule",
        ),
        (
            {"type": "autoregressive_latent", "diffusion": {"schedule": "adaptive"}},
            r"prior\.diffusion\.schedule: adaptive follows the training",
        ),
        (
            {"readout": "linear", "schedule": {"type": "adaptive", "source": "readout"}},
            r"prior\.schedule: adaptive follows the readout, which is linear",
        ),
        (
            {"schedule": {"type": "adaptive", "base": "adaptive"}},
            r"the base adaptive follows the training",
        ),
    ],
)
def test_what_tells_a_schedule_nothing_is_refused_before_training(prior: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Spec.parse({**BIBLE, "prior": prior})


@pytest.mark.parametrize("source", ["x0", "readout", "decoder"])
def test_what_tells_is_taken(source: str) -> None:
    spec = Spec.parse({**BIBLE, "prior": {"schedule": {"type": "adaptive", "source": source}}})
    assert spec.prior is not None
    assert spec.prior.schedule.capabilities().source == source
