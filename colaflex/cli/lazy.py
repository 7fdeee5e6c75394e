"""Command groups that import a command when it is called, and know the nearest name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from colaflex.cli.common import no_plugin_option
from colaflex.errors import UserError
from colaflex.hints import hint
from colaflex.host.metadata import (
    COMMANDS,
    PluginSource,
    Selection,
    installed,
    normalised,
    spare_libraries,
)

__all__ = ["Group", "LazyCommand", "LazyGroup"]


class Group(click.Group):
    """A group that answers an unknown command with the nearest one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments begin with."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            names = self.list_commands(ctx)
            ctx.fail(f"No such command {name!r}{hint(name, names, 'commands')}")
        return super().resolve_command(ctx, args)


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """A command that is not imported yet.

    Attributes:
        module: holds it as `command`.
        help: one line, shown without importing the module.
    """

    module: str
    help: str


class LazyGroup(Group):
    """Our commands from a table, plugins' commands from their metadata."""

    def __init__(self, *args: Any, table: Mapping[str, LazyCommand], **options: Any) -> None:
        super().__init__(*args, **options)
        self._table = table
        self.params.append(no_plugin_option())

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Ours in the order of the table, then the plugins'."""
        return [*self._table, *_foreign(self._table)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; raises UserError where a plugin's fails to load."""
        spare_libraries()
        if cmd_name in self._table:
            module = importlib.import_module(self._table[cmd_name].module)
            command: click.Command = module.command
            _accept_no_plugin(command)
            return command
        foreign = _foreign(self._table)
        if cmd_name in foreign:
            return _load(foreign[cmd_name])
        rivals = [spelling for spelling in foreign if spelling.endswith(f":{cmd_name}")]
        if rivals:
            raise UserError(f"the command {cmd_name!r} is ambiguous: write {' or '.join(rivals)}")
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, with no command imported."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self._table.items()])
        foreign = _foreign(self._table)
        if foreign:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(
                    [(n, f"From {s.distribution} {s.version}.") for n, s in foreign.items()]
                )


def _foreign(ours: Mapping[str, LazyCommand]) -> dict[str, PluginSource]:
    """Plugins' commands by spelling: the name where it is one's own, else distribution:name."""
    selection = Selection.from_environment()
    sources = [s for s in installed(COMMANDS) if not (s.problem or selection.refusal(s))]
    names = [source.name for source in sources]
    return {
        f"{normalised(s.distribution)}:{s.name}"
        if s.name in ours or names.count(s.name) > 1
        else s.name: s
        for s in sources
    }


def _load(source: PluginSource) -> click.Command:
    import traceback

    from colaflex.host.plugin import cause, stdout_to_stderr

    try:
        with stdout_to_stderr():
            command = source.load()
    except (Exception, SystemExit) as error:
        trace = traceback.format_exc() if Selection.from_environment().strict else ""
        raise UserError(
            f"the command of {source.place} fails to load: {cause(error)}\n{trace}".rstrip()
        ) from error
    if not isinstance(command, click.Command):
        raise UserError(f"{source.place} is {command!r}, expected a click command")
    return command


def _accept_no_plugin(command: click.Command) -> None:
    if not any(option.name == "no_plugin" for option in command.params):
        command.params.append(no_plugin_option(hidden=True))
    if isinstance(command, click.Group):
        for below in command.commands.values():
            _accept_no_plugin(below)
