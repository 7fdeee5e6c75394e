"""`colaflex plugins`: which components there are, where they come from, why one is missing."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from colaflex.cli.common import json_option, print_json, print_table
from colaflex.cli.lazy import Group
from colaflex.cli.new_plugin import command as new_command

if TYPE_CHECKING:
    from colaflex.host.plugin import Plugin
    from colaflex.interfaces.component import ComponentConfig

__all__ = ["command"]


@click.group("plugins", cls=Group, invoke_without_command=True)
@click.option("--why", metavar="NAME", help="Show why a plugin is not ready, with the traceback.")
@json_option
@click.pass_context
def command(context: click.Context, why: str | None, as_json: bool) -> None:
    """List components and the packages they come from; by default as `plugins list`."""
    if why is not None:
        if context.invoked_subcommand:
            context.fail("--why goes without a command")
        _explain(why, as_json)
    elif not context.invoked_subcommand:
        _list(None, as_json)


command.add_command(new_command)


@command.command("list")
@click.option("--kind", metavar="KIND", help="Only components of this kind.")
@json_option
def list_command(kind: str | None, as_json: bool) -> None:
    """List every component, and every plugin that is switched off or failed."""
    _list(kind, as_json)


@command.command("show")
@click.argument("kind")
@click.argument("name")
@json_option
def show_command(kind: str, name: str, as_json: bool) -> None:
    """Show one component: where it comes from, and its options; of a baseline, also its place."""
    from colaflex.host.registry import registry

    entry = registry().find(kind, name)
    config = registry().config_class(kind, name)
    component = entry.component
    about = {
        "kind": kind,
        "name": component.name,
        "target": component.target,
        "config": component.config,
        "summary": component.summary,
        "distribution": entry.distribution,
        "version": entry.version,
        "entry_point": entry.entry_point,
        "interface": component.interface,
        "component_version": component.version,
    }
    place = {"place": _place(config)} if kind == "baseline" else {}
    if as_json:
        print_json({**about, **place, "schema": config.model_json_schema()})
        return
    for key, value in {**about, **(place.get("place") or {})}.items():
        print(f"{key.replace('_', ' '):18}{_word(value)}")
    fields = {n: f for n, f in config.model_fields.items() if n != "type"}
    if fields:
        rows = [(n, *_field(f)) for n, f in fields.items()]
        print_table(("option", "default", "what it is"), rows)


@command.command("check")
@click.argument("target")
@click.argument("name", required=False)
@click.option("--all", "show_all", is_flag=True, help="Show checks that passed as well.")
@json_option
def check_command(target: str, name: str | None, show_all: bool, as_json: bool) -> int:
    """Run the conformance kit on package.module:Class, or on a KIND and NAME.

    Exit code 1 where a check fails.
    """
    from colaflex.testing import check

    results = check(target, name)
    failed = any(result.status == "failed" for result in results)
    if as_json:
        print_json([result.as_json() for result in results])
        return int(failed)
    shown = [r for r in results if show_all or r.status in ("failed", "expected_failure")]
    if shown:
        rows = [(r.component, r.name, r.status, r.message or r.reason) for r in shown]
        print_table(("component", "check", "status", "what"), rows)
    counts = Counter(result.status.replace("_", " ") for result in results)
    print(", ".join(f"{count} {status}" for status, count in sorted(counts.items())))
    return int(failed)


def _word(value: object) -> object:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def _place(config: type[ComponentConfig]) -> dict[str, Any] | None:
    """A baseline's place among models with its default options; None where it tells none."""
    from pydantic import ValidationError

    from colaflex.interfaces.configs import BaselineConfig

    try:
        options = config()
    except ValidationError:  # some options have no default
        return None
    place = options.capabilities().place if isinstance(options, BaselineConfig) else None
    return None if place is None else asdict(place)


def _field(field: Any) -> tuple[str, str]:
    default = (
        "required" if field.is_required() else str(field.get_default(call_default_factory=True))
    )
    return default, field.description or ""


def _list(kind: str | None, as_json: bool) -> None:
    from colaflex.errors import UserError
    from colaflex.hints import hint
    from colaflex.hooks import KINDS
    from colaflex.host.registry import registry

    if kind is not None and kind not in KINDS:
        raise UserError(f"unknown kind of component {kind!r}{hint(kind, KINDS, 'kinds')}")
    rows = [row for row in registry().rows() if kind in {None, row["kind"]}]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("kind", "name", "from", "status", "summary"),
        [
            (
                row["kind"] or "",
                row["name"] or f"({row['entry_point']})",
                f"{row['distribution']} {row['version']}",
                row["status"],
                row["reason"] or row["summary"] or "",
            )
            for row in rows
        ],
    )


def _explain(name: str, as_json: bool) -> None:
    from colaflex.errors import UserError
    from colaflex.hints import hint
    from colaflex.host.registry import registry

    plugins = [plugin for plugin in registry().plugins if plugin.source.answers_to(name)]
    if not plugins:
        names = {p.source.name for p in registry().plugins}
        names |= {p.source.distribution for p in registry().plugins}
        raise UserError(f"no plugin {name!r}{hint(name, names, 'installed')}")
    if as_json:
        print_json([_reason(plugin) for plugin in plugins])
        return
    for plugin in plugins:
        print(f"{plugin.source.place}: {plugin.status}")
        if plugin.reason:
            print(plugin.reason)
        if plugin.trace:
            print(f"\n{plugin.trace.rstrip()}")
        for fault in registry().faults(plugin):
            print(fault)


def _reason(plugin: Plugin) -> dict[str, str | list[str]]:
    from colaflex.host.registry import registry

    return {
        "distribution": plugin.source.distribution,
        "version": plugin.source.version,
        "entry_point": plugin.source.name,
        "status": plugin.status,
        "reason": plugin.reason,
        "traceback": plugin.trace,
        "faults": registry().faults(plugin),
    }
