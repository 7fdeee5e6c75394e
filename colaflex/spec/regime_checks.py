"""What holds the latents where they are while the representation learns: gate, weights, regime."""

from __future__ import annotations

import math
from collections.abc import Iterator

from colaflex.files.problems import KeyPath
from colaflex.spec.sections import Document

__all__ = ["regime_refusals", "regime_warnings"]

GATE: KeyPath = ("training", "gradient_gate")
REFERENCE: KeyPath = ("training", "weights", "reference_kl")


def regime_refusals(spec: Document) -> Iterator[tuple[KeyPath, str, str]]:
    """Why representation and prior can't learn together like this: path, message, hint."""
    if spec.training.weights.prior == 0:
        message = "the prior would learn nothing in stage 2, and generate noise"
        yield ("training", "weights", "prior"), message, "give it a weight above 0"
    yield from _scratch(spec)
    yield from _gate(spec)
    yield from _reference(spec)


def _has_teacher_from_the_start(spec: Document) -> bool:
    """Whether a given teacher teaches the prior from the first step on."""
    assert spec.prior is not None
    has_teacher = str(getattr(spec.prior, "teacher", "none")) != "none"
    return has_teacher and spec.prior.capabilities().needs_teacher


def _moves(spec: Document) -> bool:
    """Whether the representation moves in stage 2."""
    training = spec.training
    learns = training.regime != "frozen" and training.representation_lr_ratio > 0
    return learns and not _has_teacher_from_the_start(spec)


def _density(spec: Document) -> bool:
    assert spec.representation is not None
    return spec.representation.capabilities().continuous_density


def _entropy_weight(spec: Document) -> float:
    """Of the posterior's entropy, where it can change: nats per latent."""
    if not _density(spec) or getattr(spec.representation, "log_snr", "learned") != "learned":
        return 0.0
    rate: float = getattr(spec.representation, "rate_weight", 1.0)
    return rate * spec.training.weights.representation


def _scratch(spec: Document) -> Iterator[tuple[KeyPath, str, str]]:
    assert spec.representation is not None
    training = spec.training
    if training.regime != "scratch":
        return
    if training.weights.reference_kl > 0:
        message = (
            "it would tie the representation to an encoder of random weights: training.regime "
            "scratch has no stage 1, at whose end the reference is taken"
        )
        yield REFERENCE, message, "set it to 0, or choose another regime"
    if _has_teacher_from_the_start(spec):
        message = (
            "a given teacher has learned the latents of another representation than the one that "
            "training.regime scratch begins, and while it teaches this one rests"
        )
        yield ("prior", "teacher"), message, "choose regime frozen, or let the prior train its own"
    if min(training.gradient_gate.ends) == 1:
        for option in spec.representation.capabilities().stage_one_options:
            message = (
                "acts on the rate to a standard-normal base, of which an open gate leaves nothing, "
                "and training.regime scratch has no stage 1"
            )
            yield ("representation", option), message, "remove it, or choose another regime"


def _gate(spec: Document) -> Iterator[tuple[KeyPath, str, str]]:
    assert spec.representation is not None
    training = spec.training
    if training.regime == "frozen" or not training.gradient_gate.opens:
        return
    if _has_teacher_from_the_start(spec):
        message = (
            "nothing of the prior's loss reaches the encoder: a given teacher teaches it, and the "
            "representation rests"
        )
        hint = "leave it closed, or let the prior train its own teacher (prior.teacher: none)"
        yield GATE, message, hint
    elif _moves(spec):
        yield from _collapse(spec)


def _collapse(spec: Document) -> Iterator[tuple[KeyPath, str, str]]:
    """An open gate that the latents can satisfy by being nowhere."""
    assert spec.representation is not None
    assert spec.prior is not None
    training, name = spec.training, spec.representation.type
    entropy, reference = _entropy_weight(spec), training.weights.reference_kl
    outward = (entropy + reference) * spec.representation.latent_dim
    inward = training.gradient_gate.highest * training.weights.prior
    if entropy == 0 and reference == 0:
        message = (
            "an open gate lets the prior's loss pull all latents to one point, and nothing "
            f"holds them apart: {_why_nothing_pulls_apart(spec)}"
        )
        hint = "set training.weights.reference_kl or the representation's rate_weight above 0"
        if not _density(spec):
            hint = f"leave it closed, for the latents of {name} have no density"
        elif getattr(spec.representation, "log_snr", "learned") != "learned":
            hint = "set training.weights.reference_kl above 0, or log_snr to learned"
        yield GATE, message, hint
    elif spec.prior.capabilities().maximum_likelihood and inward > outward:
        least = math.ceil(1e4 * (inward / spec.representation.latent_dim - entropy)) / 1e4
        message = (
            f"the loss of {spec.prior.type} falls by {inward:g} wherever all latents shrink by "
            f"1/e, and entropy and reference KL rise by {outward:g} only: they shrink to one point"
        )
        yield GATE, message, f"set training.weights.reference_kl to at least {least:g}"


def _why_nothing_pulls_apart(spec: Document) -> str:
    if _density(spec) and getattr(spec.representation, "log_snr", "learned") != "learned":
        return "with a fixed log_snr the entropy is constant, and reference_kl has no weight"
    return "neither entropy nor reference KL has a weight"


def _reference(spec: Document) -> Iterator[tuple[KeyPath, str, str]]:
    assert spec.representation is not None
    training = spec.training
    if training.regime == "frozen" or training.weights.reference_kl == 0 or _density(spec):
        return
    message = (
        f"the latents of {spec.representation.type} are points without a density, of which there "
        "is no KL divergence"
    )
    yield REFERENCE, message, "set it to 0"


def regime_warnings(spec: Document) -> Iterator[str]:
    """What will work, but hardly as meant."""
    assert spec.prior is not None
    training, regime = spec.training, f"training.regime: {spec.training.regime}"
    opens, reference = training.gradient_gate.opens, training.weights.reference_kl > 0
    if training.regime == "frozen":
        for name, is_set in (("gradient_gate", opens), ("weights.reference_kl", reference)):
            if is_set:
                yield f"training.{name}: acts on nothing, since the representation is frozen"
    elif _has_teacher_from_the_start(spec):
        yield f"{regime}: the representation rests, for a given teacher teaches from the first step"
    elif _moves(spec):
        yield from _moving(spec)


def _moving(spec: Document) -> Iterator[str]:
    assert spec.prior is not None
    training, weights = spec.training, spec.training.weights
    opens = training.gradient_gate.opens
    if weights.representation == 0 and not opens:
        yield (
            "training.weights.representation: at 0, with the gradient gate closed, nothing teaches "
            "the representation; the regime frozen costs less and ends the same"
        )
    elif _scale_is_free(spec):
        yield (
            "representation.rate_weight: at 0 nothing holds the scale of the latents, which is "
            "fitted once, before stage 2; training.weights.reference_kl does"
        )
    elif opens and _density(spec) and weights.reference_kl == 0:
        yield (
            "training.gradient_gate: entropy alone keeps the latents from one point, but not from "
            "shrinking far below the noise of the prior's path; training.weights.reference_kl "
            "keeps their scale"
        )
    if opens and spec.prior.capabilities().needs_teacher:
        yield (
            "training.gradient_gate: it is closed once the teacher is trained, when the "
            "representation rests"
        )


def _scale_is_free(spec: Document) -> bool:
    learned = getattr(spec.representation, "log_snr", "learned") == "learned"
    weightless = _entropy_weight(spec) == 0 and spec.training.weights.reference_kl == 0
    return _density(spec) and learned and weightless
