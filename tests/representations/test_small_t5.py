"""A T5 trained by span corruption and saved: `frozen_t5` reads its encoder by path."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path
from typing import Any

import pytest

from colaflex.corpora.tokenizer import load_tokenizer

pytest.importorskip("transformers", reason="needs pip install 'colaflex[hf]'")


def script() -> Any:
    path = Path(__file__).parents[2] / "benchmarks/small_t5.py"
    spec = importlib.util.spec_from_file_location("small_t5", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_taken_and_what_is_left_make_the_whole() -> None:
    row = list(range(100, 160))
    left, taken = script().corrupted(row, random.Random(3))
    assert left[-1] == taken[-1] == 1
    spans: dict[int, list[int]] = {}
    for token in taken[:-1]:
        if token < 100:
            spans[token] = []
        else:
            spans[list(spans)[-1]].append(token)
    assert list(spans) == [3, 4, 5] and all(len(span) == 3 for span in spans.values())  # 15 % of 60
    assert [x for token in left[:-1] for x in spans.get(token, [token])] == row


def test_two_steps_leave_an_encoder_that_is_loaded_by_its_path(tmp_path: Path) -> None:
    import torch

    from colaflex.interfaces.values import Segmentation, TokenBatch, Vocabulary
    from colaflex.representations.frozen_configs import FrozenT5Config
    from colaflex.representations.frozen_t5 import FrozenT5

    small = ("--steps=2", "--rows=4", "--tokens=32", "--vocabulary=300", "--width=16", "--layers=1")
    script().main([str(tmp_path / "t5"), *small, "--documents=200"])
    tokenizer = load_tokenizer(tmp_path / "t5/tokenizer.json")
    text = "In the beginning God made the heaven and the earth."
    row = tokenizer.encode(text)
    assert tokenizer.decode(row) == text
    assert tokenizer.token(tokenizer.end_of_text) == "</s>"
    assert tokenizer.token(tokenizer.mask) == "<extra_id_0>"
    config = FrozenT5Config(encoder=str(tmp_path / "t5"), width=16, heads=2, latent_dim=4)
    vocabulary = Vocabulary(tokenizer.size, tokenizer.end_of_text, tokenizer.mask)
    made = FrozenT5(config, vocabulary=vocabulary, max_segment_tokens=len(row))
    tokens = TokenBatch(torch.tensor([row]), torch.tensor([len(row)]), torch.tensor([True]))
    found = made.encode(tokens, Segmentation(torch.tensor([[len(row)]]))).mean
    assert found.shape == (1, 1, 4) and bool(torch.isfinite(found).all())
