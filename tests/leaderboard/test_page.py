from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from colaflex.leaderboard.page import build_page
from colaflex.leaderboard.record import Record
from colaflex.leaderboard.standings import stand

VOID = {"meta", "link", "br", "img", "input", "wbr", "hr"}
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "p", "h1", "h2", "h3"),
    *("dl", "div", "dt", "dd", "bdi", "nav", "a", "section", "label", "select", "option", "button"),
    *("output", "b", "table", "thead", "tbody", "tr", "th", "td", "span", "wbr", "br", "figure"),
    *("figcaption", "caption", "details", "summary", "blockquote", "pre", "code", "script"),
    *("svg", "g", "defs", "path", "use", "text", "line", "clipPath", "clippath", "rect"),
}
"""All elements that a page may hold; whatever else is there came out of a record."""
ADDRESSES = {"href", "src", "action", "formaction", "xlink:href", "poster", "data", "srcdoc"}


class Page(HTMLParser):
    """A page taken apart: elements with their attributes, ids, text outside style and script."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.script = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, (tag, self.open[-3:])
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.script += data
        elif self.open and self.open[-1] != "style":
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(make_bench: Any) -> Page:
    return Page(build_page(make_bench().stand()))


def test_the_page_is_whole_and_of_known_elements(page: Page) -> None:
    assert page.open == []
    assert {tag for tag, _ in page.elements} <= TAGS
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for link in page.all("a"):
        assert link["href"].startswith("#") and link["href"][1:] in ids


def test_nothing_comes_from_elsewhere_and_one_script_runs(page: Page) -> None:
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        for name in ADDRESSES & set(attributes):
            assert attributes[name].startswith("#"), attributes
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none'")
    digest = base64.b64encode(hashlib.sha256(page.script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy and len(page.all("script")) == 1
    assert "http" not in page.script and "innerHTML" not in page.script


def test_what_a_reader_wants_is_in_the_text_itself(page: Page) -> None:
    words = page.words
    for text in (
        *("Stories of a known grammar", "1,000,000 ± 2 %", "0, 1, 2", "da7a" * 3, "300 tokens"),
        *("Real text", "Decoder on encoder latents", "Trigram sampler", "schedule.loc of 0, 1"),
        *("=2", "Pair by pair", "Speed at equal quality", "not reached", "Budget small"),
        *("The fox lives by the river.", "latent_dim: 4", "sequences with masks", "torch 2.13.0"),
    ):
        assert text in words, text
    assert len([d for d in page.all("details") if d.get("class") == "row"]) == 12


def test_figures_are_drawn_with_all_ranked_rows(page: Page) -> None:
    titles = [a["aria-label"] for a in page.all("svg") if "aria-label" in a]
    assert titles == [
        "coherent documents against training compute",
        "coherent documents against speed of generation",
        "coherent documents against unigram entropy",
        "coherent documents over training compute",
    ]


def test_every_line_carries_its_parts_for_the_filters(page: Page) -> None:
    lines = [a for a in page.all("tr") if "data-filters" in a]
    assert len(lines) == 12
    assert '"prior": "flow_matching"' in " ".join(line["data-filters"] for line in lines)
    names = [select["name"] for select in page.all("select")]
    assert names == ["prior", "representation", "segmenter", "baseline", "family", "budget"]


def test_the_same_records_give_the_same_page(make_bench: Any) -> None:
    bench = make_bench().keep(budget="small")
    first = build_page(bench.stand())
    bench.records.reverse()
    assert build_page(bench.stand()) == first


def _without_sweeps(record: dict[str, Any]) -> None:
    for name in list(record["metrics"]):
        if "at_" in name or "speed." in name:
            del record["metrics"][name]


def test_sections_without_data_are_left_out(make_bench: Any) -> None:
    bench = make_bench().keep(budget="small").change(_without_sweeps)
    bench.change(lambda r: r.update(samples=[], place=None, environment={}))
    page = Page(build_page(bench.stand()))
    ids = {attributes.get("id") for _, attributes in page.elements}
    assert {"standings", "pairs", "compute", "method", "rows"} <= ids
    assert not ids & {"diversity", "scaling"}
    assert "Speed at equal quality" not in page.words and "Samples" not in page.words


def test_a_board_with_nothing_ranked_still_makes_a_page(make_bench: Any) -> None:
    bench = make_bench().keep(budget="small", row="flow_matching")
    bench.change(lambda r: r["matched"].update(ok=False))
    page = Page(build_page(bench.stand()))
    assert "not ranked: not matched, by its own record" in page.words


HARMFUL = re.compile(r"<script>alert|<img|<svg onload|</style><style>", re.IGNORECASE)


def test_hostile_text_stays_text(hostile: Any) -> None:
    text = build_page(hostile.stand())
    page = Page(text)
    assert page.open == []
    assert {tag for tag, _ in page.elements} <= TAGS
    assert not HARMFUL.search(text)
    assert len(page.all("script")) == 1 and len(page.all("style")) == 1
    assert "{{ 7919 * 7 }}" in page.words and "55433" not in text
    for _, attributes in page.elements:
        assert not any(name.startswith("on") or name == "autofocus" for name in attributes)
        assert all(attributes[name].startswith("#") for name in ADDRESSES & set(attributes))
    # And nothing of it is lost.
    assert "<script>alert(1)</script>" in page.words and "javascript:alert(5)" in page.words


def test_the_record_of_a_run_makes_a_page(small_board: Any, small_record: Any) -> None:
    items = {"generation.valid_sentences": {"values": [1.0, 0.0, 1.0, 2.0], "weights": [4.0] * 4}}
    standings = stand(
        small_board, [Record.model_validate({**small_record.as_json(), "items": items})]
    )
    row = standings.rows[0]
    assert (row.rank, row.missing, row.reason) == (1, (1,), "")
    page = Page(build_page(standings))
    assert page.open == [] and {tag for tag, _ in page.elements} <= TAGS
    assert "lacks seed 1" in page.words and "Real text" in page.words
    assert small_record.samples[0].text.split()[0] in page.words
