"""A stage whose constants are fitted again on its way: when, and that nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_model import Prediction, Stop, TinyModel, final_state, records, train, with_settings

from colaflex.interfaces.stage import Stage
from colaflex.interfaces.values import TokenBatch
from colaflex.training.interrupts import Interrupted


class Refitted(TinyModel):
    """Its prior's mean is fitted at the start and twice on the way, unless it is `still`."""

    def __init__(self, still: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.still, self.fitted = still, 0

    def stages(self) -> Sequence[Stage]:
        first, _ = super().stages()
        return [first, RefittedPrediction(self)]


class RefittedPrediction(Prediction):
    """Fits the mean, unless its model is still."""

    model: Refitted
    refits = (1 / 3, 0.5, 0.55, 0.01)

    @torch.no_grad()
    def fit(self, batches: Iterator[TokenBatch]) -> None:
        model = self.model
        model.fitted += 1
        if not model.still:
            seen = [model.embedding(batch.tokens).mean((0, 1)) for batch in batches]
            model.mean.copy_(torch.stack(seen).mean(0))


SETTINGS = [with_settings(), with_settings(ema_decay=0.9, accumulate=2, optimizer="muon")]


@pytest.mark.parametrize("settings", SETTINGS)
def test_fits_that_change_nothing_change_nothing(tmp_path: Path, settings: Any) -> None:
    plain, still = tmp_path / "plain", Refitted(still=True)
    done = train(plain, settings)
    again = train(tmp_path / "still", settings, still)
    # Before step 0, 2 and 3 of 6: one and a half rounds to 2 steps, nothing to 0 steps.
    assert still.fitted == 3
    assert final_state(plain) == final_state(tmp_path / "still")
    assert records(plain) == records(tmp_path / "still")
    assert [(s.steps, s.tokens, s.flops) for s in again.stages] == [
        (s.steps, s.tokens, s.flops) for s in done.stages
    ]


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_refitted_stage_resumes_exactly_from_every_step(tmp_path: Path, settings: Any) -> None:
    whole = tmp_path / "whole"
    train(whole, settings, Refitted())
    assert final_state(whole) != b""
    for step in (1, 2, 3, 4, 5):
        folder = tmp_path / str(step)
        with pytest.raises(Interrupted):
            train(folder, settings, Refitted(), watcher=Stop(("prior", step)))
        train(folder, settings, Refitted(), resume=True)
        assert final_state(folder) == final_state(whole)
        assert records(folder) == records(whole)


def test_what_is_fitted_is_what_the_steps_behind_it_learn_with(tmp_path: Path) -> None:
    train(tmp_path / "once", model=TinyModel())
    train(tmp_path / "often", model=Refitted())
    once, often = (
        [r["loss.nll"] for r in records(tmp_path / name) if r["stage"] == "prior"]
        for name in ("once", "often")
    )
    assert all(abs(a - b) > 1e-6 for a, b in zip(once, often, strict=True))
