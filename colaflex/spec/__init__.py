"""Specs: what an experiment is, in a file. Imports no torch."""

from __future__ import annotations

from colaflex.files.problems import Origin, Problem, SpecError
from colaflex.spec.spec import Difference, Spec

__all__ = ["Difference", "Origin", "Problem", "Spec", "SpecError"]
