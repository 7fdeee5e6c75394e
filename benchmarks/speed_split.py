"""Where generation's time goes: python benchmarks/speed_split.py RUN [--steps 2 4] [--rows 1 64].

Of a run folder, of a spec, or of a board's record (whose row has its size there); the latter two
with random weights, which take as long. Prints tokens per second, the median of several rounds, and
how that time splits: the network, the readout (latents and draws that it makes of states), the
sampler's own arithmetic, keyed noise, the commit to the prior's history, decode (with drawing
tokens), re-encode, and the rest, which is mostly lists of tokens in Python. Several sources are
timed in turn, so that drift hits all.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import torch

import colaflex
from colaflex.corpora.tokenizer import Tokenizer
from colaflex.experiment.assembly import build_model
from colaflex.files.problems import dotted
from colaflex.generation.text import GenerationOptions
from colaflex.interfaces.language_model import LanguageModel
from colaflex.interfaces.noise import SampleNoise
from colaflex.interfaces.values import Vocabulary
from colaflex.spec import Spec
from colaflex.spec.layers import read_set

PARTS = (
    *("network", "readout", "sampler", "noise", "commit"),
    *("decode", "re-encode", "rest"),
)
PROMPT_TOKENS = 8


class Split:
    """Seconds by part; what runs within another part counts for itself alone.

    Args:
        clock: tells the seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._running: list[str] = []
        self._since = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Until it is left, the time is this part's."""
        self._turn()
        self._running.append(name)
        try:
            yield
        finally:
            self._turn()
            self._running.pop()

    def _turn(self) -> None:
        now = self._clock()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now

    def timed(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same work, its time that part's."""

        def measured(*given: Any, **named: Any) -> Any:
            with self.part(name):
                return work(*given, **named)

        return measured


def places(model: Any) -> Iterator[tuple[Any, str, str]]:
    """What is timed: its owner, its name, and the part that it is of."""
    import colaflex.latent.generation as latent

    for draw in ("normal", "uniform"):
        yield SampleNoise, draw, "noise"
    if not hasattr(model, "prior"):
        yield model.trunk, "extend", "network"
        return
    yield latent, "committed", "commit"
    yield latent, "draw_tokens", "decode"
    yield latent.BlockGenerator, "_reencoded", "re-encode"
    for method in ("decode_next", "continue_decoding"):
        if hasattr(model.representation, method):
            yield model.representation, method, "decode"
    yield model.prior, "sample_block", "sampler"
    network = getattr(model.prior, "network", None)
    if network is not None:
        yield network, "forward", "network"
        readout = model.prior.denoiser.readout if hasattr(model.prior, "denoiser") else None
        for method in ("said", "drawn", "forward"):
            if readout is not None:
                yield readout, method, "readout"


def measured(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    options: GenerationOptions,
    clock: Callable[[], float],
) -> tuple[int, Split]:
    """Tokens generated, and where the time went."""
    split, tokens = Split(clock), 0
    with ExitStack() as stack:
        for owner, name, part in places(model):
            stack.enter_context(patch.object(owner, name, split.timed(part, getattr(owner, name))))
        stack.enter_context(split.part("rest"))
        for block in model.generate_tokens(
            prompts, 0, options.max_new_tokens, options.latents, options.tokens
        ):
            tokens += sum(len(row.tokens) for row in block)
    return tokens, split


def loaded(source: Path, sets: Sequence[str]) -> tuple[LanguageModel, GenerationOptions]:
    """The model of a run folder, or one of random weights, and how its spec samples."""
    if source.is_dir():
        run = colaflex.load(source)
        return run.model, GenerationOptions.of(run.spec.sampling)
    if source.suffix == ".json":
        spec = Spec.parse(json.loads(source.read_text(encoding="utf-8"))["spec"])
        spec = spec.override({dotted(path): node for path, node in map(read_set, sets)})
    else:
        spec = Spec.load(source, sets)
    size = spec.tokenizer.vocab_size
    named = SimpleNamespace(
        size=size, end_of_text=0, mask=1, token_texts=lambda: tuple("a" for _ in range(size))
    )
    model = build_model(spec, cast("Tokenizer", named))
    with torch.no_grad():  # gates that are zero at first would keep no text apart
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape))
    return model.eval(), GenerationOptions.of(spec.sampling)


def main() -> None:
    """Measure and print; with --out, also write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path, nargs="+", help="run folders, specs or records")
    parser.add_argument("--set", action="append", default=[], metavar="K=V", dest="sets")
    parser.add_argument("--steps", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--tokens", type=int, default=72, help="new tokens of each row")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpu", action="store_true", help="seconds of CPU, where others run too")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    clock = time.process_time if given.cpu else time.perf_counter
    cases = []
    for source in given.sources:
        model, options = loaded(source, given.sets)
        for steps in given.steps if hasattr(model, "prior") else given.steps[:1]:
            at = options.but(steps=steps, max_new_tokens=given.tokens)
            cases += [(source.stem, model, at, rows) for rows in given.rows]
    found: list[list[tuple[int, Split]]] = [[] for _ in cases]
    for turn in range(1 + given.rounds):
        for (_, model, options, rows), results in zip(cases, found, strict=True):
            draws = torch.Generator().manual_seed(turn)
            tokens = cast("Vocabulary", model.vocabulary).size
            size = (rows, PROMPT_TOKENS)
            prompts = torch.randint(2, tokens, size, generator=draws).tolist()
            result = measured(model, prompts, options, clock)
            results += [result] if turn else []  # the first warms up
    written = [report(*case, results) for case, results in zip(cases, found, strict=True)]
    if given.out is not None:
        given.out.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")


def report(
    name: str,
    model: LanguageModel,
    options: GenerationOptions,
    rows: int,
    results: Sequence[tuple[int, Split]],
) -> dict[str, Any]:
    """One case, printed."""
    rates = [tokens / sum(split.seconds.values()) for tokens, split in results]
    shares = {
        part: statistics.median(
            split.seconds[part] / sum(split.seconds.values()) for _, split in results
        )
        for part in PARTS
    }
    steps = options.steps if hasattr(model, "prior") else None
    asked = "" if steps is None else f", {steps} steps"
    listed = ", ".join(f"{part} {100 * share:.0f} %" for part, share in shares.items() if share)
    rate = statistics.median(rates)
    print(f"{name}{asked}, {rows} rows: {rate:,.0f} tokens/s; {listed}")
    return {"source": name, "steps": steps, "rows": rows, "tokens_per_second": rate, **shares}


if __name__ == "__main__":
    main()
