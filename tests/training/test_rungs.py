"""Looking at a model within its training changes nothing of it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from colaflex.experiment.experiment import Experiment
from colaflex.experiment.prepared import prepare
from colaflex.experiment.run_options import RunOptions
from colaflex.spec import Spec
from colaflex.training.watcher import Reached, Watcher, Watchers

QUIET = RunOptions(quiet=True, report=False, split="validation")


class Looks(Watcher):
    def __init__(self, rungs: Sequence[float], look: Callable[[Reached], None]) -> None:
        self.rungs = rungs
        self.look = look  # type: ignore[method-assign]


def experiment(spec: Spec, folder: Path, *watchers: Watcher) -> Experiment:
    return Experiment(prepare(spec, folder, QUIET), watchers)


def test_a_training_that_was_looked_at_ends_as_one_that_was_not(tiny: Path, tmp_path: Path) -> None:
    plain = experiment(Spec.load(tiny), tmp_path / "plain")
    plain.run()
    seen: list[Reached] = []
    values: list[float] = []

    def look(reached: Reached) -> None:
        seen.append(reached)
        assert not watched.model.training
        values.append(watched.measure().metrics["reconstruction.token_accuracy"].value)

    watched = experiment(Spec.load(tiny), tmp_path / "watched", Looks((0.25, 0.5), look))
    watched.run()
    assert [reached.number for reached in seen] == [1, 2]
    assert 0 < seen[0].flops["prior"] < seen[1].flops["prior"]
    for name, tensor in plain.model.state_dict().items():
        assert torch.equal(tensor, watched.model.state_dict()[name]), name


def test_the_model_at_a_rung_has_its_averaged_weights(tiny: Path, tmp_path: Path) -> None:
    """Not those that a training without an average has at the same step."""
    spec = Spec.load(tiny).override({"training.stages.prior": {"ema_decay": 0.9}})
    seen: dict[str, torch.Tensor] = {}

    def look(reached: Reached) -> None:
        seen.update({name: t.clone() for name, t in run.model.state_dict().items()})

    run = experiment(spec, tmp_path / "averaged", Looks((0.8,), look))
    run.run()
    raw: dict[str, torch.Tensor] = {}

    def look_raw(reached: Reached) -> None:
        raw.update({name: t.clone() for name, t in other.model.state_dict().items()})

    plain = Spec.load(tiny).override({"training.stages.prior": {"ema_decay": 0.0}})
    other = experiment(plain, tmp_path / "raw", Looks((0.8,), look_raw))
    other.run()
    last = run.model.state_dict()
    learned = [
        name for name in last if name.startswith("prior.") and last[name].is_floating_point()
    ]
    assert any(not torch.equal(seen[name], raw[name]) for name in learned)


def test_rungs_are_of_the_prior_where_the_decoder_is_adapted_behind_it(
    tiny: Path, tmp_path: Path
) -> None:
    adapted = {"training.stages.adapt_decoder": {"steps": 4}, "evaluation.samples": 0}
    seen: list[Reached] = []
    run = experiment(Spec.load(tiny).override(adapted), tmp_path, Looks((0.5,), seen.append))
    run.run()
    assert [reached.number for reached in seen] == [1]
    assert "prior" in seen[0].flops and "adapt_decoder" not in seen[0].flops


def test_what_a_look_raises_ends_the_training(tiny: Path, tmp_path: Path) -> None:
    def look(reached: Reached) -> None:
        raise LookupError(reached.number)

    with pytest.raises(LookupError):
        experiment(Spec.load(tiny), tmp_path / "ended", Looks((0.5,), look)).run()
    assert not (tmp_path / "ended" / "result.json").exists()


def test_rungs_fall_on_steps_within_the_stage() -> None:
    rungs = Looks((0.001, 0.002, 0.5, 0.999), lambda reached: None)
    assert Watchers([Watcher(), rungs]).rungs_of(10) == {1: [(rungs, 1)], 5: [(rungs, 3)]}
