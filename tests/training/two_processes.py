"""Two gloo processes train the tiny model; started as a script, once for several cases."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from tiny_model import Stop, TinyModel, train, with_settings

from colaflex.errors import RunFailure
from colaflex.training.distributed import Processes
from colaflex.training.interrupts import Interrupted

CASES = {
    "adamw": with_settings(ema_decay=0.9, steps=8),
    "accumulate": with_settings(accumulate=2, clip_norm=0.1),
    "muon": with_settings(optimizer="muon", ema_decay=0.5),
}


def work(rank: int, folder: Path, strategy: str) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / f"store-{strategy}"), 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    processes = Processes(torch.device("cpu"), rank, 2, strategy)  # type: ignore[arg-type]
    for name, settings in CASES.items():
        train(folder / strategy / name, settings, processes=processes, log_every=1)
    interrupted(folder / strategy / "resumed", processes)
    dist.destroy_process_group()


def interrupted(folder: Path, processes: Processes) -> None:
    """Break off in stage "prior" by a poisoned loss, then by a signal, and resume."""
    poisoned = TinyModel(poison=("prior", 6, "nll"))
    with pytest.raises(RunFailure, match=r"stage prior, step 7: loss\.nll is nan"):
        train(folder, CASES["adamw"], poisoned, processes, log_every=1)
    asked = Stop(("prior", 7)) if processes.rank else None
    with pytest.raises(Interrupted, match="stage prior after step 7"):  # one is asked, both stop
        train(folder, CASES["adamw"], None, processes, watcher=asked, log_every=1, resume=True)
    train(folder, CASES["adamw"], None, processes, log_every=1, resume=True)


if __name__ == "__main__":
    strategies = ("ddp", "fsdp")
    contexts = [
        mp.start_processes(work, (Path(sys.argv[1]), s), nprocs=2, join=False, start_method="fork")
        for s in strategies
    ]
    for context in contexts:
        assert context is not None
        while not context.join():
            pass
