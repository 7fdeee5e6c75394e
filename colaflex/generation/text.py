"""Prompts in, text out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from colaflex.corpora.tokenizer import Tokenizer
from colaflex.generation.arguments import (
    CallSampling,
    checked_sampling,
    checked_seed,
    checked_text,
    checked_texts,
)
from colaflex.interfaces.language_model import LanguageModel
from colaflex.interfaces.options import SamplingOptions, TokenSampling
from colaflex.spec.sections import Sampling

__all__ = ["Generated", "GenerationOptions", "Tell", "TextGenerator", "unheard"]

Tell = Callable[[int, int], None]
"""Called with how many of how many are done."""

ROWS_AT_ONCE = 256
"""Prompts continued together; a row never depends on its neighbours, so this is only speed."""

TOKENS_AT_ONCE = 4096
"""Tokens of prompts read together, padding included; bounds the decoder's logits of them."""

TOKENS_HELD = 262_144
"""Tokens of rows continued together, when all are as long as they may get; bounds the caches."""


class GenerationOptions(CallSampling):
    """How text is generated: the keys of a spec's `sampling`, within their bounds.

    Raises:
        UserError: there is no such option, or a value is out of its bounds.

    Example:
        >>> GenerationOptions(steps=8).but(temperature=0.8).tokens.temperature
        0.8
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**checked_sampling(options))

    @classmethod
    def of(cls, sampling: Sampling) -> GenerationOptions:
        """The options that a spec has."""
        return cls(**sampling.model_dump())

    @property
    def latents(self) -> SamplingOptions:
        """The options that the prior takes."""
        return SamplingOptions(
            self.steps,
            self.guidance,
            self.reencode,
            self.estimate,
            self.renoise,
            self.grid,
            self.guidance_interval,
            self.guidance_law,
            self.noise_temperature,
            self.estimate_temperature,
            self.end,
        )

    @property
    def tokens(self) -> TokenSampling:
        """The options that the decoder takes."""
        return TokenSampling(self.temperature, self.top_k, self.top_p, self.repetition_penalty)

    def but(self, **changes: Any) -> GenerationOptions:
        """The same options but for those given; None changes nothing.

        Raises:
            UserError: there is no such option, or a value is out of its bounds.
        """
        named = {name: value for name, value in changes.items() if value is not None}
        return GenerationOptions(**{**dict(self), **named})


@dataclass(frozen=True, slots=True)
class Generated:
    """One continuation.

    Attributes:
        prompt: as given.
        text: what follows it.
        tokens: ids of the new tokens.
        finish: "end" (end-of-text) or "length".

    Example:
        >>> made = Generated("The painter", " saw the sea.", tokens=(71, 12, 40), finish="length")
        >>> made.as_json()["tokens"]
        [71, 12, 40]
    """

    prompt: str
    text: str
    tokens: tuple[int, ...]
    finish: str

    def as_json(self) -> dict[str, Any]:
        """As `colaflex generate --json` prints it."""
        return {**asdict(self), "tokens": list(self.tokens)}


class TextGenerator:
    """Continues prompts: encode, generate block by block, decode."""

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer

    def generate(
        self,
        prompts: str | Sequence[str],
        options: GenerationOptions,
        seed: int = 0,
        tell: Tell = lambda done, total: None,
    ) -> list[Generated]:
        """Continue every prompt; a pure function of the model, the prompts and the options.

        A UserWarning names prompts whose beginning the model doesn't read.

        Raises:
            UserError: a prompt is no text, or the seed is none.
        """
        prompts, seed = checked_texts(prompts), checked_seed(seed)
        encoded = self.tokenizer.encode_batch(prompts)
        self._tell_unheard(encoded)
        rows = self.generate_tokens(encoded, options, seed, tell)
        texts = self.tokenizer.continued(encoded, [tokens for tokens, _ in rows])
        return [
            Generated(prompt, text, tuple(tokens), finish)
            for prompt, (_, text), (tokens, finish) in zip(prompts, texts, rows, strict=True)
        ]

    def generate_tokens(
        self,
        prompts: Sequence[Sequence[int]],
        options: GenerationOptions,
        seed: int = 0,
        tell: Tell = lambda done, total: None,
    ) -> list[tuple[list[int], str]]:
        """New tokens and the finish of every prompt of tokens; `tell` counts prompts."""
        rows: list[tuple[list[int], str]] = []
        for start, part in _parts(prompts, options.max_new_tokens):
            tokens: list[list[int]] = [[] for _ in part]
            finishes = ["length"] * len(part)
            for block in self._run(part, options, seed, prompts[:start]):
                for gained in block:
                    tokens[gained.row].extend(gained.tokens)
                    finishes[gained.row] = gained.finish or "length"
                share = max(map(len, tokens)) / max(1, options.max_new_tokens)
                tell(start + min(len(part) - 1, int(len(part) * share)), len(prompts))
            rows.extend(zip(tokens, finishes, strict=True))
            tell(len(rows), len(prompts))
        return rows

    def _run(
        self,
        part: Sequence[Sequence[int]],
        options: GenerationOptions,
        seed: int,
        earlier: Sequence[Sequence[int]],
    ) -> Iterator[Any]:
        return iter(
            self.model.generate_tokens(
                part, seed, options.max_new_tokens, options.latents, options.tokens, earlier
            )
        )

    def stream(self, prompt: str, options: GenerationOptions, seed: int = 0) -> Iterator[str]:
        """The continuation of one prompt, piece by piece; the pieces join to its `text`."""
        prompt, seed = checked_text(prompt), checked_seed(seed)
        encoded = self.tokenizer.encode(prompt)
        self._tell_unheard([encoded])
        return self._pieces(encoded, self._run([encoded], options, seed, []))

    def _tell_unheard(self, prompts: Sequence[Sequence[int]]) -> None:
        if notice := unheard(self.model, prompts):
            warnings.warn(notice, stacklevel=4)  # who calls a loaded model

    def _pieces(self, prompt: Sequence[int], blocks: Iterator[Any]) -> Iterator[str]:
        pieces = self.tokenizer.stream(prompt)
        for block in blocks:
            for gained in block:
                yield pieces.push(gained.tokens)
        yield pieces.finish()


def unheard(model: LanguageModel, prompts: Sequence[Sequence[int]]) -> str | None:
    """A notice about prompts that a model doesn't read whole; None where it does."""
    lengths = {model.heard(length) for length in map(len, prompts) if model.heard(length) < length}
    if not lengths:
        return None
    cut = sum(model.heard(len(prompt)) < len(prompt) for prompt in prompts)
    some = f"{cut} of {len(prompts)} prompts are" if len(prompts) > 1 else "the prompt is"
    last = " or ".join(map(str, sorted(lengths)))
    return (
        f"{some} longer than what the model learned from (training.max_tokens); of such a prompt "
        f"only the last {last} tokens are heard"
    )


def _parts(
    prompts: Sequence[Sequence[int]], more: int
) -> Iterator[tuple[int, Sequence[Sequence[int]]]]:
    """Prompts that are continued together, by so many tokens at most, with their places."""
    start = longest = 0
    for end, prompt in enumerate(prompts):
        longest, rows = max(longest, len(prompt)), end - start
        read, whole = (rows + 1) * longest, (rows + 1) * (longest + more)
        if rows == ROWS_AT_ONCE or (rows and (read > TOKENS_AT_ONCE or whole > TOKENS_HELD)):
            yield start, prompts[start:end]
            start, longest = end, len(prompt)
    if start < len(prompts):
        yield start, prompts[start:]
