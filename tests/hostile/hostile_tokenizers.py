"""Contents of tokenizer.json that could hang, grow without end, or take the library down."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["TOKENIZERS"]

WORDS = {"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 1}, "unk_token": "[UNK]"}


def _made(**parts: Any) -> bytes:
    whole = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": WORDS,
    }
    return json.dumps({**whole, **parts}).encode()


def _nested(depth: int) -> bytes:
    step = '{"type": "Sequence", "normalizers": ['
    inner = '{"type": "Lowercase"}'
    text = step * depth + inner + "]}" * depth
    return _made(normalizer="@").replace(b'"@"', text.encode())


def _split(pattern: str) -> bytes:
    step = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return _made(pre_tokenizer=step)


def _replace(pattern: Any, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


_DOUBLING = {"type": "Sequence", "normalizers": [_replace({"String": "a"}, "aa")] * 60}

TOKENIZERS: dict[str, bytes] = {
    "nested normalizers": _nested(300),
    "normalizers nested without end": _nested(100_000),
    "a text doubled sixty times": _made(normalizer=_DOUBLING),
    "a long replacement, twice": _made(
        normalizer={"type": "Sequence", "normalizers": [_replace({"Regex": "."}, "x" * 5000)] * 2}
    ),
    "repeats repeated": _split("(a+)+$"),
    "choices repeated": _split("(a|a)*b"),
    "options repeated": _split("(?:a?a)+b"),
    "repeats in a normalizer": _made(normalizer=_replace({"Regex": r"(\w+\s?)+$"}, "")),
    "repeats in a decoder": _made(decoder=_replace({"Regex": "(x*)*y"}, "")),
    "a pattern that is none": _split("("),
    "no model": json.dumps({"version": "1.0"}).encode(),
    "ids that are no numbers": _made(model={**WORDS, "vocab": {"a": "b"}}),
    "negative ids": _made(model={**WORDS, "vocab": {"[UNK]": -1}}),
    "ids without end": _made(model={**WORDS, "vocab": {"[UNK]": 2**40}}),
    "merges of unknown tokens": _made(
        model={"type": "BPE", "vocab": {"a": 0}, "merges": [["x", "y"]], "unk_token": None}
    ),
    "empty": b"",
    "a list": b"[]",
    "nested brackets": b"[" * 200_000,
}
