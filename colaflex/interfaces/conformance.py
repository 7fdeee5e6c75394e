"""What a component tells the conformance kit. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Conformance"]


@dataclass(frozen=True, slots=True)
class Conformance:
    """A component's word on how it is to be checked: its class attribute `conformance`.

    Attributes:
        options: of the config, to make the component small and quick.
        files: writes what options must name, such as a pretrained model, into an empty folder, and
            answers these options.
        expected_failures: check -> why the component can't pass it; one that passes all the same
            is a failure, so that the list stays true.

    Example:
        >>> class Solver:
        ...     conformance = Conformance(
        ...         options={"tolerance": 0.01},
        ...         expected_failures={"solver.dtype": "it computes in fp32 alone"},
        ...     )
        >>> list(Solver.conformance.expected_failures)
        ['solver.dtype']
    """

    options: Mapping[str, object] = field(default_factory=dict)
    files: Callable[[Path], Mapping[str, object]] | None = None
    expected_failures: Mapping[str, str] = field(default_factory=dict)
