"""`colaflex verify`: whether what a result depends on is as it was written."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from colaflex.cli.common import PATH, json_option, print_json, print_table

__all__ = ["command"]


@click.command("verify")
@click.argument("path", type=PATH)
@json_option
def command(path: Path, as_json: bool) -> int:
    """Check the files of PATH against the digests that were written with them.

    PATH is a run folder, a folder with runs in it, or the file of a study or of a board. Exit code
    1 where something is damaged.
    """
    from colaflex.cli.verification import verify

    checks = verify(path)
    damaged = [check for check in checks if check.state == "damaged"]
    if as_json:
        rows = [{"path": str(f.path), "state": f.state, "reason": f.reason} for f in checks]
        print_json({"whole": not damaged, "files": rows})
        return 1 if damaged else 0
    print_table(("file", "state"), [(str(f.path), f.state) for f in checks])
    for check in damaged:
        print(check.reason, file=sys.stderr)
    unknown = sum(check.state == "unrecorded" for check in checks)
    if unknown:
        print(f"{unknown} of before digests were recorded: not checked", file=sys.stderr)
    print("damaged" if damaged else "whole", file=sys.stderr)
    return 1 if damaged else 0
