"""Options of the tasks: what a task file may say of them. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from colaflex.interfaces.capabilities import AnswerForm, TaskCapabilities
from colaflex.interfaces.component import Slot
from colaflex.interfaces.configs import ScoredTaskConfig, ScorerConfig, TaskConfig
from colaflex.interfaces.options import MAX_NEW_TOKENS

__all__ = [
    "Fields",
    "GenerativeTaskConfig",
    "LastWordConfig",
    "NextSentenceConfig",
    "StoryTaskConfig",
]


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


class LastWordConfig(ScoredTaskConfig):
    """Passages from the beginnings of held-out documents, without their last word."""

    max_new_tokens: int = Field(
        16, ge=1, le=MAX_NEW_TOKENS, description="Length of an answer at most (tokens)."
    )
    items: int = Field(200, ge=1, le=10_000_000, description="Passages that are asked at most.")
    fewest_words: int = Field(8, ge=2, le=100_000, description="Words of a passage at least.")
    most_words: int = Field(40, ge=2, le=100_000, description="Words of a passage at most.")

    @model_validator(mode="after")
    def _some_length_fits(self) -> LastWordConfig:
        if self.most_words < self.fewest_words:
            raise ValueError(
                f"most_words: {self.most_words} is less than fewest_words, {self.fewest_words}"
            )
        return self

    def capabilities(self) -> TaskCapabilities:
        """Items come from the run's corpus."""
        return TaskCapabilities(source="corpus")


class NextSentenceConfig(ScoredTaskConfig):
    """Beginnings of held-out documents, with sentences to choose from for what comes next."""

    scorer: Annotated[ScorerConfig, Slot("scorer")] = Field(
        "best_option", description="What tells right answers from wrong ones."
    )  # type: ignore[assignment]
    items: int = Field(200, ge=1, le=10_000_000, description="Passages that are asked at most.")
    choices: int = Field(
        4, ge=2, le=26, description="Sentences to choose from; all but one are of other documents."
    )
    most_words: int = Field(40, ge=1, le=100_000, description="Words of a prompt at most.")
    choice_words: int = Field(
        16,
        ge=1,
        le=100_000,
        description="Words of a choice at most; of longer sentences the first ones, so that none "
        "is longer than an answer can be.",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the wrong choices (no unit).")

    def capabilities(self) -> TaskCapabilities:
        """Items come from the run's corpus."""
        return TaskCapabilities(source="corpus")


class StoryTaskConfig(TaskConfig):
    """Held-out stories, cut behind a sentence; the corpus itself judges how they go on."""

    max_new_tokens: int = Field(
        64, ge=1, le=MAX_NEW_TOKENS, description="Length of the sentence at most (tokens)."
    )
    items: int = Field(200, ge=1, le=10_000_000, description="Stories that are asked at most.")

    def capabilities(self) -> TaskCapabilities:
        """Items come from the run's corpus, which judges the answers."""
        return TaskCapabilities(source="corpus", scored=False)
