from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from colaflex.host.metadata import COMPONENTS, PluginSource, Selection, installed, normalised

OURS = PluginSource("colaflex", "0.1.0", "builtin", "colaflex.host.builtin")
OTHER = PluginSource("Colaflex_Foo", "1.0", "foo", "foo.hooks")


def test_names_compare_as_indexes_compare_them() -> None:
    assert normalised("Colaflex__Foo.bar") == "colaflex-foo-bar"


def test_ours_comes_first_and_others_in_order(site: Any) -> None:
    for name in ("b", "a"):
        site.add_plugin(name, "")
    sources = installed(COMPONENTS)
    assert [s.name for s in sources] == ["builtin", "a", "b"]
    assert sources[0].own and not sources[1].own


def test_the_first_installation_on_the_path_counts(
    site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add_plugin("a", "")
    second = type(site)(tmp_path / "second")
    second.path.mkdir()
    second.add("colaflex-a", {}, "[colaflex]\nother = a.hooks\n", version="2.0")
    monkeypatch.syspath_prepend(str(second.path))
    assert [(s.name, s.version) for s in installed(COMPONENTS) if not s.own] == [("other", "2.0")]


def test_a_malformed_file_hurts_only_its_distribution(site: Any) -> None:
    site.add("broken", {}, "[colaflex]\nthis line has no equals sign\n")
    site.add_plugin("sound", "")
    by_name = {s.distribution: s for s in installed(COMPONENTS)}
    assert "entry_points.txt can't be read" in (by_name["broken"].problem or "")
    assert by_name["colaflex-sound"].problem is None


def test_an_empty_group_and_a_binary_file_name_nothing(site: Any) -> None:
    site.add("empty", {}, "[colaflex]\n")
    site.add("binary", {}, "")
    (site.path / "binary-1.0.dist-info" / "entry_points.txt").write_bytes(b"[colaflex]\n\xff\xfe=")
    assert [s.distribution for s in installed(COMPONENTS)] == ["colaflex"]


@pytest.mark.parametrize("text", [b"", b"Metadata-Version: 2.1\n", b"Name: \xff\n"])
def test_an_installation_without_metadata_is_named_after_its_package(
    site: Any, text: bytes
) -> None:
    site.add("colaflex-a", {}, "[colaflex]\nx = some_package.hooks:thing\n")
    file = site.path / "colaflex_a-1.0.dist-info" / "METADATA"
    file.unlink()
    if text:
        file.write_bytes(text)
    source = installed(COMPONENTS)[1]
    assert (source.distribution, source.version) == ("some_package", "unknown")


@pytest.mark.parametrize(
    ("environment", "refused"),
    [
        ({}, False),
        ({"COLAFLEX_PLUGINS": ""}, True),
        ({"COLAFLEX_PLUGINS": "bar, foo"}, False),
        ({"COLAFLEX_PLUGINS": "colaflex-foo"}, False),
        ({"COLAFLEX_PLUGINS": "bar"}, True),
        ({"COLAFLEX_DISABLE_PLUGINS": "foo"}, True),
        ({"COLAFLEX_DISABLE_PLUGINS": "colaflex.FOO"}, True),
        ({"COLAFLEX_DISABLE_PLUGINS": "foo", "COLAFLEX_PLUGINS": "foo"}, True),
        ({"COLAFLEX_DISABLE_PLUGINS": "builtin"}, False),
    ],
)
def test_selection(environment: Any, refused: Any) -> None:
    selection = Selection.from_environment(environment)
    assert (selection.refusal(OTHER) is not None) is refused
    assert selection.refusal(OURS) is None


@pytest.mark.parametrize(("value", "strict"), [("", False), ("0", False), ("1", True)])
def test_strict(value: Any, strict: Any) -> None:
    assert Selection.from_environment({"COLAFLEX_STRICT_PLUGINS": value}).strict is strict


def test_names_that_do_nothing_are_told() -> None:
    selection = Selection(frozenset({"foo"}), frozenset({"fooo", "builtin", "colaflex-foo"}))
    ours, unknown = selection.misnamed([OURS, OTHER])
    assert "'builtin' is part of colaflex" in ours
    assert "no plugin 'fooo' is installed; did you mean 'foo'?" in unknown
