"""`colaflex bench`: run a board, and keep its records."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from colaflex.cli.common import PATH, json_option, no_verify_option, print_json, print_table
from colaflex.cli.lazy import Group

if TYPE_CHECKING:
    from colaflex.leaderboard.bench import Bench, Outcome

__all__ = ["command"]


@click.group("bench", cls=Group)
def command() -> None:
    """Train and measure the models of a board, all on the same terms."""


def _names(context: click.Context, option: click.Parameter, text: str | None) -> tuple[str, ...]:
    del context, option
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


@command.command("run")
@click.argument("board")
@click.option("--workers", type=click.IntRange(1, 1024), default=1, help="Runs side by side.")
@click.option("--out", type=PATH, help="Default runs/bench/BOARD.")
@click.option("--rows", metavar="A,B", callback=_names, help="Only these rows.")
@click.option("--budgets", metavar="A,B", callback=_names, help="Only these budgets.")
@click.option("--seeds", metavar="0,1", callback=_names, help="Only these seeds.")
@click.option("--minutes", type=click.FloatRange(min=0), help="Stop cleanly after so long.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda or auto.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="auto",
    show_default=True,
    help="Of the arithmetic; auto is bf16 where the hardware multiplies it natively.",
)
@click.option("--dry-run", is_flag=True, help="Only solve widths and steps, and show them.")
@no_verify_option
@json_option
def run_command(board: str, **options: Any) -> int:
    """Run every cell of BOARD that has no record yet, and record it.

    BOARD is a name in benchmarks/boards or a path. Start it again, or on other machines with the
    same folders, at any time: what is done is not repeated, what was begun goes on.
    """
    from colaflex.leaderboard.board import Board
    from colaflex.leaderboard.cells import grid

    definition = Board.load(board)
    cells = grid(definition, options["rows"], options["budgets"], _integers(options["seeds"]))
    from colaflex.leaderboard.bench import Bench
    from colaflex.leaderboard.cell_pool import Settings

    out = options["out"] or Path("runs") / "bench" / definition.board
    settings = Settings(out, options["workers"], options["device"], options["precision"])
    bench = Bench(definition, cells, settings)
    if options["dry_run"]:
        bench.match()
        return _show(bench, options["as_json"])
    outcome = bench.run(options["minutes"])
    _show(bench, options["as_json"])
    return _ended(outcome)


def _integers(names: tuple[str, ...]) -> tuple[int, ...]:
    try:
        return tuple(int(name) for name in names)
    except ValueError:
        raise click.BadParameter(
            f"{','.join(names)!r}: expected whole numbers, such as 0,1", param_hint="--seeds"
        ) from None


def _show(bench: Bench, as_json: bool) -> int:
    document = bench.as_json()
    if as_json:
        print_json(document)
        return 0
    if "tuning" in document:
        _show_tuning(document["tuning"])
    columns = ("row", "budget", "seed", "parameters", "FLOPs", "steps", "solved", "status")
    rows = []
    for cell in document["cells"]:
        matched, values = cell["matched"], cell["matched"]["values"]
        stages = [key for key in values if key.startswith("training.stages.")]
        steps = {key: values[key] for key in stages if key.endswith(".steps")}
        others = {key: values[key] for key in values if key not in steps}
        state = cell["status"] if matched["ok"] else f"{cell['status']}, does not match"
        rows.append(
            (
                cell["row"],
                cell["budget"],
                str(cell["seed"]),
                f"{matched['parameters']:,}",
                f"{matched['flops']:.4g}",
                " + ".join(f"{count:,}" for count in steps.values()),
                ", ".join(f"{key.rpartition('.')[2]} {_short(v)}" for key, v in others.items()),
                state,
            )
        )
    print_table(columns, rows)
    print(_left(document["left"]))
    return 0


def _short(value: object) -> str:
    """A setting as it stands in a table."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _show_tuning(searches: list[dict[str, Any]]) -> None:
    """How far the tuning of each row is, and what it has chosen."""
    columns = ("row", "budget", "trials", "failed", "FLOPs", "FLOPs left", "chosen")
    rows = []
    for one in searches:
        winner = one["winner"]
        settings = {} if winner is None else winner["settings"]
        chosen = ", ".join(f"{p.rpartition('.')[2]} {_short(v)}" for p, v in settings.items())
        rows.append(
            (
                one["row"],
                one["budget"],
                f"{one['complete'] + one['failed']} of {one['trials']}",
                str(one["failed"]),
                f"{one['flops']:.4g}",
                f"{one['flops_left']:.4g}",
                one["reason"] or chosen or ("" if winner is None else "its own recipe"),
            )
        )
    print_table(columns, rows)


def _left(left: dict[str, float | None]) -> str:
    """What is still to be trained, and how long that takes, in a line."""
    tuning, cells, minutes = left["tuning_flops"], left["cell_flops"], left["minutes"]
    parts = [f"tuning {tuning:.4g} FLOPs"] if tuning else []
    parts += [f"cells {cells:.4g} FLOPs"] if cells else []
    if not parts:
        return "nothing is left to be trained"
    last = "how long that takes the first records will tell"
    if minutes is not None:
        last = f"about {minutes:.0f} minutes of training, by the records' speed"
    return f"left: {', '.join(parts)}; {last}"


def _ended(outcome: Outcome) -> int:
    for cell, reason in outcome.failed.items():
        print(f"failed: {cell.name}: {reason}", file=sys.stderr)
    if outcome.left:
        count = len(outcome.left)
        what = "1 cell is" if count == 1 else f"{count} cells are"
        more = f"{what} not finished; start the same command again to go on"
        print(more, file=sys.stderr)
    if outcome.interrupted:
        return 130
    return 1 if outcome.failed else 0


@command.command("check")
@click.argument("board")
@click.argument("files", nargs=-1, type=PATH)
@json_option
def check_command(board: str, files: tuple[Path, ...], as_json: bool) -> None:
    """Check all records of BOARD, or record FILES that are to be added."""
    from colaflex.leaderboard.board import Board
    from colaflex.leaderboard.records import check_records, load_records
    from colaflex.leaderboard.trials import load_winners

    definition = Board.load(board)
    load_winners(definition)  # refused where a trial is not one of the board as it is
    records = check_records(definition, files) if files else load_records(definition)
    if as_json:
        print_json([{"file": record.file_name, "digest": record.digest} for record in records])
        return
    print(f"{len(records)} records of {definition.board}, all valid")


@command.command("add")
@click.argument("board")
@click.argument("files", nargs=-1, required=True, type=PATH)
@json_option
def add_command(board: str, files: tuple[Path, ...], as_json: bool) -> None:
    """Check record FILES and copy them to BOARD's results; all of them or none."""
    from colaflex.leaderboard.board import Board
    from colaflex.leaderboard.records import add_records

    paths = add_records(Board.load(board), files)
    if as_json:
        print_json([str(path) for path in paths])
        return
    for path in paths:
        print(path)


@command.command("index")
@click.argument("board")
@click.option("--out", type=PATH, help="Default BOARD.sqlite beside them.")
def index_command(board: str, out: Path | None) -> None:
    """Write BOARD's records into an SQLite file, to be queried; nothing here needs it."""
    from colaflex.leaderboard.board import Board
    from colaflex.leaderboard.index import write_index

    print(write_index(Board.load(board), out))
