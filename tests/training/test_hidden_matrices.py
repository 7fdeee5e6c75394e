"""Which matrices are hidden ones, in small networks and in what ships with colaflex."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import colaflex
from colaflex.interfaces.values import Vocabulary
from colaflex.training.optimizers import hidden_matrices

SIZE = 33
VOCABULARY = Vocabulary(SIZE, 0, 1, tuple(map(str, range(SIZE))))
NETWORK = {"type": "block_causal", "width": 32, "layers": 1, "heads": 2, "time_width": 8}


class Zoo(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(SIZE, 6)
        self.bag = nn.EmbeddingBag(SIZE, 6)
        self.places = nn.Parameter(torch.randn(9, 6))
        self.gain = nn.Parameter(torch.ones(6))
        self.inner = nn.Linear(6, 8)
        self.attention = nn.MultiheadAttention(8, 2)
        self.recurrent = nn.GRU(8, 8)
        self.convolution = nn.Conv1d(8, 8, 3)
        self.gate = nn.Linear(8, 8)
        nn.init.zeros_(self.gate.weight)
        self.tied = nn.Linear(6, SIZE)
        self.tied.weight = self.table.weight
        self.output = nn.Linear(8, SIZE)
        self.longer = nn.Linear(8, SIZE + 1)
        self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))


def test_tables_outputs_and_zeros_are_none() -> None:
    expected = {
        "inner.weight",
        "attention.in_proj_weight",
        "attention.out_proj.weight",
        "recurrent.weight_ih_l0",
        "recurrent.weight_hh_l0",
    }
    assert hidden_matrices(Zoo(), SIZE) == expected
    assert hidden_matrices(Zoo()) == expected | {"output.weight", "longer.weight"}


@pytest.mark.parametrize(
    ("options", "outer"),
    [
        ({"type": "autoregressive"}, {"embedding"}),
        ({"type": "autoregressive", "tie_embeddings": False}, {"embedding", "head"}),
        ({"type": "masked_diffusion"}, {"embedding", "head"}),
        (
            {"type": "plaid", "network": NETWORK},
            {"embedding", "marks", "places", "head", "modulation", "final_modulation"},
        ),
    ],
)
def test_baselines(options: dict[str, Any], outer: set[str]) -> None:
    kind, options = options["type"], {k: v for k, v in options.items() if k != "type"}
    sizes = {} if "network" in options else {"width": 32, "layers": 1, "heads": 2}
    needed = {"max_tokens": 16} if kind == "masked_diffusion" else {}
    model = colaflex.build("baseline", kind, vocabulary=VOCABULARY, **needed, **sizes, **options)
    check(model, SIZE, outer)


@pytest.mark.parametrize(
    ("options", "outer"),
    [
        ({"type": "flow_matching", "network": NETWORK}, {"modulation", "final_modulation", "head"}),
        (
            {"type": "rectified_flow", "network": NETWORK},
            {"modulation", "final_modulation", "head"},
        ),
        (
            {"type": "hybrid", "network": NETWORK, "codes": 32},
            {"modulation", "final_modulation", "head", "told", "places", "embedding"},
        ),
    ],
)
def test_priors(options: dict[str, Any], outer: set[str]) -> None:
    options = dict(options)
    model = colaflex.build("prior", options.pop("type"), latent_dim=8, **options)
    check(model, None, outer)


def check(model: nn.Module, vocabulary: int | None, outer: set[str]) -> None:
    """Everything that is no hidden matrix belongs to modules of these names, and the reverse."""
    hidden = hidden_matrices(model, vocabulary)
    matrices = {name for name, p in model.named_parameters() if p.dim() == 2}
    assert hidden < matrices
    assert {name.removesuffix(".weight").split(".")[-1] for name in matrices - hidden} == outer


def test_are_noted_while_weights_are_new(finished: Path) -> None:
    """So that a resumed run has the same ones."""
    loaded = colaflex.load(finished)
    trained = dict(loaded.model.named_parameters())["prior.network.final_modulation.weight"]
    assert bool(trained.any())
    hidden = loaded.model.hidden
    assert hidden is not None
    outer = {"network.final_modulation", "head.unembedding", "head.embedding", "reader.embedding"}
    assert not {f"prior.{name}.weight" for name in outer} & hidden
    assert "representation.unembedding.weight" not in hidden
    assert "representation.posterior.weight" in hidden
