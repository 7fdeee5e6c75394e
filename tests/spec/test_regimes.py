"""Which regimes, gates and weights hold the latents where they are, and which are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from colaflex.errors import UserError
from colaflex.spec import Spec
from colaflex.spec.training import GradientGate

OPEN = {"start": 1, "end": 1}


def spec(training: Any, prior: Any = "flow_matching", **representation: Any) -> Spec:
    given = {"type": "text_vae", **representation}
    return Spec.parse(
        {"corpus": "bible", "representation": given, "prior": prior, "training": training}
    )


def weights(**given: float) -> dict[str, Any]:
    return {"gradient_gate": OPEN, "weights": given}


CONSTANT = "with a fixed log_snr the entropy is constant"
NEITHER = "neither entropy nor reference KL has a weight"
SHRINK = "they shrink to one point"
RUN = {"type": "rectified_flow", "teacher": "runs/teacher"}
REFUSED: list[tuple[Any, Any, dict[str, Any], str]] = [
    # What the entropy can't hold.
    ({"gradient_gate": OPEN}, "flow_matching", {"log_snr": 3.0}, CONSTANT),
    ({"gradient_gate": {"end": 0.1}}, "shortcut", {"log_snr": -1.0}, CONSTANT),
    ({"gradient_gate": OPEN, "regime": "interval"}, "mean_flow", {"log_snr": 2.0}, CONSTANT),
    ({"gradient_gate": OPEN, "regime": "scratch"}, "consistency", {"log_snr": 2.0}, CONSTANT),
    (weights(representation=0), "flow_matching", {"log_snr": 2.0}, CONSTANT),
    (weights(representation=0), "flow_matching", {}, NEITHER),
    ({"gradient_gate": OPEN}, "hybrid", {"rate_weight": 0}, NEITHER),
    ({"gradient_gate": OPEN}, "flow_matching", {"type": "text_ae"}, "have no density"),
    # A density gains without end where latents shrink.
    ({"gradient_gate": OPEN}, "normalizing_flow", {}, "reference_kl to at least 0.0615"),
    ({"gradient_gate": OPEN}, "autoregressive_latent", {}, SHRINK),
    ({"gradient_gate": {"end": 0.5}}, "autoregressive_flow", {}, "at least 0.0303"),
    ({"gradient_gate": OPEN}, "gaussian", {}, SHRINK),
    ({"gradient_gate": OPEN}, "cnf", {}, SHRINK),
    (weights(reference_kl=0.01), "normalizing_flow", {}, SHRINK),
    (weights(prior=2), "normalizing_flow", {"latent_dim": 4, "rate_weight": 0.1}, "least 0.4"),
    # No stage 1.
    ({"regime": "scratch", "weights": {"reference_kl": 0.1}}, "flow_matching", {}, "random"),
    (
        {"regime": "scratch"},
        RUN,
        {},
        "prior.teacher: a given teacher has learned the latents of another representation",
    ),
    # Nothing of the gradient arrives, or nothing learns.
    ({"gradient_gate": OPEN}, RUN, {}, "training.gradient_gate: nothing of the prior's loss"),
    (
        {"gradient_gate": OPEN, "weights": {"reference_kl": 1}},
        {"type": "consistency", "mode": "distillation", "teacher": "runs/teacher"},
        {},
        "nothing of the prior's loss reaches the encoder",
    ),
    ({"weights": {"prior": 0}}, "flow_matching", {}, "the prior would learn nothing"),
    ({"weights": {"prior": 0}, "regime": "frozen"}, "gaussian", {}, "would learn nothing"),
]


@pytest.mark.parametrize(("training", "prior", "representation", "told"), REFUSED)
def test_what_nothing_holds_is_refused(
    training: Any, prior: Any, representation: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError) as error:
        spec(training, prior, **representation)
    assert told in str(error.value)


SOUND: list[tuple[Any, Any, dict[str, Any]]] = [
    *(({"regime": regime}, "flow_matching", {}) for regime in ("joint", "interval", "scratch")),
    *(({"regime": regime}, "gaussian", {"log_snr": 3.0}) for regime in ("joint", "scratch")),
    ({"regime": "scratch"}, "flow_matching", {"free_bits": 0.1}),
    ({"regime": "joint"}, "flow_matching", {"type": "text_ae"}),
    ({"regime": "joint"}, "rectified_flow", {}),
    ({"regime": "frozen"}, RUN, {}),
    ({"weights": {"reference_kl": 0.1}}, "flow_matching", {"rate_weight": 0}),
    (weights(reference_kl=0.1), "flow_matching", {}),
    (weights(reference_kl=0.1), "flow_matching", {"log_snr": 3.0}),
    (weights(reference_kl=0.07), "normalizing_flow", {}),
    (weights(reference_kl=0.01), "autoregressive_latent", {"rate_weight": 0.06}),
    (
        weights(reference_kl=0.01),
        {"type": "autoregressive_latent", "head": "energy"},
        {},
    ),
    ({"gradient_gate": {"end": 1, "begin_step_fraction": 1}}, "normalizing_flow", {}),
    ({"gradient_gate": {"end": 1, "shape": "constant"}}, "cnf", {"log_snr": 3.0}),
]


@pytest.mark.parametrize(("training", "prior", "representation"), SOUND)
def test_what_is_sound_passes_without_a_word(
    training: Any, prior: Any, representation: dict[str, Any]
) -> None:
    assert spec(training, prior, **representation).warnings == []


WARNED: list[tuple[Any, Any, dict[str, Any], str]] = [
    ({"gradient_gate": OPEN}, "flow_matching", {}, "entropy alone keeps the latents from one"),
    ({}, "flow_matching", {"rate_weight": 0}, "nothing holds the scale of the latents"),
    ({"regime": "scratch"}, "shortcut", {"rate_weight": 0}, "nothing holds the scale"),
    ({"weights": {"representation": 0}}, "flow_matching", {}, "nothing teaches the representation"),
    ({"regime": "frozen", "gradient_gate": OPEN}, "gaussian", {}, "gradient_gate: acts on nothing"),
    ({"regime": "frozen", "weights": {"reference_kl": 1}}, "cnf", {}, "reference_kl: acts on noth"),
    ({}, RUN, {}, "training.regime: joint: the representation rests"),
    (weights(reference_kl=0.1), "rectified_flow", {}, "it is closed once the teacher is trained"),
]


@pytest.mark.parametrize(("training", "prior", "representation", "told"), WARNED)
def test_what_is_hardly_meant_is_told(
    training: Any, prior: Any, representation: dict[str, Any], told: str
) -> None:
    (warning,) = spec(training, prior, **representation).warnings
    assert told in warning


def test_a_resting_representation_is_pulled_nowhere() -> None:
    still = {"gradient_gate": OPEN, "representation_lr_ratio": 0}
    assert spec(still, "normalizing_flow", log_snr=3.0).warnings == []
    spec({**still, "regime": "frozen"}, "cnf")


def test_what_a_run_was_trained_by_still_opens(tmp_path: Path) -> None:
    text = "corpus: bible\nprior: normalizing_flow\ntraining: {gradient_gate: {start: 1}}\n"
    (tmp_path / "spec.yaml").write_text(text)
    with pytest.raises(UserError, match="shrink to one point"):
        Spec.load(tmp_path / "spec.yaml")
    old = Spec.of_run(tmp_path / "spec.yaml")
    assert old.training.gradient_gate.start == 1
    assert old.digest()


def test_a_gate_opens_only_if_it_moves_before_the_end() -> None:
    assert GradientGate(end=1).ends == (0, 1)
    for still in (
        GradientGate(end=1, shape="constant"),
        GradientGate(end=1, begin_step_fraction=1),
    ):
        assert still.ends == (0, 0)
        assert not still.opens
        assert max(still.value(step / 100) for step in range(100)) == 0
