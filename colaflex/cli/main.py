"""The entry of the command line: the table of commands, and what a failure looks like."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from colaflex.cli.lazy import LazyCommand, LazyGroup
from colaflex.runtime.failures import report_failure
from colaflex.runtime.terminal import guarded
from colaflex.training.interrupts import stopped_by_signals

__all__ = ["main"]

COMMANDS = {
    "run": LazyCommand(
        "colaflex.cli.run_command", "Train, generate, evaluate and report as a spec says."
    ),
    "generate": LazyCommand("colaflex.cli.generate_command", "Continue prompts with a model."),
    "evaluate": LazyCommand("colaflex.cli.evaluate_command", "Measure a finished run."),
    "score": LazyCommand("colaflex.cli.score_command", "Score stored generations of a task."),
    "compare": LazyCommand(
        "colaflex.cli.compare_command", "Show what differs between runs, in spec and metrics."
    ),
    "bench": LazyCommand(
        "colaflex.cli.bench_command", "Train and measure the models of a board on equal terms."
    ),
    "leaderboard": LazyCommand(
        "colaflex.cli.leaderboard_command", "Show who stands where on a board, and write its page."
    ),
    "study": LazyCommand(
        "colaflex.cli.study_command", "Search settings that go together, and explain the result."
    ),
    "plugins": LazyCommand(
        "colaflex.cli.plugins_command", "List components and the packages they come from."
    ),
    "init": LazyCommand("colaflex.cli.init_command", "Write a commented starter spec."),
    "spec": LazyCommand("colaflex.cli.spec_command", "Show, validate or compare specs."),
    "verify": LazyCommand(
        "colaflex.cli.verify_command", "Check that what a result depends on is as it was written."
    ),
    "doctor": LazyCommand(
        "colaflex.cli.doctor_command", "Check this machine and this installation."
    ),
}


def _print_version(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    del option
    if wanted and not context.resilient_parsing:
        import colaflex

        print(f"colaflex {colaflex.__version__}")
        context.exit()


@click.group(
    cls=LazyGroup, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def _cli() -> None:
    """Continuous-latent language models from interchangeable parts."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code.

    0: done; 1: it failed while running; 2: the request was wrong; 130: interrupted. A mistake of
    the user's, and what the machine lacks, is one message on stderr; what else is raised is a
    defect and shows its traceback.
    """
    with guarded(), stopped_by_signals():
        return _ending(None if arguments is None else list(arguments))


def _ending(arguments: list[str] | None) -> int:
    try:
        code = _cli.main(arguments, prog_name="colaflex", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show(sys.stderr)
        return 2
    except (click.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1
    except Exception as error:
        return report_failure(error)
    return code if isinstance(code, int) else 0
