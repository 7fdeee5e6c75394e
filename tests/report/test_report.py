from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from colaflex.errors import UserError
from colaflex.report import build_report, print_summary
from colaflex.report.page import sample_columns

VOID = {"meta", "br", "hr", "img", "link", "input"}
HOSTILE = [
    "<script>alert(1)</script>",
    "</details></table></style>",
    "\"onmouseover='x' <img src=x onerror=y>",
    "w" * 5000,
    "‮ẓ̷̢͆a̸ \u0000\u001b[31m \ud800 日本語 🦊",
    "$\\frac{1}{0}$ $x^2 {{ 7 * 7 }} {% raw %}",
    "&lt;&amp;",
    "",
]


class Page(HTMLParser):
    """Parses a page, insisting that every element is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def ids(self) -> list[str]:
        return [value for _, name, value in self.attributes if name == "id"]


def assert_harmless(page: Page) -> None:
    assert page.tags["script"] == 0
    assert page.tags.keys().isdisjoint({"img", "link", "iframe", "object", "form", "image"})
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("href", "src"):
            assert value.startswith("#")
        if name == "style":
            assert "url(" not in value.replace("url(#", "")
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.parametrize("worlds", [False, True])
def test_page_is_whole_and_self_contained(make_run: Callable[..., Path], worlds: bool) -> None:
    html = build_report(make_run(worlds=worlds, small=False))
    page = Page(html)
    assert_harmless(page)
    assert page.tags["svg"] > 25
    assert "http://" not in html and "https://" not in html
    references = re.findall(r"(?:url\(|href=\")#([^)\"]+)", html)
    assert references and set(references) <= set(page.ids)
    text = " ".join(page.text)
    for heading in ("First samples", "Reconstruction", "Sweeps", "Quality against diversity"):
        assert heading in text
    main = "64.4 %" if worlds else "3.61 nats/token"
    assert main in text


def test_figures_follow_the_page_colours(make_run: Callable[..., Path]) -> None:
    html = build_report(make_run())
    assert "#0a0b" not in html
    assert "var(--series-1)" in html
    figures = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert not any("#000000" in figure or "DejaVu" in figure for figure in figures)
    assert all(figure.count("aria-label") == 1 for figure in figures)


def test_report_is_a_pure_function_of_the_folder(make_run: Callable[..., Path]) -> None:
    run = make_run()
    before = sorted(run.iterdir())
    assert build_report(run) == build_report(run)
    assert sorted(run.iterdir()) == before


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_only_text(make_run: Callable[..., Path], text: str) -> None:
    def spoil(result: dict[str, Any]) -> None:
        result["metrics"] = {}
        result["name"] = result["status"] = result["spec_digest"] = text
        result["components"] = {text: text, "prior": {"name": text, "version": text}}
        result["parameters"] = {text: 3, "total": 3}
        result["training"]["stages"] = {text: {"steps": 1, text: True}}
        result["environment"] = {text: text, "nested": {text: [text]}}
        entry = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}
        for name in ("generation", "task", "geometry", "speed", "generation.at_steps.2", text):
            result["metrics"][f"{name}.{text}"] = entry
        result["metrics"][f"generation.at_steps.4.{text}"] = entry

    run = make_run(
        change=spoil,
        samples=[
            {"source": source, "prompt": text, "text": text, "finish": text, "settings": {text: 1}}
            for source in ("model", text)
        ],
        history=[
            {"stage": text, "step": step, "loss": 1.0, "terms": {text: 2.0 + step}, text: step}
            for step in range(4)
        ],
    )
    (run / "spec.yaml").write_bytes(f"name: {text}\xff".encode("utf-8", "surrogatepass"))
    html = build_report(run)
    html.encode()
    assert_harmless(Page(html))
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f]", html)
    stream = StringIO()
    print_summary(json.loads((run / "result.json").read_text()), stream)
    assert "\x1b" not in stream.getvalue() and "\x00" not in stream.getvalue()


def test_samples_are_the_first_ones_verbatim(make_run: Callable[..., Path]) -> None:
    texts = [f"sample <{index}>\n  indented & kept" for index in range(9)]
    samples = [{"source": "model", "prompt": "", "text": text} for text in texts]
    run = make_run(samples=samples, history=[])
    page = Page(build_report(run))
    shown = [text for text in page.text if text.startswith("sample <")]
    assert shown == texts[:4]
    assert "first 4 of 9" in " ".join(page.text)


def test_samples_stand_in_the_order_of_the_results() -> None:
    records = [
        {"source": source, "text": "x", "settings": {"steps": steps}}
        for source in ("unigram", "mystery", "real", "model")
        for steps in (2, 4)
    ]
    columns = sample_columns(records)
    assert [c.source for c in columns][:3] == ["model", "model", "real"]
    assert columns[-1].source == "mystery"
    assert [c.settings for c in columns[:2]] == ["steps 2", "steps 4"]


def test_long_and_empty_samples(make_run: Callable[..., Path]) -> None:
    run = make_run(
        samples=[{"source": "model", "text": "a" * 4000}, {"source": "model"}], history=[]
    )
    text = " ".join(Page(build_report(run)).text)
    assert "2500 more characters" in text
    assert "(empty)" in text


@pytest.mark.parametrize(
    "keep",
    [set(), {"name"}, {"name", "metrics"}, {"training"}, {"components"}],
)
def test_a_result_may_lack_anything(make_run: Callable[..., Path], keep: set[str]) -> None:
    def strip(result: dict[str, Any]) -> None:
        for key in set(result) - keep:
            del result[key]

    run = make_run(change=strip, samples=[], history=[])
    (run / "spec.yaml").unlink()
    assert_harmless(Page(build_report(run)))
    print_summary(json.loads((run / "result.json").read_text()), StringIO())


def test_numbers_that_are_none(make_run: Callable[..., Path]) -> None:
    def spoil(result: dict[str, Any]) -> None:
        metrics = result["metrics"]
        for index, entry in enumerate(metrics.values()):
            entry[("value", "low", "high", "n")[index % 4]] = None if index % 2 else "?"
        metrics["generation.odd"] = {"value": True, "low": 0, "high": 1, "n": 2}
        metrics["speed.bare"] = 3
        result["training"]["flops"] = None

    history = [
        {"stage": "prior", "step": step, "loss": None if step % 2 else "?", "lr": True}
        for step in range(6)
    ]
    page = Page(build_report(make_run(change=spoil, history=[*history, {}, {"step": "x"}])))
    assert_harmless(page)
    words = " ".join(page.text).split()
    assert {"nan", "None", "?", "True"}.isdisjoint(words)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_of_json_is_refused(make_run: Callable[..., Path], value: float) -> None:
    run = make_run(change=lambda result: result["metrics"].update(x={"value": value}))
    with pytest.raises(UserError, match=r"result\.json: not readable as JSON: -?(NaN|Infinity)"):
        build_report(run)


def test_torn_tail_is_left_out_and_a_broken_line_named(make_run: Callable[..., Path]) -> None:
    run = make_run(change=lambda result: result["metrics"].clear())
    path = run / "metrics.jsonl"
    whole = build_report(run)
    path.write_text(path.read_text() + '{"stage": "prior", "st')
    assert build_report(run) == whole
    path.write_text('{"stage": "a"}\nbroken\n{"stage": "b"}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 2"):
        build_report(run)


def test_no_result(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no result\.json"):
        build_report(tmp_path)
    (tmp_path / "result.json").write_text("[1]")
    with pytest.raises(UserError, match="JSON object"):
        build_report(tmp_path)
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(UserError, match="not readable as JSON"):
        build_report(tmp_path)


def test_without_matplotlib_and_without_torch(make_run: Callable[..., Path]) -> None:
    program = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from pathlib import Path\n"
        "from colaflex.report import build_report\n"
        "html = build_report(Path(sys.argv[1]))\n"
        "assert 'torch' not in sys.modules and 'rich' not in sys.modules\n"
        "sys.stdout.buffer.write(html.encode())\n"
    )
    command = [sys.executable, "-c", program, str(make_run())]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    page = Page(done.stdout.decode())
    assert_harmless(page)
    assert page.tags["svg"] == 0
    assert 'pip install "colaflex[plots]"' in " ".join(page.text)
    assert page.tags["table"] >= 8


def test_loss_terms_in_either_form(make_run: Callable[..., Path]) -> None:
    nested = [{"stage": "a", "step": i, "loss": i, "terms": {"kl": 2 * i}} for i in range(5)]
    dotted = [{"stage": "a", "step": i, "loss": i, "loss.kl": 2 * i} for i in range(5)]
    clear: dict[str, Any] = {"change": lambda result: result["metrics"].clear()}
    page = build_report(make_run(history=nested, **clear))
    assert page.count("<svg") == 2
    assert build_report(make_run(history=dotted, **clear)) == page


def test_calibrated_settings_are_shown(make_run: Callable[..., Path]) -> None:
    run = make_run(change=lambda result: result["metrics"].clear(), history=[])
    words = " ".join(" ".join(Page(build_report(run)).text).split())
    assert "latent dim 16 logSNR learned schedule loc 1 block 16" in words
    (run / "spec.yaml").write_text("representation: [1, }")
    assert "representation: [1, }" in build_report(run)


def test_long_training_stays_a_small_page(make_run: Callable[..., Path]) -> None:
    history = [
        {"stage": "prior", "step": step, "loss": 1 / (1 + step), "lr": 1e-3}
        for step in range(20_000)
    ]
    assert len(build_report(make_run(history=history))) < 1_500_000


def test_summary_shows_rows_with_intervals(make_run: Callable[..., Path]) -> None:
    stream = StringIO()
    run = make_run(worlds=True, small=False)
    print_summary(json.loads((run / "result.json").read_text()), stream)
    text = stream.getvalue()
    assert "worlds · complete · 5.86 M parameters · 6 min 11 s" in text
    assert re.search(r"Model\s+64\.4", text)
    assert re.search(r"reconstruction\.token_accuracy\s+99\.78 %\s+99\.74 – 99\.82", text)
    assert "\x1b" not in text
