from __future__ import annotations

import math
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser

import made_up_studies as made_up
import pytest

from colaflex.studies.explanation.explanation import Interval
from colaflex.studies.page.report import build_page
from colaflex.studies.summary import SpaceRow, StudySummary, from_json, to_json

VOID = {"meta", "br", "wbr"}
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "p", "h1", "h2", "h3"),
    *("dl", "div", "dt", "dd", "bdi", "nav", "a", "section", "b", "i", "ul", "li", "table"),
    *("thead", "tbody", "tr", "th", "td", "span", "wbr", "figure", "figcaption", "details"),
    *("summary", "code", "svg", "g", "defs", "path", "use", "text", "clippath", "rect", "tspan"),
}
"""All elements that a page may hold; whatever else is there came out of a name."""
ADDRESSES = {"href", "src", "action", "xlink:href", "data", "srcdoc"}


class Page(HTMLParser):
    """A page taken apart: elements with their attributes, text outside style."""

    def __init__(self, summary: StudySummary) -> None:
        super().__init__(convert_charrefs=True)
        self.html = build_page(summary)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(self.html)
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
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    @property
    def figures(self) -> list[str]:
        return [a["aria-label"] for tag, a in self.elements if tag == "svg"]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(made_up.ridge())


MADE_UP = ["ridge", "empty", "few", "none_complete", "two_goals", "unknown", "hostile"]


@pytest.mark.parametrize("name", MADE_UP)
def test_every_page_is_whole_alone_and_without_numbers_that_are_none(name: str) -> None:
    page = Page(getattr(made_up, name)())
    assert page.open == []
    assert {tag for tag, _ in page.elements} <= TAGS
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        assert not any(each.startswith("on") for each in attributes)
        for address in ADDRESSES & set(attributes):
            assert attributes[address][1:] in ids and attributes[address][0] == "#"
    assert "default-src 'none'" in page.html and "<script" not in page.html
    assert not re.search(r"\b(nan|inf|None)\b", page.words)
    assert not re.search(r'[ ",]-?(nan|inf)[ ",]', page.html)


def test_hostile_text_stays_text() -> None:
    page = Page(made_up.hostile())
    assert "<script>alert(1)</script>" in page.words and "55433" not in page.html
    assert "{{ 7919 * 7 }}" in page.words and "\x00" not in page.html
    assert sum(tag == "style" for tag, _ in page.elements) == 1


def test_a_reader_finds_the_answers_in_words(page: Page) -> None:
    for text in (
        *("Four knobs of worlds", "The best configuration found: latent_dim", "On 5 fresh seeds"),
        *("95 % interval", "on validation", "the best of many is partly luck"),
        *("Against one_at_a_time: +", "Against paper: +", "no search", "specs/studies/worlds.yaml"),
        "Is the best loc a function of latent_dim? Found: the best loc rises with latent_dim",
        *("slope 0.47 [0.30, 0.65] per unit of ln latent_dim", "The interval covers the law's ½."),
        *("Is the best loc a function of log_snr? Not found", "latent_dim × loc (28 % [15, 39]"),
        *("the loss was not finite at step 120", "given up at step 2", "8, 16, 32, 64"),
    ):
        assert text in page.words, text


def test_every_question_has_its_figure(page: Page) -> None:
    assert page.figures[:5] == [
        "Coherent documents on fresh seeds",
        "Coherent documents by trial",
        "Best coherent documents so far, by training compute",
        "Importance of each setting",
        "Interaction of each pair",
    ]
    assert "Best loc by latent_dim" in page.figures and "latent_dim 64" in page.figures
    assert sum(" × " in title for title in page.figures) == 6
    assert page.figures[-1] == "Coherent documents against the training FLOPs of a trial"


def test_what_is_missing_is_said(page: Page) -> None:
    nothing, few = Page(made_up.empty()), Page(made_up.few())
    assert "No trial is complete, so there is no best configuration yet." in nothing.words
    assert nothing.figures == []
    assert "It has not been measured on fresh seeds" in few.words
    assert "dots alone: fewer than 10" in few.words
    ended = Page(made_up.none_complete()).words
    for text in ("out of memory", "running", "waiting", "No trial is complete."):
        assert text in ended, text
    lost = Page(made_up.unknown()).words
    assert "Whether the best loc depends on latent_dim could not be estimated." in lost
    assert "Not measured on fresh seeds: paper" in lost
    assert "Too few trials at each level." in lost


def test_two_objectives_have_a_front(page: Page) -> None:
    both = Page(made_up.two_goals())
    assert "Pareto front" in both.words and "Coherent documents against code length" in both.figures
    assert "rectified_flow" in both.words and "loc × prior" in both.figures
    assert "Pareto front" not in page.words


def test_the_same_summary_gives_the_same_bytes_also_from_its_file() -> None:
    summary = replace(made_up.two_goals(), explanation=made_up.explanation())
    first = build_page(summary)
    assert build_page(summary) == first
    assert build_page(from_json(to_json(summary))) == first


def test_without_matplotlib_the_tables_remain(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    bare = Page(made_up.ridge())
    assert bare.figures == [] and 'pip install "colaflex[plots]"' in bare.words
    assert "Best loc [95 % interval]" in bare.words and "28.0 [15.0, 39.0]" in bare.words
    assert bare.open == [] and len(page.figures) > 20


def test_lower_is_better_turns_the_words() -> None:
    known = made_up.ridge()
    goal = replace(known.goals[0], metric="generation.judge_nll", direction="lower")
    words = Page(replace(known, goals=(goal,), explanation=None)).words
    assert "worse (95 % interval" in words and "judge NLL" in words
    assert not math.isnan(known.arms["search"].flops)


def test_a_study_without_objectives_or_arms_is_still_a_page() -> None:
    page = Page(replace(made_up.ridge(), goals=(), fresh=()))
    assert page.open == [] and "All trials" in page.words and page.figures == []
    bare = Page(StudySummary("bare"))
    assert bare.open == [] and "No arm has begun." in bare.words


def test_logarithmic_ranges_and_categories_are_drawn() -> None:
    known = made_up.ridge()
    rate = "training.learning_rate"
    records = [
        replace(
            r,
            point={
                **r.point,
                rate: 10 ** (float(r.point[made_up.LOC]) - 4),
                "flag": r.number % 2 == 0,
            },
        )
        for r in known.arms["search"].records
    ]
    space = (
        SpaceRow(rate, low=1e-5, high=1e-1, log=True, base=1e-3),
        SpaceRow(made_up.LOC, low=-1.0, high=3.0),
        SpaceRow("flag", choices=(True, False), base=True),
    )
    drift = made_up.drift("flag", (0, 1), Interval(0.3, 0.1, 0.5), 0.01, None)
    levels = tuple(replace(o, label=t) for o, t in zip(drift.levels, ("on", "off"), strict=True))
    levels = tuple(
        replace(o, optimum=Interval(i + 0.5, i + 0.2, i + 0.8)) for i, o in enumerate(levels)
    )
    unknown = Interval(math.nan, math.nan, math.nan)
    told = replace(made_up.explanation(), drifts=(replace(drift, levels=levels, slope=unknown),))
    arms = {"search": made_up.arm(records, "gp")}
    page = Page(replace(known, arms=arms, space=space, explanation=told, law=None))
    assert "The best loc depends on flag" in page.words
    assert {"learning_rate × loc", "Best loc by flag", "flag off"} <= set(page.figures)
    assert "dots alone: no order to fit along" in page.words
    assert "0.00001 to 0.1, log scale" in page.words or "1e−05 to 0.1, log scale" in page.words
