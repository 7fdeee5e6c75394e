"""Every component of ours passes the very checks that a stranger's must."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from colaflex.host.builtin import colaflex_components
from colaflex.testing import conformance_checks

CHECKS = [
    pytest.param(*each.values, id=f"{component.kind}-{component.name}-{each.id}")
    for component in colaflex_components()
    for each in conformance_checks(component.kind, component.name)
]


@pytest.mark.parametrize("check", CHECKS)
def test_conformance(check: Callable[[], None]) -> None:
    check()
