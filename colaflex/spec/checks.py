"""Combinations that can't work, found from what components declare, before anything is trained."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator, Sequence

from packaging.requirements import InvalidRequirement, Requirement

from colaflex import hints
from colaflex.files.problems import KeyPath, Origin, Problem
from colaflex.interfaces.capabilities import BaselineCapabilities
from colaflex.interfaces.connection import connection
from colaflex.interfaces.options import SamplingOptions
from colaflex.spec.adaptation_checks import adaptation_refusals
from colaflex.spec.regime_checks import regime_refusals, regime_warnings
from colaflex.spec.schedule_checks import schedule_refusals
from colaflex.spec.sections import Document, Sampling, Tokenizer
from colaflex.spec.training import ADAPTATION

__all__ = ["OriginOf", "misfits", "missing_requirements", "refusals", "unfit_sampling", "warnings"]

OriginOf = Callable[[KeyPath], Origin]
LATENT_STAGES = ("representation", "prior", ADAPTATION)
STEP_OPTIONS = ("estimate", "renoise", "grid", "estimate_temperature", "end")
"""Options of sampling that tell what a step does, and where."""
TIME_OPTIONS = ("guidance_interval", "guidance_law", "noise_temperature")
"""Options of sampling that tell how guidance and noise go over time."""


def missing_requirements(document_requires: object, origin_of: OriginOf) -> Iterator[Problem]:
    """What `requires` asks for and the environment lacks."""
    names = document_requires if isinstance(document_requires, list | tuple) else ()
    for index, text in enumerate(names):
        path: KeyPath = ("requires", index)
        try:
            wanted = Requirement(str(text))
        except InvalidRequirement:
            message = f"{text!r} is no requirement; expected e.g. colaflex-foo>=0.3"
            yield Problem(origin_of(path), path, message)
            continue
        try:
            have = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            message = f"{wanted.name} is not installed"
        else:
            if wanted.specifier.contains(have, prereleases=True):
                continue
            message = f"{wanted} is required, {wanted.name} {have} is installed"
        yield Problem(origin_of(path), path, message, f"pip install '{wanted}'")


def refusals(spec: Document, origin_of: OriginOf) -> Iterator[Problem]:
    """Why this spec can't be trained, if so."""
    yield from misfits(spec, origin_of)
    if spec.baseline is None and None not in (spec.segmenter, spec.representation, spec.prior):
        for path, message, hint in regime_refusals(spec):
            yield Problem(origin_of(path), path, message, hint)


def misfits(spec: Document, origin_of: OriginOf) -> Iterator[Problem]:
    """Why the parts of this spec don't fit together, trained or not."""
    for path, message, hint in (*_misfits(spec), *_tasks(spec)):
        yield Problem(origin_of(path), path, message, hint)
    if spec.baseline is not None or None not in (spec.segmenter, spec.representation, spec.prior):
        for name, message, hint in unfit_sampling(spec, spec.sampling):
            path = ("sampling", name)
            yield Problem(origin_of(path), path, message, hint)


def _misfits(spec: Document) -> Iterator[tuple[KeyPath, str, str]]:
    if spec.baseline is not None:
        for name in ("segmenter", "representation", "prior"):
            if getattr(spec, name) is not None:
                yield (name,), "a baseline needs none", f"remove `{name}` or `baseline`"
        if spec.sampling.guidance != 1 and not _of_baseline(spec).guidance:
            message = f"the baseline {spec.baseline.type} can't be guided"
            yield ("sampling", "guidance"), message, "set it to 1"
        yield from adaptation_refusals(spec)
        return
    for name in ("segmenter", "representation", "prior"):
        if getattr(spec, name) is None:
            yield (name,), "required where there is no baseline", ""
            return
    yield from _stages(spec)
    yield from _tokens(spec)
    yield from _segments(spec)
    yield from _groups(spec)
    yield from _causality(spec)
    yield from _offers(spec)
    yield from schedule_refusals(spec)
    yield from adaptation_refusals(spec)
    assert spec.prior is not None
    if spec.sampling.guidance != 1 and not spec.prior.capabilities().guidance:
        message = f"the prior {spec.prior.type} can't be guided"
        yield ("sampling", "guidance"), message, "set it to 1"


