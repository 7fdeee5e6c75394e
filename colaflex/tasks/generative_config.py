"""Options of the task `generative`: what a task file may say. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from colaflex.interfaces.capabilities import AnswerForm, TaskCapabilities
from colaflex.interfaces.configs import ScoredTaskConfig

__all__ = ["Fields", "GenerativeTaskConfig"]


class Fields(BaseModel):
    """Under which names a row of the user's data holds what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prefix: str = Field(
        "few_shot_prefix", description="Demonstrations before the prompt; may be missing in a row."
    )
    truth: str = Field(
        "ground_truth", description="The right answer, or the letter of the right choice."
    )
    choices: str = Field("choices", description="A list of answers; may be missing in a row.")
    generated: str = Field("generate", description="A stored answer of a model, to be scored.")


class GenerativeTaskConfig(ScoredTaskConfig):
    """Rows of a file, each a prompt that is continued greedily and a right answer."""

    data: str = Field(
        ..., min_length=1, description="File below the folder of data, one JSON object a line."
    )
    prompt: str = Field(
        "{prompt}",
        min_length=1,
        description="What the model reads behind the prefix. {NAME} stands for the row's field of "
        "that name; a list becomes lettered lines.",
    )
    fields: Fields = Field(Fields(), description="Names of the row's other fields.")
    prefix_file: Path | None = Field(
        None, description="Text file of the user's that stands before every prompt instead."
    )
    shots: int = Field(
        0, ge=0, le=1000, description="Demonstrations in the prefix; for the record."
    )
    answer: AnswerForm = Field(
        "text", description="What of an answer counts: its first word, all of it, or its option."
    )
    cut: Literal["line", "none"] = Field(
        "line", description="Where an answer ends: at the first newline behind a word, or nowhere."
    )
    items: int | None = Field(
        None, ge=1, le=10_000_000, description="Rows that are asked at most, the first; null: all."
    )

    def capabilities(self) -> TaskCapabilities:
        """Items come from the user's data."""
        return TaskCapabilities(source="data")
