"""The cells of the matrix: every representation, prior and segmenter that is registered, tiny.

Components join by being registered. One that needs a word to be tiny, or that is of several minds,
has a line in `OPTIONS`.
"""

from __future__ import annotations

import atexit
import importlib.util
import shutil
import tempfile
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import Any, NamedTuple

from colaflex.host.registry import registry
from colaflex.interfaces.component import ComponentConfig
from colaflex.interfaces.configs import PriorConfig
from colaflex.interfaces.conformance import Conformance
from colaflex.spec.canonical import plain
from colaflex.testing.small import small_config

__all__ = ["STEPS", "Cell", "Part", "cells", "document", "features", "refusals"]

NOTHING = Conformance()
EXTRA = ("frozen_bert", "frozen_t5")
"""Components that need the extra hf."""

KINDS = ("segmenter", "representation", "prior")

OPTIONS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    # segmenters
    "fixed_patch": {"": {"size": 2}, "tokens": {"size": 1}},
    "phrase": {"": {"max_tokens": 4}},
    "entropy": {"": {"max_tokens": 4, "width": 8, "layers": 1}},
    "learned_boundary": {"": {"max_tokens": 4}},
    "pyramid": {"": {"run": 1}},
    # representations
    "text_vae": {"": {}, "fixed log_snr": {"log_snr": 3.0}, "token states": {"token_layers": 1}},
    "text_ae": {"": {}, "token states": {"token_layers": 1}},
    # priors
    "autoregressive_latent": {
        head: {"head": head, "transformer": {"width": 16, "layers": 1, "heads": 2}}
        for head in ("gaussian_mixture", "diffusion", "energy")
    },
    "consistency": {"": {}, "distillation": {"mode": "distillation"}},
    "cnf": {"": {"training_steps": 1}},
    "hybrid": {"": {"codes": 8, "code_layers": 1}},
}
"""Of each component its variants by name, with their options beside what is small anyway."""


@dataclass(frozen=True)
class Part:
    """One component with its options.

    Attributes:
        kind: segmenter, representation or prior.
        name: its type.
        variant: of its options, "" for the usual ones.
    """

    kind: str
    name: str
    variant: str

    def __str__(self) -> str:
        return f"{self.name}({self.variant})" if self.variant else self.name

    @property
    def config(self) -> ComponentConfig:
        """Its options, tiny."""
        return _config(self)


@cache
def _config(part: Part) -> ComponentConfig:
    options = OPTIONS.get(part.name, {"": {}})[part.variant]
    config_class = registry().config_class(part.kind, part.name)
    return small_config(config_class, {**_files(part), **options}, part.name)


def _files(part: Part) -> Mapping[str, object]:
    """The options that name what a component reads from disk, such as a pretrained encoder."""
    told: Conformance = getattr(registry().target(part.kind, part.name), "conformance", NOTHING)
    if told.files is None:
        return {}
    folder = Path(tempfile.mkdtemp(prefix="colaflex-matrix-"))
    atexit.register(shutil.rmtree, folder)
    return told.files(folder)


class Cell(NamedTuple):
    """A combination."""

    segmenter: Part
    representation: Part
    prior: Part

    def __str__(self) -> str:
        return "-".join(map(str, self))


def parts(kind: str) -> list[Part]:
    """All variants of all components of a kind that ship with colaflex."""
    own = [e.component.name for e in registry().entries(kind) if e.distribution == "colaflex"]
    if importlib.util.find_spec("transformers") is None:
        own = [name for name in own if name not in EXTRA]
    return [Part(kind, name, variant) for name in own for variant in OPTIONS.get(name, {"": {}})]


def cells() -> list[Cell]:
    """All combinations, those that can't work among them."""
    return [Cell(*chosen) for chosen in product(*map(parts, KINDS))]


def features(cell: Cell) -> set[Hashable]:
    """Which components meet in the cell, and which variants it has."""
    return {*combinations((part.name for part in cell), 2), *cell}


TOKENS = 16
"""Length of the rows that the cells learn from."""


STEPS = 20
"""Of every stage."""


def document(cell: Cell) -> dict[str, Any]:
    """The cell's spec as plain data.

    The representation learns along slowly: a prior that is judged by 20 steps needs latents that
    stay where they are.
    """
    own = cell.representation.config.capabilities().reads == "own_tokenizer"
    return {
        "name": "cell",
        "corpus": {
            "type": "worlds",
            "documents": 40,
            "validation_documents": 2,
            "test_documents": 2,
            "judge_documents": 2,
        },
        **({} if own else {"tokenizer": {"vocab_size": 280}}),
        **{part.kind: plain(part.config, registry()) for part in cell},
        "training": {
            "batch_size": 4,
            "max_tokens": TOKENS,
            "stages": {"representation": {"steps": STEPS}, "prior": {"steps": STEPS}},
            "learning_rate": 0.01,
            "representation_lr_ratio": 0.02,
            "lr_schedule": "constant",
            "warmup_steps": 0,
            "log_every": 1,
        },
    }


Rule = Callable[[Any, Any, Any, int], bool]

RULES: Sequence[tuple[str, Rule]] = (
    ("segmenter", lambda s, r, p, block: s.variable and not r.variable_length),
    ("segmenter", lambda s, r, p, block: s.needs_states and not r.token_states),
    ("segmenter", lambda s, r, p, block: s.levels > r.levels),
    ("segmenter", lambda s, r, p, block: r.token_aligned and s.max_segment_tokens > 1),
    (
        "representation",
        lambda s, r, p, block: (
            r.causality == "bidirectional"
            and (p.order != "block" or block * (1 if s.variable else s.max_segment_tokens) < TOKENS)
        ),
    ),
)
"""What the declarations of segmenter, representation and prior rule out, said a second time, with
the key of the spec at which it is refused; `block` is the prior's block size."""


def refusals(cell: Cell) -> list[str]:
    """The keys of the spec to be refused, one for each reason; none where the cell can work."""
    declared: list[Any] = [part.config.capabilities() for part in cell]
    prior = cell.prior.config
    assert isinstance(prior, PriorConfig)
    return sorted(key for key, rule in RULES if rule(*declared, prior.block_size))
