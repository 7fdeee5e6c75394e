"""`colaflex spec`: show, validate, compare specs; the JSON Schema for editors."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

import click

from colaflex.cli.common import json_option, print_json
from colaflex.cli.lazy import Group

__all__ = ["command"]

set_option = click.option(
    "--set", "sets", multiple=True, metavar="K=V", help="Set one value; may be repeated."
)


@click.group("spec", cls=Group)
def command() -> None:
    """Show, validate or compare specs; print their JSON Schema."""


@command.command("show")
@click.argument("spec")
@set_option
@click.option("--origin", is_flag=True, help="Tell which file or option gave each value.")
@json_option
def show(spec: str, sets: tuple[str, ...], origin: bool, as_json: bool) -> None:
    """Print SPEC resolved: with what it extends, what is set, and all defaults."""
    from colaflex.spec import Spec

    loaded = Spec.load(spec, sets)
    _notes(loaded)
    if origin:
        rows = [(path, value, str(place)) for path, value, place in loaded.values()]
        if as_json:
            names = ("key", "value", "origin")
            print_json([dict(zip(names, row, strict=True)) for row in rows])
        else:
            _print_origins(rows)
    elif as_json:
        print_json(loaded.resolved())
    else:
        print(loaded.to_yaml(), end="")


@command.command("validate")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...")
@set_option
@json_option
def validate(specs: tuple[str, ...], sets: tuple[str, ...], as_json: bool) -> None:
    """Check each SPEC: every key, every value, every component, and whether they fit together."""
    from colaflex.spec import Spec

    rows = []
    for path in specs:
        loaded = Spec.load(path, sets)
        _notes(loaded)
        row = {"spec": path, "name": loaded.name, "digest": loaded.digest()}
        rows.append({**row, "warnings": loaded.warnings})
        if not as_json:
            print(f"{path}: valid, digest {loaded.digest()[:12]} without its data")
    if as_json:
        print_json(rows)


@command.command("diff")
@click.argument("left", metavar="A")
@click.argument("right", metavar="B")
@json_option
def diff(left: str, right: str, as_json: bool) -> None:
    """Print the values in which the specs A and B differ, defaults filled in."""
    from colaflex.spec import Spec

    differences = Spec.diff(Spec.load(left), Spec.load(right))
    if as_json:
        print_json([asdict(difference) for difference in differences])
        return
    for each in differences:
        print(f"{each.path}: {_value(each.left)} -> {_value(each.right)}")
    if not differences:
        print("no difference")


@command.command("schema")
def schema() -> None:
    """Print one JSON Schema for specs, over every installed component."""
    from colaflex.host.registry import registry
    from colaflex.spec.schema import json_schema

    print_json(json_schema(registry()))


def _notes(spec: Any) -> None:
    """Swaps and warnings, on stderr."""
    for swap in spec.swap_report:
        print(str(swap), file=sys.stderr)
    for warning in spec.warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _print_origins(rows: list[tuple[str, Any, str]]) -> None:
    lines = [(f"{path}: {_value(value)}", origin) for path, value, origin in rows]
    width = min(60, max(len(line) for line, _ in lines))
    for line, origin in lines:
        print(f"{line:<{width}}  # {origin}")


def _value(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