def _tasks(spec: Document) -> Iterator[tuple[KeyPath, str, str]]:
    names = [task.title for task in spec.evaluation.tasks]
    for index, task in enumerate(spec.evaluation.tasks):
        path = ("evaluation", "tasks", index)
        if task.capabilities().source == "data":
            hint = f"measure it by `colaflex evaluate RUN --task {task.type} --data DIR`"
            yield path, f"the task {task.title} reads data of yours, which a spec has not", hint
        if task.title in names[:index]:
            yield path, f"a task is called {task.title} already", "give one of them another `name`"


def _stages(spec: Document) -> Iterator[tuple[KeyPath, str, str]]:
    for name in spec.training.stages:
        if name not in LATENT_STAGES:
            teacher = " (a teacher has the settings of prior)" if name == "teacher" else ""
            hint = f"choose from {', '.join(LATENT_STAGES)}{teacher}"
            yield ("training", "stages", name), "no stage of a latent model", hint


def _tokens(spec: Document) -> Iterator[tuple[KeyPath, str, str]]:
    assert spec.representation is not None
    own = spec.representation.capabilities().reads == "own_tokenizer"
    if own and spec.tokenizer != Tokenizer():
        message = f"the representation {spec.representation.type} brings its own tokenizer"
        yield ("tokenizer",), message, "remove it"


def _segments(spec: Document) -> Iterator[tuple[KeyPath, str, str]]:
    assert spec.segmenter is not None
    assert spec.representation is not None
    segments, representation = spec.segmenter.capabilities(), spec.representation.capabilities()
    name = spec.representation.type
    if segments.variable and not representation.variable_length:
        message = f"the representation {name} can't read segments of variable length"
        yield ("segmenter",), message, "choose a segmenter of fixed length"
    if segments.needs_states and not representation.token_states:
        message = f"the representation {name} has no causal token states, which the segmenter needs"
        hint = "choose one that needs none, or options that give it some (token_layers of text_vae)"
        yield ("segmenter",), message, hint
    if segments.levels > representation.levels:
        message = f"the representation {name} can't read segments of {segments.levels} levels"
        yield ("segmenter",), message, "choose a segmenter of one level"
    if representation.token_aligned and segments.max_segment_tokens > 1:
        message = f"the representation {name} has one latent a token"
        yield ("segmenter",), message, "choose segments of one token"


def _groups(spec: Document) -> Iterator[tuple[KeyPath, str, str]]:
    assert spec.segmenter is not None
    assert spec.prior is not None
    group, block = spec.segmenter.capabilities().group, spec.prior.block_size
    if block % group:
        message = (
            f"a block of {block} would separate a coarse latent from its run: the segmenter "
            f"{spec.segmenter.type} has groups of {group}"
        )
        below, above = block // group * group, -(-block // group) * group
        sizes = f"{below} or {above}" if below else f"{above}"
        yield ("prior", "block_size"), message, f"choose a multiple of {group}: {sizes}"


