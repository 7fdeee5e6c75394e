"""The repr of values: kind and shapes in one line, whatever they hold."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import colaflex
from colaflex.interfaces.language_model import Reconstructed
from colaflex.interfaces.losses import LossTerm
from colaflex.interfaces.one_line import one_line
from colaflex.interfaces.prior import Known, NoiseLevel
from colaflex.interfaces.representation import Encoding
from colaflex.interfaces.stage import ParameterGroup
from colaflex.interfaces.values import (
    LatentBatch,
    Posterior,
    Segmentation,
    TokenBatch,
    Vocabulary,
)
from colaflex.networks.attention import KeyValues

PACKAGE = Path(colaflex.__file__).parent
LENGTHS = torch.full((2, 6), 4)
MASK = torch.ones(2, 6, dtype=torch.bool)
LATENTS = torch.zeros(2, 6, 16)
TOKENS = torch.zeros(2, 24, dtype=torch.int64)
WHOLE = TokenBatch(TOKENS, torch.tensor([24, 20]), torch.tensor([True, False]))
SHOWN = {
    "TokenBatch(tokens (2, 24), lengths (2,), complete (2,))": WHOLE,
    "TokenBatch(tokens (1, 24), lengths (1,), complete (1,), forced (1, 24))": dataclasses.replace(
        WHOLE, forced=TOKENS > 0
    ).rows(slice(1)),
    "Segmentation(lengths (2, 6))": Segmentation(LENGTHS),
    "Segmentation(lengths (2, 6), states (2, 24, 8), level (2, 6))": Segmentation(
        LENGTHS, states=torch.zeros(2, 24, 8), level=LENGTHS
    ),
    "Posterior(mean (2, 6, 16))": Posterior(LATENTS),
    "Posterior(mean (2, 6, 16), log_variance (16,))": Posterior(LATENTS, torch.zeros(16)),
    "LatentBatch(values (2, 6, 16), mask (2, 6), code (2, 6))": LatentBatch(
        LATENTS, MASK, code=LENGTHS
    ),
    "LatentBatch(values (2, 6, 16) meta, mask (2, 6) meta)": LatentBatch(
        LATENTS.to("meta"), MASK.to("meta")
    ),
    "Vocabulary(size 300, end_of_text 256, mask 257, texts [300])": Vocabulary(
        300, 256, 257, ("a",) * 300
    ),
    "Known(values (2, 6, 16), mask (2, 6))": Known(LATENTS, MASK),
    "NoiseLevel(logit_time -1.5, error (2, 6))": NoiseLevel(-1.5, LATENTS[..., 0]),
    "LossTerm(total tensor(3.), per 'latents', weight 0.5)": LossTerm(
        torch.tensor(3.0), "latents", 0.5
    ),
    "Encoding(losses {rate}, posterior Posterior(mean (2, 6, 16)), sample (2, 6, 16))": Encoding(
        {"rate": LossTerm(torch.zeros(()), "tokens")}, Posterior(LATENTS), LATENTS
    ),
    "ParameterGroup(name 'prior', parameters [2], lr_ratio 1.0)": ParameterGroup(
        "prior", list(nn.Linear(3, 4).parameters())
    ),
    "Reconstructed(tokens [1], correct (1,), counted (1,), nll (1,))": Reconstructed(
        [[1, 2]], torch.zeros(1), torch.zeros(1), torch.zeros(1)
    ),
    "KeyValues(keys (2, 1, 6, 8), values (2, 1, 6, 8))": KeyValues(
        torch.zeros(2, 1, 6, 8), torch.zeros(2, 1, 6, 8)
    ),
}


@dataclasses.dataclass(frozen=True)
class Parts:
    """A value that holds a module and a function."""

    module: nn.Module
    function: Callable[[], object]

    __repr__ = one_line


SHOWN["Parts(module Linear, function dict)"] = Parts(nn.Linear(2, 2), dict)


@pytest.mark.parametrize("shown", SHOWN)
def test_a_value_shows_its_kind_and_its_shapes(shown: str) -> None:
    assert repr(SHOWN[shown]) == shown


ROOMS = (
    *("baselines", "couplings", "interfaces", "networks", "priors", "representations"),
    *("segmenters", "solvers"),
)
TENSORS = re.compile(r"(?!.*Callable).*(Tensor|nn\.Parameter)")


def tensor_values() -> Iterator[type]:
    """Public dataclasses of the rooms that hold tensors."""
    for room in ROOMS:
        for path in sorted((PACKAGE / room).glob("*.py")):
            module = importlib.import_module(f"colaflex.{room}.{path.stem}")
            for each in map(vars(module).get, getattr(module, "__all__", ())):
                if not inspect.isclass(each) or not dataclasses.is_dataclass(each):
                    continue
                kinds = [str(field.type) for field in dataclasses.fields(each)]
                if any(TENSORS.match(kind) for kind in kinds):
                    yield each


@pytest.mark.parametrize("value", list(tensor_values()), ids=lambda value: value.__name__)
def test_no_value_shows_its_tensors(value: type) -> None:
    assert value.__repr__ is one_line


def test_values_stay_frozen_and_compare_as_before() -> None:
    posterior = Posterior(LATENTS)
    with pytest.raises(dataclasses.FrozenInstanceError):
        posterior.mean = LENGTHS  # type: ignore[misc]
    assert Known(LATENTS, MASK).__slots__ == ("values", "mask")
    assert Vocabulary(300, 256, 257) == Vocabulary(300, 256, 257)
    assert len({Vocabulary(300, 256, 257), Vocabulary(300, 256, 257)}) == 1
