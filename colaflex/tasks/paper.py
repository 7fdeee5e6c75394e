"""The eight tasks of Cola DLM's paper, each by its task file. Imports no torch.

All are generative: greedy, 32 tokens, cut at the first newline behind a word. The data, with their
demonstrations, are the user's.
"""

from __future__ import annotations

from pathlib import Path

from colaflex.tasks.task_file import task_config

__all__ = [
    "HellaswagConfig",
    "LambadaConfig",
    "MmluConfig",
    "ObqaConfig",
    "RaceConfig",
    "SiqaConfig",
    "SquadConfig",
    "StoryClozeConfig",
]

HERE = Path(__file__).parent

LambadaConfig = task_config(HERE / "lambada.yaml")
MmluConfig = task_config(HERE / "mmlu.yaml")
ObqaConfig = task_config(HERE / "obqa.yaml")
HellaswagConfig = task_config(HERE / "hellaswag.yaml")
RaceConfig = task_config(HERE / "race.yaml")
SiqaConfig = task_config(HERE / "siqa.yaml")
SquadConfig = task_config(HERE / "squad.yaml")
StoryClozeConfig = task_config(HERE / "story_cloze.yaml")
