"""One process or many: joining a torchrun group, DDP, FSDP2, and gathering for checkpoints."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

__all__ = [
    "Processes",
    "Strategy",
    "gather",
    "is_sharded",
    "join_processes",
    "local",
    "scatter_like",
]

Strategy = Literal["ddp", "fsdp"]

_DDP_OPTIONS = inspect.signature(DistributedDataParallel.__init__).parameters
_SYNC = "forward_sync_buffers" if "forward_sync_buffers" in _DDP_OPTIONS else "broadcast_buffers"
_NO_SYNC: dict[str, Any] = {_SYNC: False}  # every process computes its buffers alike


# What shards takes a second to import: it is where a run of several processes asks for it.


def is_sharded(tensor: Tensor) -> bool:
    """Whether it is spread over processes."""
    tensors = sys.modules.get("torch.distributed.tensor")
    return tensors is not None and isinstance(tensor, tensors.DTensor)


def local(parameter: Tensor) -> Tensor:
    """This process's part of a parameter, sharing its memory; all of it where it is not sharded."""
    data = parameter.detach()
    return cast("DTensor", data).to_local() if is_sharded(data) else data


def gather(tensor: Tensor) -> Tensor:
    """The whole tensor (a collective call where it is sharded)."""
    data = tensor.detach()
    return cast("DTensor", data).full_tensor() if is_sharded(data) else data


def scatter_like(full: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, sharded as `like` is."""
    if is_sharded(like):
        from torch.distributed.tensor import distribute_tensor

        like = cast("DTensor", like)
        whole = full.to(like.device)
        return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)
    return full


@dataclass(frozen=True)
class Processes:
    """The processes that train together; by default this one alone.

    Under DDP and FSDP gradients are averaged over processes, so objectives are multiplied by
    `world` to make them sums. FSDP shards one group per stage: weights are whole during a step
    and sharded, like gradients and optimizer states, between steps. Between stages the model is
    whole on every process, so that a model's own code never meets a sharded tensor.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    rank: int = 0
    world: int = 1
    strategy: Strategy = "ddp"

    @property
    def writes(self) -> bool:
        """Whether this process writes the run's files."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait for the others."""
        if self.world > 1:
            dist.barrier()

    def sum(self, values: Tensor) -> Tensor:
        """The sum over processes, in place."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def sum_counts(self, counts: Sequence[int]) -> list[int | Tensor]:
        """Sums over processes in one all-reduce; they stay on the device, not to stall it."""
        if self.world == 1:
            return list(counts)
        total = torch.tensor(counts, dtype=torch.int64).to(self.device, non_blocking=True)
        return list(self.sum(total).unbind())

    @contextmanager
    def wrapped(self, module: nn.Module) -> Iterator[nn.Module]:
        """The module, made to sum its gradients over processes while the context lasts."""
        if self.world == 1:
            yield module
        elif self.strategy == "ddp":
            # A regime may freeze parts for some steps, whose gradients must then stay None.
            yield DistributedDataParallel(module, find_unused_parameters=True, **_NO_SYNC)
        else:
            from torch.distributed.device_mesh import init_device_mesh
            from torch.distributed.fsdp import fully_shard

            owners = [
                (owner, name, parameter)
                for owner in module.modules()
                for name, parameter in owner.named_parameters(recurse=False)
            ]
            fully_shard(module, mesh=init_device_mesh(self.device.type, (self.world,)))
            yield module
            _unshard(owners)

    def synchronised(self, module: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Context of one micro-batch: gradients travel with the last one only."""
        if isinstance(module, DistributedDataParallel) and not last:
            return module.no_sync()
        if self.world > 1 and self.strategy == "fsdp":
            from torch.distributed.fsdp import FSDPModule

            if isinstance(module, FSDPModule):
                module.set_requires_gradient_sync(last)
        return nullcontext()


@torch.no_grad()
def _unshard(owners: Sequence[tuple[nn.Module, str, nn.Parameter]]) -> None:
    """Put the original parameters back, with what their sharded stand-ins have become."""
    for owner, name, original in owners:
        sharded = getattr(owner, name)
        if sharded is not original:
            original.copy_(gather(sharded))
            original.grad = None
            setattr(owner, name, original)


def join_processes(device: str = "cpu", strategy: Strategy = "ddp") -> Processes:
    """Join the group that torchrun describes in the environment; alone where there is none.

    Backends: gloo on CPU, nccl on CUDA (one device a process, by LOCAL_RANK).
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    chosen = torch.device(device)
    if world == 1:
        return Processes(chosen)
    if chosen.type == "cuda":
        chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(chosen)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    return Processes(chosen, dist.get_rank(), dist.get_world_size(), strategy)