def _causality(spec: Document) -> Iterator[tuple[KeyPath, str, str]]:
    assert spec.segmenter is not None
    assert spec.representation is not None
    assert spec.prior is not None
    if spec.representation.capabilities().causality != "bidirectional":
        return
    segmenter = spec.segmenter.capabilities()
    shortest = 1 if segmenter.variable else segmenter.max_segment_tokens
    training = spec.training
    stages = [each for each in LATENT_STAGES if each != ADAPTATION or training.adapts_decoder]
    longest = max(training.for_stage(stage).max_tokens for stage in stages)
    latents = -(-longest // shortest)
    if segmenter.levels > 1:
        latents += -(-latents // (segmenter.group - 1))
    if spec.prior.capabilities().order != "block" or spec.prior.block_size < latents:
        message = (
            f"the representation {spec.representation.type} is bidirectional: its latents know "
            "what is yet to come, so that the prior must generate the whole sequence as one block"
        )
        hint = f"set prior.block_size to at least {latents}, or choose a causal representation"
        yield ("representation",), message, hint


def _offers(spec: Document) -> Iterator[tuple[KeyPath, str, str]]:
    """Readouts and readings of history that one part asks for and the other hasn't."""
    assert spec.representation is not None
    assert spec.prior is not None
    takes, makes = spec.prior.capabilities(), spec.representation.capabilities()
    chosen, representation = connection(spec.prior, spec.representation), spec.representation.type
    choices = ("auto", "linear", *(makes.readouts if takes.readout else ()))
    if chosen.readout not in choices:
        message = f"the representation {representation} offers no readout {chosen.readout!r}"
        if not takes.readout:
            message = f"the prior {spec.prior.type} takes no readout"
        elif near := hints.hint(chosen.readout, choices):
            message += near
        yield ("prior", "readout"), message, f"choose from {', '.join(choices)}"
    if chosen.history == "states" and not (takes.history and makes.history):
        message = f"the representation {representation} offers no reading of the history"
        if not takes.history:
            message = f"the prior {spec.prior.type} reads its history as latents alone"
        yield ("prior", "history"), message, "choose latents or auto"


def unfit_sampling(
    spec: Document, sampling: Sampling | SamplingOptions
) -> Iterator[tuple[str, str, str]]:
    """Options of sampling that this model has not: each with why, and a hint."""
    part = spec.baseline or spec.prior
    assert part is not None
    declared = None if spec.prior is None else spec.prior.capabilities()
    takes = declared is not None and declared.estimates
    by_time = declared is not None and declared.guided_by_time
    foreign = (*(() if takes else STEP_OPTIONS), *(() if by_time else TIME_OPTIONS))
    for name in _changed(sampling, foreign):
        message = f"the {part.kind} {part.type} samples in its own way alone"
        default = getattr(Sampling(), name)
        shown = list(default) if isinstance(default, tuple) else default
        yield name, message, f"set it to {shown}"
    if sampling.estimate == "draw" and takes:
        assert spec.prior is not None
        assert spec.representation is not None
        readout = connection(spec.prior, spec.representation).readout
        if readout in ("linear", *spec.representation.capabilities().undrawn):
            message = f"a {readout} readout says nothing of the text from which estimates are drawn"
            yield "estimate", message, "set it to mean, or prior.readout to auto"
    if sampling.end == "draw" and takes and sampling.estimate != "draw":
        yield "end", "only drawn estimates end in one", "set it to mean, or estimate to draw"


def _changed(sampling: Sampling | SamplingOptions, names: Sequence[str]) -> list[str]:
    """Options that are not at their defaults."""
    default = Sampling()
    return [name for name in names if getattr(sampling, name) != getattr(default, name)]


def warnings(spec: Document) -> Iterator[str]:
    """What will work, but hardly as meant."""
    if spec.prior is None:
        yield from _same_texts(spec)
        return
    fewest, steps = spec.prior.capabilities().fewest_steps, spec.sampling.steps
    if steps < fewest:
        yield (
            f"sampling.steps: {steps} is below the fewest steps that are useful with the prior "
            f"{spec.prior.type}, {fewest}"
        )
    yield from regime_warnings(spec)
    yield from _solver_warnings(spec)
    assert spec.representation is not None
    read, block = spec.representation.capabilities().block_size, spec.prior.block_size
    if spec.sampling.reencode and block % read:
        yield (
            f"sampling.reencode: the representation {spec.representation.type} reads {read} "
            f"segments together, and a block of {block} ends within them, where it has learned "
            f"little; choose a prior.block_size that is a multiple of {read}"
        )


def _solver_warnings(spec: Document) -> Iterator[str]:
    solver, changed = getattr(spec.prior, "solver", None), _changed(spec.sampling, STEP_OPTIONS)
    if changed and solver is not None and solver.type != "euler":
        yield (
            f"sampling.{changed[0]}: such steps are Euler's; prior.solver, {solver.type}, takes no "
            "part in sampling"
        )


def _same_texts(spec: Document) -> Iterator[str]:
    """A baseline without solver steps has no chance but that of its tokens."""
    if spec.baseline is None or _of_baseline(spec).steps:
        return
    if spec.sampling.temperature == 0 and spec.evaluation.samples > 1:
        yield (
            f"sampling.temperature: at 0 the baseline {spec.baseline.type} takes the most probable "
            "tokens, so that all texts behind the same prompt are the same; 1 draws from the model"
        )


def _of_baseline(spec: Document) -> BaselineCapabilities:
    """What the baseline declares; what every one is taken for where it declares nothing."""
    declared = None if spec.baseline is None else spec.baseline.capabilities()
    return declared if isinstance(declared, BaselineCapabilities) else BaselineCapabilities()
