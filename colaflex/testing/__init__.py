"""The conformance kit: what every component must show, for ours and for plugin authors'."""

from __future__ import annotations

from colaflex.testing.kit import check, conformance_checks
from colaflex.testing.results import CheckResult

__all__ = ["CheckResult", "check", "conformance_checks"]
