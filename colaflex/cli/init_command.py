"""`colaflex init`: a commented starter spec, and the schema by which editors complete it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from colaflex.cli.common import json_option, print_json
from colaflex.errors import UserError

__all__ = ["SCHEMA_FILE", "SPEC_FILE", "command"]

SPEC_FILE = "spec.yaml"
SCHEMA_FILE = "colaflex.schema.json"

STARTER = f"""\
# yaml-language-server: $schema={SCHEMA_FILE}
# A language model with a continuous latent: text -> segments -> latents -> prior -> text.
# `colaflex spec show {SPEC_FILE} --origin` prints every value with where it comes from,
# `colaflex run {SPEC_FILE}` trains, generates, evaluates and reports.

name: first
seed: 0

# Where documents come from: `colaflex plugins` lists every corpus.
corpus: bible

# Byte-level BPE, trained on the corpus.
tokenizer:
  vocab_size: 4096

# Which span of tokens one latent stands for.
segmenter:
  type: fixed_patch
  size: 2               # tokens of one segment

# Lifts text into latents and realises it back.
representation:
  type: text_vae
  latent_dim: 16        # knob 1 of 4
  log_snr: learned      # knob 2: learned, or a number

# Learns the distribution of the latents. Swap it: --set prior=rectified_flow
prior:
  type: flow_matching
  block_size: 16        # knob 3: latents generated together
  schedule:
    loc: 1.0            # knob 4: larger trains on more noise

training:
  regime: joint         # joint, frozen, interval or scratch
  steps: 2000           # of both stages together
  batch_size: 32        # rows of one step
  max_tokens: 256       # tokens of one row
  learning_rate: 1e-3

sampling:
  steps: 16             # solver intervals per block
  guidance: 1.0         # 1 is off

evaluation:
  samples: 64           # texts generated and measured
"""


@click.command("init")
@click.argument("directory", default=".", metavar="[DIR]")
@json_option
def command(directory: str, as_json: bool) -> None:
    """Write a commented starter spec and its editor schema into DIR (default: here)."""
    from colaflex.files.writing import write_atomic
    from colaflex.host.registry import registry
    from colaflex.spec.schema import json_schema

    folder = Path(directory)
    paths = [folder / SPEC_FILE, folder / SCHEMA_FILE]
    for path in paths:
        if path.exists():
            raise UserError(f"{path} is there already; nothing is overwritten")
    schema = json.dumps(json_schema(registry()), indent=2, ensure_ascii=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, (STARTER, schema), strict=True):
            write_atomic(path, text)
    except OSError as error:
        raise UserError(f"{folder}: can't be written: {error.strerror}") from error
    if as_json:
        print_json({"spec": str(paths[0]), "schema": str(paths[1])})
    else:
        print(f"wrote {paths[0]} and {paths[1]}; next: colaflex run {paths[0]}")
