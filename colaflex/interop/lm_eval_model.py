"""A loaded model as the language model of lm-evaluation-harness (extra `lm-eval`)."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from lm_eval.api.model import LM

from colaflex.errors import UserError
from colaflex.experiment.loading import LoadedModel
from colaflex.generation.arguments import checked_seed, checked_texts
from colaflex.generation.text import GenerationOptions, TextGenerator
from colaflex.interfaces.options import MAX_NEW_TOKENS
from colaflex.interfaces.values import TokenBatch
from colaflex.metrics.likelihood import declared_likelihood

__all__ = ["HarnessModel", "cut"]

log = logging.getLogger("colaflex")

DEFAULT_NEW_TOKENS = 256
"""Of a task that sets no limit; the harness's own default."""

_LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_SAMPLING = ("temperature", "top_k", "top_p", "repetition_penalty", "steps", "guidance")

Tokens = tuple[int, ...]
Part = tuple[Tokens, int]  # a row, and how many of its tokens are given


class HarnessModel(LM):  # type: ignore[misc]  # lm_eval is untyped
    """What the harness asks of a language model, answered by a run's.

    Any model generates. Log likelihoods need one that declares a likelihood; of a model with a
    bound, or an estimate along an ODE, log p(continuation | context) is the difference of two,
    which itself bounds nothing: `get_model_info` says so, and such scores compare within one model
    only.

    Args:
        model: of a run folder.
        seed: keys the draws.
        rows: scored together; a row never depends on its neighbours.
    """

    def __init__(self, model: LoadedModel, seed: int = 0, rows: int = 32) -> None:
        super().__init__()
        self.loaded, self.seed, self.rows = model, checked_seed(seed), rows
        self._generator = TextGenerator(model.model, model.tokenizer)
        self._device = next((p.device for p in model.model.parameters()), torch.device("cpu"))
        self._window = model.spec.training.max_tokens

    @property
    def likelihood(self) -> str:
        """What the model declares: "exact", "ode" (an estimate), "bound" or "none"."""
        return declared_likelihood(self.loaded.spec)

    def get_model_info(self) -> dict[str, Any]:
        """What the harness puts beside its results."""
        spec = self.loaded.spec
        return {"colaflex_spec": spec.digest(), "colaflex_likelihood": self.likelihood}

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """The continuation of every context, cut before the first of its `until` strings.

        Greedy unless a temperature is set; what a task does not set is the spec's `sampling`.
        """
        del disable_tqdm
        texts = [""] * len(requests)
        for options, chosen in _alike([request.args[1] for request in requests]).items():
            settings = json.loads(options)
            prompts = [str(requests[index].args[0]) for index in chosen]
            rows = self._generator.generate(prompts, self._options(settings), self.seed)
            for index, generated in zip(chosen, rows, strict=True):
                texts[index] = cut(generated.text, _until(settings))
        return texts

    def loglikelihood(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """log p(continuation | context) in nats, and whether greedy generation gives it.

        The text is tokenised as one; the continuation begins behind as many tokens as the context
        alone has. Of a text longer than `training.max_tokens` only the last so many are read, which
        a UserWarning tells.
        """
        del disable_tqdm
        pairs = [(str(request.args[0]), str(request.args[1])) for request in requests]
        rows = self.loaded.tokenizer.encode_batch([context + more for context, more in pairs])
        if cut := sum(len(row) > self._window for row in rows):
            warnings.warn(
                f"{cut} of {len(rows)} texts are longer than training.max_tokens; only their last "
                f"{self._window} tokens are scored",
                stacklevel=2,
            )
        parts = [self._part(context, row) for (context, _), row in zip(pairs, rows, strict=True)]
        return list(zip(self._conditional(parts), self._greedy(parts), strict=True))

    def loglikelihood_rolling(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[float]:
        """log p of whole texts in nats, their end not included.

        A text longer than `training.max_tokens` is read in windows, each half of tokens that are
        new and half of those before them.
        """
        del disable_tqdm
        encoded = self.loaded.tokenizer.encode_batch([str(request.args[0]) for request in requests])
        windows = [_windows(tuple(tokens), self._window) for tokens in encoded]
        scores = iter(self._conditional([part for parts in windows for part in parts]))
        return [sum(next(scores) for _ in parts) for parts in windows]

    def _part(self, context: str, whole: Sequence[int]) -> Part:
        # A space between the two belongs to the word that follows.
        count = len(self.loaded.tokenizer.encode(context.rstrip()))
        dropped = max(0, len(whole) - self._window)
        return tuple(whole[dropped:]), max(0, min(count, len(whole) - 1) - dropped)

    def _conditional(self, parts: Sequence[Part]) -> list[float]:
        """log p of each row's tokens behind the given ones."""
        rows = [row for row, _ in parts] + [row[:context] for row, context in parts]
        distinct = sorted({row for row in rows if row}, key=len)
        scores: dict[Tokens, float] = {(): 0.0}
        for start in range(0, len(distinct), self.rows):
            some = distinct[start : start + self.rows]
            log_p = self._score(some)
            if log_p is None:
                raise UserError(
                    "this model declares no likelihood: it can't run tasks of output_type "
                    "loglikelihood, loglikelihood_rolling or multiple_choice, only generate_until"
                )
            scores |= dict(zip(some, log_p.double().tolist(), strict=True))
        return [scores[row] - scores[row[:context]] for row, context in parts]

    @torch.no_grad()
    def _score(self, rows: Sequence[Tokens]) -> torch.Tensor | None:
        """(rows,) log p of rows that go on behind what is given, or None."""
        width, end = max(map(len, rows)), self.loaded.tokenizer.end_of_text
        tokens = torch.tensor([[*row, *[end] * (width - len(row))] for row in rows])
        lengths = torch.tensor([len(row) for row in rows])
        batch = TokenBatch(tokens, lengths, torch.zeros(len(rows), dtype=torch.bool))
        return self.loaded.model.log_likelihood(batch.to(self._device))

    def _greedy(self, parts: Sequence[Part]) -> list[bool]:
        """Whether greedy generation behind the given tokens gives the rest of each row."""
        longest: dict[Tokens, int] = {}
        for row, context in parts:
            longest[row[:context]] = max(longest.get(row[:context], 0), len(row) - context)
        greedy: dict[Tokens, Tokens] = {}
        for length in sorted(set(longest.values())):
            prompts = [prompt for prompt, needed in longest.items() if needed == length]
            most = min(length, MAX_NEW_TOKENS)
            options = self.loaded.options.but(temperature=0.0, max_new_tokens=most)
            rows = self._generator.generate_tokens(prompts, options, self.seed)
            greedy |= {p: tuple(tokens) for p, (tokens, _) in zip(prompts, rows, strict=True)}
        return [
            greedy[row[:context]][: len(row) - context] == row[context:] for row, context in parts
        ]

    def _options(self, settings: Mapping[str, Any]) -> GenerationOptions:
        limit = next((settings[name] for name in _LIMITS if settings.get(name)), DEFAULT_NEW_TOKENS)
        chosen = {name: settings[name] for name in _SAMPLING if settings.get(name) is not None}
        if settings.get("do_sample") is False:
            chosen["temperature"] = 0.0
        unknown = set(settings) - {*_LIMITS, *_SAMPLING, "do_sample", "until"}
        if unknown:
            log.warning("generation_kwargs without effect: %s", ", ".join(sorted(unknown)))
        chosen.setdefault("temperature", 1.0 if settings.get("do_sample") else 0.0)
        return self.loaded.options.but(max_new_tokens=limit, **chosen)


def cut(text: str, until: Iterable[str]) -> str:
    """A text up to where the first of some strings begins."""
    ends = [text.find(stop) for stop in until if stop]
    return text[: min((end for end in ends if end >= 0), default=len(text))]


def _until(options: Mapping[str, Any]) -> list[str]:
    return checked_texts(options.get("until") or [], "until")


def _alike(options: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Which requests have the same options, by these as JSON."""
    groups: dict[str, list[int]] = {}
    for index, each in enumerate(options):
        groups.setdefault(json.dumps(each, sort_keys=True), []).append(index)
    return groups


def _windows(tokens: Tokens, size: int) -> list[Part]:
    """Windows that together score every token once; all but the first begin with given ones."""
    stride = max(1, size // 2)
    parts, end = [(tokens[:size], 0)], size
    while end < len(tokens):
        fresh = min(stride, len(tokens) - end)
        start = max(0, end + fresh - size)
        parts.append((tokens[start : end + fresh], end - start))
        end += fresh
    return parts
