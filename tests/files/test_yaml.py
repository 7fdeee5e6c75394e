from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from colaflex.errors import UserError
from colaflex.files.problems import Origin, SpecError
from colaflex.files.yaml import MAX_BYTES, node_of, read_file, read_map, read_text, write_yaml

FILE = Origin("f.yaml", directory=Path())

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)
)
KEYS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
DATA = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
        max_leaves=8,
    ),
    max_size=3,
)


@settings(deadline=None)
@given(DATA)
@example({"0": ["??", "?>", "?;", "?0", "? a", "?"]})
def test_what_is_written_is_read_back(data: Any):
    back = read_text(write_yaml(data), FILE).plain
    assert back == data
    assert repr(back) == repr(data)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 1e5),
        ("no", "no"),
        ("NO", "NO"),
        ("on", "on"),
        ("yes", "yes"),
        ("true", True),
        ("12:30", "12:30"),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("2024-01-01", "2024-01-01"),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ("!!str 1", "1"),
    ],
)
def test_scalars_are_yaml_1_2(text: str, value: Any):
    found = read_text(f"a: {text}", FILE).plain["a"]
    assert found == value
    assert type(found) is type(value)


def test_every_value_and_key_has_its_place():
    node = read_text("a: 1\nb:\n  - x\n  - {c:   true}\n", FILE)
    item = node.child("b").child(1).child("c")
    assert item.origin.place == "f.yaml:4:11"
    assert item.key.place == "f.yaml:4:6"
    assert node.child("b").child(0).origin.place == "f.yaml:3:5"
    assert node.child("b").child(2) is None
    assert node.child("a").child("x") is None


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        ("a: [1, 2", "f.yaml:1:9", "expected ',' or ']'"),
        ("a: b: c", "f.yaml:1:5", "mapping values are not allowed"),
        ("\ta: 1", "f.yaml:1:1", "\\t"),
        ("a: 1\na: 2", "f.yaml:2:1", "duplicate key; it stands already at line 1"),
        ("x:\n  a: 1\n  b: 2\n  a: 3", "f.yaml:4:3", "x.a: duplicate key"),
        ("a: 1\n---\nb: 2", "f.yaml:2:1", "another document"),
        ("a: *x", "f.yaml:1:4", "undefined alias"),
        ("&a [*a]", "f.yaml:1:1", "64 levels"),
        ("a: \x01", "f.yaml", "unacceptable character"),
        ("%YAML 1.1\n---\na: no", "f.yaml", "directives"),
        ("# x\n\n%TAG ! x\n---\na: 1", "f.yaml", "directives"),
        ("[" * 5000, "f.yaml", "nested too deeply"),
        ("- " * 2000, "f.yaml", "nested too deeply"),
        ("- " * 90, "f.yaml:1:131", "more than 64 levels"),
        ("a: .inf", "f.yaml:1:4", "finite number, got .inf"),
        ("a: .nan", "f.yaml:1:4", "finite number"),
        ("a: 1e999", "f.yaml:1:4", "finite number"),
        ("a: !!int foo", "f.yaml:1:4", "finite number"),
        ("a: " + "9" * 5000, "f.yaml:1:4", "finite number"),
        ("a: !!python/object/apply:os.system [ls]", "f.yaml:1:4", "!!python/object/apply"),
        ("a: !!binary aGk=", "f.yaml:1:4", "tag !!binary"),
        ("a: !!set {x, y}", "f.yaml:1:4", "tag !!set"),
        ("<<: {a: 1}", "f.yaml:1:1", "use `extends`"),
        ("1: a", "f.yaml:1:1", "in quotes"),
        ("? [a]\n: 1", "f.yaml:1:3", "plain text"),
    ],
)
def test_what_is_refused_is_told_with_its_place(text: str, place: str, told: str):
    with pytest.raises(SpecError) as error:
        read_text(text, FILE)
    assert str(error.value).startswith(f"{place}: ")
    assert told in str(error.value)


def test_all_problems_of_a_file_are_told_at_once():
    with pytest.raises(SpecError) as error:
        read_text("a: 1\na: 2\nb: .inf\nc: !x y\n", FILE)
    assert [p.origin.line for p in error.value.problems] == [2, 3, 4]


