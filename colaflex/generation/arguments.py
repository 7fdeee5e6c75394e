"""Arguments of calls to a model: checked by the spec's own bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any

from pydantic import Field, ValidationError

from colaflex.errors import UserError, WrongKind
from colaflex.hints import hint
from colaflex.interfaces.options import MAX_NEW_TOKENS
from colaflex.spec.sections import Document, Sampling
from colaflex.spec.shapes import shape_of, shapes_of

__all__ = ["CallSampling", "checked_sampling", "checked_seed", "checked_text", "checked_texts"]


class CallSampling(Sampling):
    """A spec's `sampling`, but that a call may ask for no tokens: a spec's texts are measured."""

    max_new_tokens: int = Field(
        64, ge=0, le=MAX_NEW_TOKENS, description="Most tokens generated after a prompt."
    )


def checked_sampling(
    options: Mapping[str, Any], name: Callable[[str], str] = str
) -> dict[str, Any]:
    """Sampling options within the bounds of a spec's `sampling`.

    Args:
        options: by name.
        name: how an option is called where it was given.

    Raises:
        UserError: there is no such option (WrongKind), or its value is out of bounds.
    """
    shapes = shapes_of(CallSampling)
    for option in options:
        if option not in shapes:
            known = [name(each) for each in shapes]
            raise WrongKind(f"unknown option {name(str(option))!r}{hint(name(option), known)}")
    values = {option: _plain(value) for option, value in options.items()}
    try:
        CallSampling.model_validate(values, strict=True)
    except ValidationError as error:
        option = str(error.errors()[0]["loc"][0])
        expected = shapes[option].expected.replace("a number", "a finite number")
        raise UserError(
            f"{name(option)}: expected {expected}, got {_shown(options[option])}"
        ) from None
    return values


def checked_seed(seed: Any, name: str = "seed") -> int:
    """A seed, as a spec has it; raises UserError for what is none."""
    value = _plain(seed)
    if type(value) is int and 0 <= value < 2**63:
        return value
    expected = shape_of(Document.model_fields["seed"]).expected
    raise UserError(f"{name}: expected {expected}, got {_shown(seed)}")


def checked_texts(texts: Any, what: str = "prompts") -> list[str]:
    """Texts as a list, of one where one is given; raises WrongKind for what is none."""
    if isinstance(texts, str):
        return [checked_text(texts, what)]
    if isinstance(texts, bytes | bytearray | Mapping) or not isinstance(texts, Iterable):
        raise WrongKind(f"{what}: expected a text or a list of texts, got {_shown(texts)}")
    return [checked_text(text, f"{what}[{index}]") for index, text in enumerate(texts)]


def checked_text(text: Any, what: str = "prompt") -> str:
    """A text; raises WrongKind for what is none, UserError for halves of characters."""
    if not isinstance(text, str):
        raise WrongKind(f"{what}: expected a text, got {_shown(text)}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"half a character at {error.start}"
        raise UserError(f"{what}: {_shown(text)} is no UTF-8 text: {half}") from None
    return text


def _plain(value: Any) -> Any:
    """A number of another library as one of Python's, a list as a tuple."""
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    if isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def _shown(value: Any) -> str:
    try:
        shown = repr(value)
    except ValueError:  # an integer of too many digits
        return f"an integer of {value.bit_length():,} bits"
    return shown if len(shown) <= 60 else f"{shown[:60]}... ({type(value).__name__})"
