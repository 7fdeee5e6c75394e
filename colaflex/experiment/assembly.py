"""From a spec to a model: the one place where components meet."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from colaflex.corpora.tokenizer import Tokenizer
from colaflex.host.registry import registry
from colaflex.interfaces.capabilities import SegmenterCapabilities
from colaflex.interfaces.component import ComponentConfig
from colaflex.interfaces.connection import Connection, connection
from colaflex.interfaces.language_model import LanguageModel
from colaflex.interfaces.prior import Prior
from colaflex.interfaces.representation import Representation
from colaflex.interfaces.values import Vocabulary
from colaflex.latent.language_model import LatentLanguageModel
from colaflex.runtime.memory_limit import SMALL, NoRoom, require_room_to_train, room_for
from colaflex.spec import Spec
from colaflex.training.optimizers import hidden_matrices

__all__ = ["build_model", "skeleton", "trainable"]


def build_model(spec: Spec, tokenizer: Tokenizer) -> LanguageModel:
    """The model that a spec describes, with weights drawn from its seed.

    Every part draws its weights from a key of its own, so that a change of the prior leaves the
    representation's first weights as they are.
    """
    vocabulary = _vocabulary(tokenizer)
    model = _model(spec, vocabulary)
    model.hidden = hidden_matrices(model, vocabulary.size)
    return model


def _model(spec: Spec, vocabulary: Vocabulary) -> LanguageModel:
    if spec.baseline is not None:
        context: dict[str, object] = {"vocabulary": vocabulary}
        if spec.baseline.capabilities().needs_max_tokens:
            context["max_tokens"] = spec.training.for_stage("baseline").max_tokens
        baseline: LanguageModel = _seeded(spec, spec.baseline, **context)
        return baseline
    assert spec.segmenter is not None
    assert spec.representation is not None
    assert spec.prior is not None
    segmenter: SegmenterCapabilities = spec.segmenter.capabilities()
    representation = _seeded(
        spec,
        spec.representation,
        vocabulary=vocabulary,
        max_segment_tokens=segmenter.max_segment_tokens,
        **({"group": segmenter.group} if segmenter.levels > 1 else {}),
    )
    needed: dict[str, object] = {"vocabulary": vocabulary} if segmenter.needs_vocabulary else {}
    if segmenter.needs_states:
        needed["width"] = representation.token_width
    prior = _seeded(spec, spec.prior, latent_dim=spec.representation.latent_dim)
    _take_offers(spec, representation, prior)
    return LatentLanguageModel(
        _seeded(spec, spec.segmenter, **needed),
        representation,
        prior,
        vocabulary,
        segmenter,
        training=spec.training,
        max_tokens=spec.training.for_stage("prior").max_tokens,
        likelihood=spec.prior.capabilities().likelihood,
    )


def skeleton(spec: Spec, tokenizer: Tokenizer) -> LanguageModel:
    """The model without memory for its weights, to know their shapes before any is taken."""
    with torch.device("meta"):
        return _model(spec, _vocabulary(tokenizer))


def trainable(spec: Spec, tokenizer: Tokenizer, device: torch.device) -> LanguageModel:
    """The model, which is refused with a UserError where the device's memory can't train it.

    What a large one takes is known from its skeleton, before its memory is taken.
    """
    try:
        with room_for(SMALL):
            return build_model(spec, tokenizer)
    except NoRoom:
        require_room_to_train(skeleton(spec, tokenizer), device)
        return build_model(spec, tokenizer)


def _vocabulary(tokenizer: Tokenizer) -> Vocabulary:
    return Vocabulary(
        tokenizer.size, tokenizer.end_of_text, tokenizer.mask, tokenizer.token_texts()
    )


def _take_offers(spec: Spec, representation: Representation, prior: Prior) -> None:
    """Give the prior the readout and the reading of history that it chose."""
    assert spec.representation is not None
    assert spec.prior is not None
    chosen, none = connection(spec.prior, spec.representation), Connection()
    width = prior.state_width
    if chosen == none:
        return
    readout = history = None
    with _drawn(spec, "readout"):
        if chosen.readout != none.readout:
            readout = representation.readout(chosen.readout, width)
    with _drawn(spec, "history"):
        if chosen.history != none.history:
            history = representation.history(width)
    prior.take(readout, history)


def _seeded(spec: Spec, config: ComponentConfig, **context: object) -> Any:
    with _drawn(spec, config.kind):
        return registry().build(config, **context)


@contextmanager
def _drawn(spec: Spec, part: str) -> Iterator[None]:
    """First weights of one part, by a key of its own."""
    digest = hashlib.blake2b(f"{spec.seed}/{part}".encode(), digest_size=8).digest()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int.from_bytes(digest, "little") >> 1)
        yield
