"""Two gloo processes follow one law, each by its half of every batch; started as a script."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

import colaflex
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.values import LatentBatch
from colaflex.testing.probes import objective

ROWS, STEPS = 16, 12


def trained(first: int, rows: int) -> Any:
    """A prior whose law has followed a part of each batch; its weights rest."""
    network = {"type": "block_causal", "width": 16, "layers": 1, "heads": 2, "time_width": 16}
    schedule = {"type": "adaptive", "refresh": 4, "warmup": 0.0, "stratified": True}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        prior = colaflex.build(
            *("prior", "flow_matching"),
            latent_dim=4,
            block_size=2,
            network=network,
            schedule=schedule,
        )
    for step in range(STEPS):
        draws = torch.Generator().manual_seed(step)
        values = torch.randn(ROWS, 8, 4, generator=draws)[first : first + rows]
        latents = LatentBatch(values, torch.ones(rows, 8, dtype=torch.bool))
        objective(prior.losses(latents, Noise(0, step, "prior", first, ROWS, STEPS)))
        prior.stepped(step)
    return prior.schedule


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    torch.save(trained(rank * ROWS // 2, ROWS // 2).state_dict(), Path(folder, f"{rank}.pt"))
    dist.destroy_process_group()


if __name__ == "__main__":
    mp.start_processes(work, (sys.argv[1],), nprocs=2, start_method="fork")
