"""Optimizers over named parameters: AdamW, or Muon for hidden matrices with AdamW for the rest."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from colaflex.training.distributed import gather, scatter_like
from colaflex.training.muon import Muon

__all__ = ["NamedGroup", "OptimizerName", "Optimizers", "build_optimizers", "hidden_matrices"]

OptimizerName = Literal["adamw", "muon"]
LAYERS = (nn.Linear, nn.MultiheadAttention, nn.RNNBase)
log = logging.getLogger("colaflex")


@dataclass(frozen=True)
class NamedGroup:
    """Named parameters that share a learning rate."""

    parameters: Mapping[str, nn.Parameter]
    lr_ratio: float = 1.0


class Optimizers:
    """One or two torch optimizers that step together; their state is a flat map of tensors."""

    def __init__(self, members: Sequence[Optimizer], names: Mapping[Tensor, str]) -> None:
        self.members = tuple(members)
        self._names = dict(names)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the learning rate; each group multiplies it by its own ratio."""
        for member in self.members:
            for group in member.param_groups:
                group["lr"] = learning_rate * group["lr_ratio"]

    def step(self) -> None:
        """One step of each, from the gradients, which are then dropped."""
        for member in self.members:
            member.step()
            member.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        """Every state tensor, whole, named `<key>:<parameter>` (collective where sharded)."""
        tensors = {}
        for member in self.members:
            for parameter, state in member.state.items():
                for key, value in state.items():
                    tensors[f"{key}:{self._names[parameter]}"] = gather(value)
        return tensors

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from a state that `state` gave.

        What another optimizer has learned of a parameter is of no use to its present one, which
        then begins anew; a warning says how many.
        """
        by_parameter: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            key, _, parameter_name = name.partition(":")
            by_parameter.setdefault(parameter_name, {})[key] = tensor
        foreign = 0
        for member in self.members:
            parameters = [p for group in member.param_groups for p in group["params"]]
            states: dict[int, dict[str, Tensor]] = {}
            for index, parameter in enumerate(parameters):
                loaded = by_parameter.get(self._names[parameter])
                if loaded is not None and ("momentum_buffer" in loaded) != isinstance(member, Muon):
                    foreign += 1
                elif loaded is not None:
                    states[index] = {
                        key: scatter_like(value, parameter) if value.dim() else value.clone()
                        for key, value in loaded.items()
                    }
            groups = member.state_dict()["param_groups"]
            member.load_state_dict({"state": states, "param_groups": groups})
        if foreign:
            log.warning(
                "%d matrices that another optimizer trained until this checkpoint go on with a new "
                "state: an earlier version left fewer matrices to AdamW",
                foreign,
            )


def build_optimizers(
    name: OptimizerName,
    groups: Iterable[NamedGroup],
    *,
    betas: tuple[float, float],
    weight_decay: float,
    hidden: Collection[str],
    muon_dtype: torch.dtype = torch.float32,
) -> Optimizers:
    """The optimizer of a stage; weight decay acts on matrices only.

    Args:
        name: "adamw", or "muon": hidden matrices by Muon (updates scaled to AdamW's size, so that
            one learning rate serves both), the rest by AdamW.
        groups: what learns.
        betas: AdamW's.
        weight_decay: decoupled, times the learning rate.
        hidden: names of the hidden matrices.
        muon_dtype: of the products in Muon.
    """
    groups = list(groups)
    adamw: list[dict[str, Any]] = []
    muon: list[dict[str, Any]] = []
    for group in groups:
        orthogonal = [p for n, p in group.parameters.items() if name == "muon" and n in hidden]
        taken = set(orthogonal)
        decayed = [p for p in group.parameters.values() if p.dim() >= 2 and p not in taken]
        plain = [p for p in group.parameters.values() if p.dim() < 2]
        for target, parameters, decay in (
            (muon, orthogonal, weight_decay),
            (adamw, decayed, weight_decay),
            (adamw, plain, 0.0),
        ):
            if parameters:
                entry = {"params": parameters, "weight_decay": decay, "lr_ratio": group.lr_ratio}
                target.append(entry)
    members: list[Optimizer] = []
    if adamw:
        members.append(AdamW(adamw, betas=betas, fused=_fusible(adamw)))
    if muon:
        members.append(Muon(muon, muon_dtype))
    names: dict[Tensor, str] = {p: name for group in groups for name, p in group.parameters.items()}
    return Optimizers(members, names)


def _fusible(groups: Sequence[Mapping[str, Any]]) -> bool:
    """Whether AdamW has one kernel for all of these parameters."""
    kinds = {"cpu", "cuda", "mps", "xpu"}
    return all(
        p.device.type in kinds and torch.is_floating_point(p)
        for group in groups
        for p in group["params"]
    )


def hidden_matrices(model: nn.Module, vocabulary: int | None = None) -> frozenset[str]:
    """Names of the matrices of layers that are neither at an end of the model nor zero.

    Look-up tables are at an end, tied to an output or not; so are the outputs to the vocabulary,
    with or without a symbol more. What is zero at first (gates, heads that begin with nothing) has
    no directions yet. So this is asked of a model whose weights are new.

    Args:
        model: as it was built.
        vocabulary: number of token ids; None where the model knows none.

    Example:
        >>> model = torch.nn.Sequential(torch.nn.Embedding(300, 8), torch.nn.Linear(8, 8))
        >>> hidden_matrices(model, vocabulary=300)
        frozenset({'1.weight'})
    """
    tables = {m.weight for m in model.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)}
    outputs = set() if vocabulary is None else {vocabulary, vocabulary + 1}
    inner = {
        parameter
        for layer in model.modules()
        if isinstance(layer, LAYERS) and getattr(layer, "out_features", None) not in outputs
        for parameter in layer.parameters(recurse=False)
        if parameter.dim() == 2 and parameter not in tables and bool(parameter.any())
    }
    return frozenset(name for name, parameter in model.named_parameters() if parameter in inner)