def test_aliases_are_read_but_may_not_explode():
    assert read_text("a: &x {y: 1}\nb: *x", FILE).plain == {"a": {"y": 1}, "b": {"y": 1}}
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
    )
    with pytest.raises(SpecError, match="more than 20000 values"):
        read_text(bomb, FILE)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"a: \xff", "spec.yaml:1: not UTF-8 (byte 0xff at offset 3)"),
        ("name: caf\u00e9\nx: \u00fc".encode("latin-1"), "spec.yaml:1: not UTF-8"),
        (b"a: 1\n" * MAX_BYTES, "bytes, at most"),
    ],
)
def test_files_that_are_no_specs(write: Callable[..., Path], raw: bytes, told: str):
    with pytest.raises(UserError) as error:
        read_file(write(raw))
    assert told in str(error.value)


def test_a_byte_order_mark_is_no_part_of_the_text(write: Callable[..., Path]):
    assert read_file(write(b"\xef\xbb\xbfa: 1")).plain == {"a": 1}


def test_a_missing_file_names_its_neighbour(write: Callable[..., Path], tmp_path: Path):
    path = write("a: 1", "quickstart.yaml")
    with pytest.raises(UserError, match=r"no such file; did you mean `quickstart\.yaml`\?"):
        read_file(path.with_name("quikstart.yaml"))
    with pytest.raises(UserError, match=r"no such file$"):
        read_file(tmp_path / "nowhere" / "a.yaml")
    with pytest.raises(UserError, match="this is a folder"):
        read_file(tmp_path)
    with pytest.raises(UserError, match="there is no such file"):
        read_file(path / "below.yaml")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": {1: 2}}, "a: a key must be text, not 1"),
        ({"a": [math.inf]}, "a.0: expected a finite number, got inf"),
        ({"a": object()}, "a: a spec can't hold a object"),
    ],
)
def test_data_that_a_spec_cannot_hold(value: Any, told: str):
    with pytest.raises(SpecError) as error:
        node_of(value, Origin("override"))
    assert str(error.value) == f"override: {told}"


def test_plain_data_becomes_nodes():
    node = node_of({"a": (1, Path("x")), "b": {}}, Origin("override"))
    assert node.plain == {"a": [1, "x"], "b": {}}
    assert node_of(node, Origin("other")) is node


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'name: "\ud83d\ude42"', {"name": "🙂"}),
        (r'{"name": "a \ud83d\ude42\uD83D\uDE42 b"}', {"name": "a 🙂🙂 b"}),
        (r'{"\ud83d\ude42": ["\ud834\udd1e", "\udbff\udfff"]}', {"🙂": ["𝄞", "\U0010ffff"]}),
        (r'name: "\U0001F642\u00e9\ud7ff\ue000"', {"name": "🙂é\ud7ff\ue000"}),
        (r"name: '\ud83d\ude42'", {"name": r"\ud83d\ude42"}),  # no escapes in single quotes
    ],
)
def test_halves_that_json_escapes_are_one_character(text: str, value: Any) -> None:
    assert read_text(text, FILE).plain == value


@pytest.mark.parametrize(
    ("text", "half"),
    [
        (r'name: "\ud83d"', "ud83d"),
        (r'name: "\ude42\ud83d"', "ude42"),
        (r'name: "\ud83d \ude42"', "ud83d"),
        (r'{"\udc00": 1}', "udc00"),
        (r'name: ["a", "x\udfffy"]', "udfff"),
    ],
)
def test_half_a_character_is_named_with_its_place(text: str, half: str) -> None:
    with pytest.raises(SpecError, match=rf"f.yaml:1:\d+.*half of a character, .{half}"):
        read_text(text, FILE)


def test_a_problem_stands_at_its_value_or_at_what_would_hold_it():
    node = read_text("a:\n  b: [1, 2]\n", Origin("file", directory=Path()))
    places = {
        ("a", "b", 1): "file:2:10: a.b.1: wrong",
        ("a", "c", "d"): "file:2:3: a.c.d: wrong",
        (): "file:1:1: wrong",
    }
    assert {path: str(node.problem(path, "wrong")) for path in places} == places
    assert str(node.key_problem(("a", "b"), "wrong", "mend it")) == "file:2:3: a.b: wrong; mend it"
    assert node.at(("a", "b", 0)) is not None and node.at(("a", "b", 2)) is None


@pytest.mark.parametrize(
    ("text", "held"), [("", "is empty"), ("# nothing\n", "is empty"), ("- a", "holds no map")]
)
def test_a_file_that_holds_no_map_is_refused(write: Callable[..., Path], text: str, held: str):
    path = write(text)
    with pytest.raises(SpecError, match=f"the file {held}; expected a map with a"):
        read_map(path, "a map with a")
