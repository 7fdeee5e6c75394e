"""Where the decoder can be adapted to what the prior expects, and where it can't."""

from __future__ import annotations

from collections.abc import Iterator

from colaflex.files.problems import KeyPath
from colaflex.interfaces.connection import Connection, connection
from colaflex.spec.sections import Document
from colaflex.spec.training import ADAPTATION

__all__ = ["adaptation_refusals"]

STAGE: KeyPath = ("training", "stages", ADAPTATION)


def adaptation_refusals(spec: Document) -> Iterator[tuple[KeyPath, str, str]]:
    """Why the decoder can't be adapted like this: path, message, hint."""
    for name, own in spec.training.stages.items():
        if name != ADAPTATION and getattr(own, "mix", None) is not None:
            message = f"the stage {ADAPTATION} alone reads what the prior expects"
            yield ("training", "stages", name, "mix"), message, f"move it to {ADAPTATION}"
    if ADAPTATION not in spec.training.stages:
        return
    if not spec.training.adapts_decoder:
        message = "nothing says how long it takes; by itself it takes no steps"
        yield STAGE, message, "give it a `share` of training.steps, 0.05 say, or `steps` of its own"
    yield from _parts(spec)


def _parts(spec: Document) -> Iterator[tuple[KeyPath, str, str]]:
    if spec.baseline is not None:
        yield STAGE, "a baseline has no decoder beside a prior", "remove it"
        return
    assert spec.prior is not None
    assert spec.representation is not None
    if not spec.prior.capabilities().one_step:
        message = (
            f"the prior {spec.prior.type} doesn't say what it expects of latents in one step, from "
            "which a decoder could learn"
        )
        yield STAGE, message, "remove it, or choose flow_matching or another prior on paths"
    name, makes = spec.representation.type, spec.representation.capabilities()
    if not (makes.decoder_alone and makes.costs):
        message = f"the decoder of {name} can't learn while its encoder rests"
        yield STAGE, message, "remove it, or choose a representation of segments (text_vae, say)"
    elif _shared(spec):
        message = (
            "the prior's readout shares the decoder's embeddings, and would change while the "
            "decoder is adapted to it"
        )
        yield ("representation", "readout", "embeddings"), message, "choose own or frozen"


def _shared(spec: Document) -> bool:
    """Whether the prior reads out by the decoder's own embeddings, as they are now."""
    assert spec.prior is not None
    assert spec.representation is not None
    readout = connection(spec.prior, spec.representation).readout
    apart = (Connection().readout, *spec.representation.capabilities().undrawn)
    offers = getattr(spec.representation, "readout", None)
    return readout not in apart and getattr(offers, "embeddings", "own") == "shared"
