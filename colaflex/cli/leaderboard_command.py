"""`colaflex leaderboard`: who stands where on a board, from its records; runs nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from colaflex.cli.common import PATH, json_option, print_json, write_file
from colaflex.errors import UserError

__all__ = ["command"]


@click.command("leaderboard")
@click.argument("board")
@click.option("--html", type=PATH, help="Write a page, in one file.")
@click.option("--csv", type=PATH, help="Write one line a row.")
@json_option
def command(board: str, html: Path | None, csv: Path | None, as_json: bool) -> int:
    """Show the standings of BOARD, a name (benchmarks/boards/NAME.yaml) or a board's file."""
    from colaflex.leaderboard.board import Board
    from colaflex.leaderboard.records import load_records
    from colaflex.leaderboard.standings import stand
    from colaflex.leaderboard.table import as_csv, print_standings
    from colaflex.leaderboard.table import as_json as document
    from colaflex.leaderboard.trials import load_winners

    definition = Board.load(board)
    records = load_records(definition)
    if not records:
        raise UserError(
            f"{definition.results} holds no records: `colaflex bench run {board}` makes them"
        )
    standings = stand(definition, records, load_winners(definition))
    if html is not None:
        from colaflex.leaderboard.page import build_page

        _write(html, build_page(standings))
    if csv is not None:
        _write(csv, as_csv(standings))
    if as_json:
        print_json(document(standings))
    else:
        print_standings(standings, sys.stdout)
    return 0


def _write(path: Path, text: str) -> None:
    write_file(path, text)
    print(f"wrote {path}", file=sys.stderr)
