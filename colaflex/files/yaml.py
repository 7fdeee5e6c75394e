"""YAML 1.2 in and out, behind this one module: every value keeps its place.

Reading builds plain nodes and nothing else: no tags, no merge keys, no duplicate keys, no
directives, and an alias may not blow a document up.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.representer import SafeRepresenter

from colaflex.files import reading
from colaflex.files.problems import KeyPath, Origin, Problem, SpecError, nearest
from colaflex.files.reading import MissingFile, resolved

__all__ = ["Node", "Scalar", "node_of", "read_file", "read_map", "read_text", "write_yaml"]

MAX_BYTES = 1 << 18
MAX_NODES = 20_000
MAX_DEPTH = 64
MAX_BRACKETS = 256  # open at once; the scanner's time is quadratic in them

Scalar = str | int | float | bool | None
PLAIN = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float")}
WORDS = {f"tag:yaml.org,2002:{name}" for name in ("str", "timestamp")}
BRACKETS = re.compile(r"[\[\]{}]")
DIRECTIVE = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\r?\n)*%")


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a document: a scalar, a list or a map of nodes, with its place.

    Attributes:
        value: scalar, list of nodes, or dict of nodes by key.
        origin: where the value stands.
        key: where its key stands; the same as `origin` in lists.
    """

    value: Scalar | list[Node] | dict[str, Node]
    origin: Origin
    key: Origin

    @property
    def entries(self) -> dict[str, Node]:
        """The entries of a map; empty for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def plain(self) -> Any:
        """The value as dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: node.plain for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain for node in self.value]
        return self.value

    def with_entries(self, entries: dict[str, Node]) -> Node:
        """The same place with other entries."""
        return replace(self, value=entries)

    def child(self, key: str | int) -> Node | None:
        """The entry or item of that name or index, or None."""
        if isinstance(self.value, dict):
            return self.value.get(str(key))
        if isinstance(self.value, list) and isinstance(key, int) and 0 <= key < len(self.value):
            return self.value[key]
        return None

    def entry(self, key: str) -> Node | None:
        """The entry of that name; None where there is none, or null."""
        child = self.child(key)
        return None if child is None or child.value is None else child

    def at(self, path: KeyPath) -> Node | None:
        """What stands at a key path below, or None."""
        node: Node | None = self
        for key in path:
            node = None if node is None else node.child(key)
        return node

    def problem(self, path: KeyPath, message: str, hint: str = "") -> Problem:
        """What is wrong with a value below, where it stands or what would hold it."""
        return Problem(self._along(path).origin, path, message, hint)

    def key_problem(self, path: KeyPath, message: str, hint: str = "") -> Problem:
        """What is wrong with a key below, where it stands."""
        return Problem(self._along(path).key, path, message, hint)

    def _along(self, path: KeyPath) -> Node:
        """The last node on the way along a key path."""
        node = self
        for key in path:
            child = node.child(key)
            if child is None:
                break
            node = child
        return node

    def leaves(self, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Node]]:
        """Every scalar and list with its key path."""
        if isinstance(self.value, dict):
            for key, node in self.value.items():
                yield from node.leaves((*path, key))
        else:
            yield path, self


def node_of(value: object, origin: Origin, path: KeyPath = ()) -> Node:
    """A node of plain values, all of one origin; raises SpecError for what YAML can't hold."""
    if isinstance(value, Node):
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise SpecError([Problem(origin, path, f"a key must be text, not {key!r}")])
        entries = {key: node_of(item, origin, (*path, key)) for key, item in value.items()}
        return Node(entries, origin, origin)
    if isinstance(value, list | tuple):
        items = [node_of(item, origin, (*path, index)) for index, item in enumerate(value)]
        return Node(items, origin, origin)
    if isinstance(value, Path):
        return Node(str(value), origin, origin)
    if value is None or isinstance(value, str | int | float):
        if isinstance(value, float) and not math.isfinite(value):
            raise SpecError([Problem(origin, path, f"expected a finite number, got {value}")])
        return Node(value, origin, origin)
    raise SpecError([Problem(origin, path, f"a spec can't hold a {type(value).__name__}")])


def read_file(path: Path) -> Node:
    """Read a YAML file; raises UserError when it can't be read, SpecError for what is in it."""
    try:
        text = reading.read_text(path, MAX_BYTES)
    except MissingFile as error:
        raise MissingFile(f"{error}{_neighbour(path)}") from None
    return read_text(text, Origin(str(path), directory=resolved(path).parent))


def read_map(path: Path, expected: str) -> Node:
    """Read a YAML file that holds a map.

    Args:
        path: the file.
        expected: what it has to hold, in words.

    Raises:
        UserError: as `read_file`; a SpecError where it holds something else.
    """
    node = read_file(path)
    if not isinstance(node.value, dict):
        content = "is empty" if node.value is None else "holds no map"
        raise SpecError([node.problem((), f"the file {content}; expected {expected}")])
    return node


def _neighbour(path: Path) -> str:
    folder = path.parent
    names = [entry.name for entry in folder.glob("*.y*ml")] if folder.is_dir() else []
    hint = nearest(path.name, names) if names else ""
    return f"; {hint}" if hint.startswith("did") else ""


