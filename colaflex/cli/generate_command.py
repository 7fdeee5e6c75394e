"""`colaflex generate`: continue prompts with a trained model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from colaflex.cli.output import json_option, print_json
from colaflex.errors import UserError

if TYPE_CHECKING:
    from colaflex.loading import LoadedModel

__all__ = ["command"]


@click.command("generate")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--prompt", "prompt", multiple=True, metavar="TEXT", help='Repeatable; "" is one.')
@click.option(
    "--prompts",
    "file",
    type=click.Path(path_type=Path),
    help="File of prompts: one a line, or .jsonl with `prompt`.",
)
@click.option("--max-new-tokens", type=click.IntRange(0), help="Most tokens after the prompt.")
@click.option("--steps", type=click.IntRange(1), help="Solver intervals per block.")
@click.option("--guidance", type=click.FloatRange(0), help="1 is off.")
@click.option("--temperature", type=click.FloatRange(0), help="Of tokens; 0: most probable.")
@click.option("--top-k", type=click.IntRange(0), help="0 is off.")
@click.option("--top-p", type=click.FloatRange(0, 1, min_open=True), help="1 is off.")
@click.option("--repetition-penalty", type=click.FloatRange(0, min_open=True), help="1 is off.")
@click.option("--seed", type=int, default=0, show_default=True, help="Keys the draws.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--stream", is_flag=True, help="Print text as it comes (one prompt).")
@json_option
def command(run: Path, prompt: tuple[str, ...], file: Path | None, **given: Any) -> int:
    """Continue prompts with the model of a run folder."""
    if prompt and file is not None:
        raise UserError("give --prompt or --prompts, not both")
    prompts = list(prompt) if file is None else read_prompts(file)
    prompts = prompts or [""]
    stream, as_json, seed = given.pop("stream"), given.pop("as_json"), given.pop("seed")
    if stream and (as_json or len(prompts) != 1):
        raise UserError("--stream prints one prompt's text: give one prompt, and no --json")
    from colaflex.loading import load
    from colaflex.run_settings import chosen_device

    model = load(run, chosen_device(given.pop("device")))
    if stream:
        _stream(model, prompts[0], seed, given)
        return 0
    made = model.generate(prompts, seed, **given)
    if as_json:
        print_json([row.as_json() for row in made])
        return 0
    for row in made:
        click.echo(f"{row.prompt}{row.text}")
        if len(made) > 1:
            click.echo("---")
    return 0


def _stream(model: LoadedModel, prompt: str, seed: int, options: dict[str, Any]) -> None:
    sys.stdout.write(prompt)
    for piece in model.stream(prompt, seed, **options):
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")


def read_prompts(path: Path) -> list[str]:
    """The prompts of a file: one a line, or the `prompt` of every line of a .jsonl.

    Raises:
        UserError: the file is missing, not UTF-8, or a line holds no prompt.
    """
    import json

    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}") from None
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}") from None
    if path.suffix != ".jsonl":
        return lines
    prompts = []
    for number, line in enumerate(lines, 1):
        try:
            prompts.append(str(json.loads(line)["prompt"]))
        except (ValueError, TypeError, KeyError):
            raise UserError(
                f'{path}:{number}: expected a JSON object with a key "prompt"'
            ) from None
    return prompts
