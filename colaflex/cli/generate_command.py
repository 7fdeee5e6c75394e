"""`colaflex generate`: continue prompts with a trained model."""

from __future__ import annotations

import sys
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from colaflex.cli.common import PATH, json_option, no_verify_option, print_json
from colaflex.errors import UserError
from colaflex.generation.prompt_file import read_prompts
from colaflex.runtime.terminal import say

if TYPE_CHECKING:
    from colaflex.experiment.loading import LoadedModel

__all__ = ["command"]

MANY = 16
"""Prompts from which on it is shown how many are done."""


@click.command("generate")
@click.argument("run", type=PATH)
@click.option("--prompt", "prompt", multiple=True, metavar="TEXT", help='Repeatable; "" is one.')
@click.option(
    "--prompts",
    "file",
    type=PATH,
    help="File of prompts: one a line, or .jsonl (.ndjson) with `prompt`.",
)
@click.option("--max-new-tokens", type=int, help="Most tokens after the prompt.")
@click.option("--steps", type=int, help="Solver intervals per block.")
@click.option("--guidance", type=float, help="1 is off.")
@click.option("--reencode/--no-reencode", default=None, help="History through decoded tokens.")
@click.option("--estimate", help="mean, or draw: each step draws tokens and goes on from them.")
@click.option(
    "--renoise",
    metavar="SHARE|ddpm",
    callback=lambda context, parameter, given: _number_or_word(given),
    help="Share of fresh noise in each step; 0 is off.",
)
@click.option("--grid", help="Times of the steps: uniform, law, power(p) or prefix(rho).")
@click.option(
    "--guidance-interval", type=float, nargs=2, metavar="LOW HIGH", help="Times t of guidance."
)
@click.option("--guidance-law", help="constant, data_end or noise_end.")
@click.option("--noise-temperature", type=float, help="Deviation of the noise; 1 by default.")
@click.option("--estimate-temperature", type=float, help="Of drawn estimates; 0: most probable.")
@click.option("--end", help="mean, or draw: the last step's estimate is drawn too.")
@click.option("--temperature", type=float, help="Of tokens; 0: most probable.")
@click.option("--top-k", type=int, help="0 is off.")
@click.option("--top-p", type=float, help="1 is off.")
@click.option("--repetition-penalty", type=float, help="1 is off.")
@click.option("--seed", type=int, default=0, show_default=True, help="Keys the draws.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--stream", is_flag=True, help="Print text as it comes (one prompt).")
@no_verify_option
@json_option
def command(run: Path, prompt: tuple[str, ...], file: Path | None, **options: Any) -> int:
    """Continue prompts with the model of a run folder.

    Options that are not given are those of the spec's `sampling`, whose bounds hold for all.
    """
    if prompt and file is not None:
        raise UserError("give --prompt or --prompts, not both")
    prompts = list(prompt or [""]) if file is None else read_prompts(file)
    stream, as_json, seed = options.pop("stream"), options.pop("as_json"), options.pop("seed")
    device = options.pop("device")
    _check(prompts, seed, options)
    if stream and (as_json or len(prompts) != 1):
        raise UserError("--stream prints one prompt's text: give one prompt, and no --json")
    from colaflex.experiment.loading import load
    from colaflex.experiment.settings import chosen_device
    from colaflex.training.progress import shown
    from colaflex.training.watcher import counter

    model = load(run, chosen_device(device))
    _tell_without_effect(model, options)
    with warnings.catch_warnings():
        warnings.showwarning = _tell
        if stream:
            _stream(model, prompts[0], seed, options)
            return 0
        with shown() if len(prompts) >= MANY else nullcontext() as progress:
            tell = counter(progress, "generate", "prompts")
            rows = model.generate(prompts, seed, tell=tell, **options)
    if as_json:
        print_json([row.as_json() for row in rows])
        return 0
    for row in rows:
        print(f"{row.prompt}{row.text}")
        if len(rows) > 1:
            print("---")
    return 0


def _number_or_word(given: str | None) -> float | str | None:
    try:
        return None if given is None else float(given)
    except ValueError:
        return given


def _check(prompts: list[str], seed: int, options: dict[str, Any]) -> None:
    """Refuse before the model is loaded what it would refuse."""
    from colaflex.generation.arguments import checked_sampling, checked_seed, checked_texts

    chosen = {name: value for name, value in options.items() if value is not None}
    checked_sampling(chosen, lambda name: f"--{name.replace('_', '-')}")
    checked_seed(seed, "--seed")
    checked_texts(prompts)


def _tell_without_effect(model: LoadedModel, options: dict[str, Any]) -> None:
    """Say which of the options given the model takes no notice of."""
    from colaflex.evaluation.sweeps import acts

    part = model.spec.baseline or model.spec.prior
    for setting in ("steps", "guidance"):
        if options[setting] is not None and not acts(model.model, setting):
            name = f" ({part.type})" if part is not None else ""
            print(f"--{setting} has no effect: this model{name} takes no notice", file=sys.stderr)


def _tell(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning as a line, without the place in the program."""
    del category, filename, lineno, file, line
    say(f"warning: {message}")


def _stream(model: LoadedModel, prompt: str, seed: int, options: dict[str, Any]) -> None:
    sys.stdout.write(prompt)
    for piece in model.stream(prompt, seed, **options):
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
