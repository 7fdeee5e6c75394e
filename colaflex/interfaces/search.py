"""What a study searches of a config field, unless its file says otherwise. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["SearchRange"]


@dataclass(frozen=True)
class SearchRange:
    """Marks a config field with the range, or the choices, that `default` means in a study.

    `width: Annotated[float, SearchRange(low=0.05, high=1.0, log=True)] = Field(...)`, or
    `SearchRange(choices=[1, 4, 16])`. A class that declares the field anew keeps the mark.

    Attributes:
        low: least value of the range.
        high: largest value, itself included.
        step: distance of the values; None for any between.
        log: whether ratios count, not differences.
        choices: the values, instead of a range.

    Example:
        >>> from typing import Annotated
        >>> from pydantic import BaseModel, Field
        >>> class Options(BaseModel):
        ...     width: Annotated[float, SearchRange(low=0.05, high=1.0, log=True)] = Field(0.2)
        ...     block_size: Annotated[int, SearchRange(choices=[1, 4, 16])] = Field(16)
        >>> Options.model_fields["block_size"].metadata[0].choices
        (1, 4, 16)
    """

    low: float | None = None
    high: float | None = None
    step: float | None = None
    log: bool = False
    choices: Sequence[bool | int | float | str | tuple[float, ...]] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(self.choices))
        ends = (self.low, self.high)
        if self.choices:
            if ends != (None, None) or self.step is not None or self.log:
                raise ValueError("choices go without low, high, step and log")
            return
        if self.low is None or self.high is None:
            raise ValueError("a range has both low and high, or there are choices instead")
        if not self.low < self.high:
            raise ValueError(f"low {self.low} is not below high {self.high}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("a log range has low > 0 and no step")
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            raise ValueError(f"a step of {self.step} doesn't fit")
