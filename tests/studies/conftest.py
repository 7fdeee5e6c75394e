"""Tests of studies share modules of this folder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from colaflex.spec import Spec

sys.path.insert(0, str(Path(__file__).parent))

from study_texts import SPEC, STUDY

WithStudy = Callable[..., Path]


@pytest.fixture
def with_study(tmp_path: Path) -> WithStudy:
    """Writes a study with texts replaced: `with_study("seeds: 1", "seeds: 2")`."""

    def write(*pairs: str) -> Path:
        text = STUDY
        for old, new in zip(pairs[::2], pairs[1::2], strict=True):
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (tmp_path / "base.yaml").write_text(SPEC)
        path = tmp_path / "small.yaml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def base(tmp_path: Path) -> Spec:
    """The base spec of that study."""
    path = tmp_path / "base.yaml"
    path.write_text(SPEC)
    return Spec.load(path)