def read_text(text: str, origin: Origin, path: KeyPath = ()) -> Node:
    """Read YAML text; places are kept where `origin` is a file (has a directory)."""
    if DIRECTIVE.match(text):
        raise SpecError([Problem(origin, path, "YAML directives (%...) are not read; remove it")])
    if _open_brackets(text) > MAX_BRACKETS:
        raise SpecError([Problem(origin, path, "nested too deeply")])
    yaml = YAML(typ="safe", pure=True)
    try:
        root = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = origin if mark is None else _place(origin, mark.line, mark.column)
        what = error.problem or error.context or "not YAML"
        raise SpecError([Problem(place, path, f"not valid YAML: {what.rstrip('.')}")]) from None
    except YAMLError as error:
        what = str(error).splitlines()[0]
        raise SpecError([Problem(origin, path, f"not valid YAML: {what}")]) from None
    except RecursionError:
        raise SpecError([Problem(origin, path, "nested too deeply")]) from None
    if root is None:
        return Node(None, origin, origin)
    reader = _Reader(yaml, origin)
    node = reader.read(root, path)
    if reader.problems:
        raise SpecError(reader.problems)
    return node


def _open_brackets(text: str) -> int:
    """The most brackets that are open at once, those in quoted text included."""
    most = count = 0
    for bracket in BRACKETS.findall(text):
        count += 1 if bracket in "[{" else -1
        most = max(most, count)
    return most


def _place(origin: Origin, line: int, column: int) -> Origin:
    if origin.directory is None:
        return origin
    return replace(origin, line=line + 1, column=column + 1)


class _Reader:
    """Turns composed nodes into ours, counting what aliases expand to."""

    def __init__(self, yaml: YAML, origin: Origin) -> None:
        self.yaml = yaml
        self.origin = origin
        self.count = 0
        self.problems: list[Problem] = []

    def read(self, node: Any, path: KeyPath, key: Origin | None = None) -> Node:
        place = _place(self.origin, node.start_mark.line, node.start_mark.column)
        self.count += 1
        if self.count > MAX_NODES or len(path) > MAX_DEPTH:
            what = f"{MAX_NODES} values" if self.count > MAX_NODES else f"{MAX_DEPTH} levels"
            raise SpecError([Problem(place, path[:4], f"more than {what}, aliases expanded")])
        if isinstance(node, MappingNode) and str(node.tag).endswith(":map"):
            return Node(self._entries(node, path), place, key or place)
        if isinstance(node, SequenceNode) and str(node.tag).endswith(":seq"):
            items = [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
            return Node(items, place, key or place)
        return Node(self._scalar(node, place, path), place, key or place)

    def _entries(self, node: Any, path: KeyPath) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for key_node, value_node in node.value:
            place = _place(self.origin, key_node.start_mark.line, key_node.start_mark.column)
            if not isinstance(key_node, ScalarNode) or key_node.tag not in WORDS:
                what = "use `extends`" if str(key_node.value) == "<<" else "put it in quotes"
                self.problems.append(Problem(place, path, "a key must be plain text", what))
                continue
            name = self._text(key_node, place, path)
            child = self.read(value_node, (*path, name), place)
            if name in entries:
                first = entries[name].key.line
                where = f"line {first}" if first is not None else "before"
                message = f"duplicate key; it stands already at {where}"
                self.problems.append(Problem(place, (*path, name), message, "remove one"))
                continue
            entries[name] = child
        return entries

    def _text(self, node: Any, place: Origin, path: KeyPath) -> str:
        """As written, but for characters that JSON escapes as two halves: those are joined."""
        text = str(node.value)
        try:
            return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError:
            half = next(c for c in text if "\ud800" <= c <= "\udfff")
            message = f"text holds half of a character, \\u{ord(half):x}, without its other half"
            self.problems.append(Problem(place, path, message, "write the character itself"))
            return ""

    def _scalar(self, node: Any, place: Origin, path: KeyPath) -> Scalar:
        if node.tag in WORDS:
            return self._text(node, place, path)
        if node.tag not in PLAIN or not isinstance(node, ScalarNode):
            tag = str(node.tag).replace("tag:yaml.org,2002:", "!!")
            self.problems.append(Problem(place, path, f"the tag {tag} is not read", "remove it"))
            return None
        kind = str(node.tag).rpartition(":")[2]
        try:
            value: Scalar = self.yaml.constructor.construct_object(node)
        except (ValueError, YAMLError):
            value = math.nan
        except (LookupError, TypeError):  # say !!bool 7
            message = f"{str(node.value)[:40]!r} is no {kind} of YAML"
            self.problems.append(Problem(place, path, message, "remove the tag, or quote it"))
            return None
        if isinstance(value, float) and not math.isfinite(value):
            message = f"expected a finite number, got {str(node.value)[:40]}"
            self.problems.append(Problem(place, path, message))
            return None
        return value


class _Representer(SafeRepresenter):
    """Maps as blocks, lists of scalars on one line."""

    def represent_sequence(self, tag: Any, sequence: Any, flow_style: Any = None) -> Any:
        flat = not any(isinstance(item, dict | list) for item in sequence)
        return super().represent_sequence(tag, sequence, flow_style=flat)

    def represent_scalar(self, tag: Any, value: Any, style: Any = None, anchor: Any = None) -> Any:
        # Written plain, a text that begins with a question mark is read as a key within a list.
        if style is None and isinstance(value, str) and value.startswith("?"):
            style = "'"
        return super().represent_scalar(tag, value, style, anchor)


def write_yaml(data: Mapping[str, Any]) -> str:
    """Plain data as YAML 1.2, keys in the order given."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.allow_unicode = True
    yaml.width = 100
    stream = io.StringIO()
    yaml.dump(data, stream)
    return stream.getvalue()
