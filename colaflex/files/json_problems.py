"""What is wrong with a JSON document, in words: pydantic's errors as this program tells them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from colaflex.files.json_lines import kind_of
from colaflex.hints import hint

__all__ = ["json_problems"]

LONGEST_KEY = 100
EXPECTED = {
    "dict_type": "a map",
    "model_type": "a map",
    "list_type": "a list",
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "finite_number": "a finite number",
}
BOUNDS = {"greater_than_equal": (">=", "ge"), "greater_than": (">", "gt"), "less_than": ("<", "lt")}


def json_problems(error: ValidationError, keys: Iterable[str] = ()) -> Iterator[str]:
    """`KEY: what is wrong` of every error, unknown keys first.

    Args:
        error: of a document's validation.
        keys: that the document may have, to name the nearest one.
    """
    known = list(keys)
    errors = error.errors(include_url=False)
    for item in sorted(errors, key=lambda each: each["type"] != "extra_forbidden"):
        yield _in_words(item, known)


def _in_words(item: Any, known: list[str]) -> str:
    key, kind = ".".join(str(part)[:LONGEST_KEY] for part in item["loc"]), item["type"]
    if kind == "missing":
        return f"the key {key} is missing"
    if kind == "extra_forbidden":
        near = hint(key, known, "keys") if known and len(item["loc"]) == 1 else ""
        return f"{key}: there is no such key{near}"
    if kind in EXPECTED:
        return f"{key}: expected {EXPECTED[kind]}, got {kind_of(item['input'])}"
    if kind in BOUNDS:
        sign, bound = BOUNDS[kind]
        return f"{key}: expected a number {sign} {item['ctx'][bound]:g}, got {item['input']:g}"
    if kind == "too_long":
        context = item["ctx"]
        return f"{key}: {context['actual_length']} are more than {context['max_length']}"
    return f"{key}: {item['msg'].removeprefix('Value error, ')}"
