"""The page as Chromium shows it; skipped where Chromium can't be had."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from colaflex.leaderboard.page import build_page

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    BROWSER is None or DRIVER is None,
    reason="Chromium is not installed (Debian: apt-get install chromium chromium-driver)",
)


class Browser:
    """A window with a page in it, and what the page asked for and complained of."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path, scripts: bool = True) -> Browser:
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not scripts})
        self.driver.get_log("performance")
        self.driver.get_log("browser")
        self.driver.get(path.as_uri())
        return self

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements("css selector", selector)

    def one(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def shown(self, selector: str = "tr.line") -> list[Any]:
        return [element for element in self.all(selector) if element.is_displayed()]

    def names(self, selector: str = "tr.line") -> list[str]:
        """Names of the rows that are shown, from top to bottom."""
        return [line.find_element("css selector", "th a").text for line in self.shown(selector)]

    def head(self, text: str) -> Any:
        heads = self.all("table.board thead th[data-sorts]")
        return next(head for head in heads if head.text.startswith(text))

    def sort(self, text: str) -> str:
        """Click a column's head; returns what it then says of its order."""
        self.head(text).find_element("css selector", "button").click()
        return str(self.head(text).get_attribute("aria-sort"))

    def choose(self, name: str, value: str) -> None:
        options = self.all(f"select[name={name}] option")
        next(option for option in options if option.text == value).click()

    def requests(self) -> list[str]:
        messages = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        sent = [m for m in messages if m["method"] == "Network.requestWillBeSent"]
        return [m["params"]["request"]["url"] for m in sent]

    def overhang(self) -> int:
        """By how many pixels the page is wider than its window."""
        root = "document.documentElement"
        script = f"return {root}.scrollWidth - {root}.clientWidth"
        return int(self.driver.execute_script(script))

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    profile = tmp_path_factory.mktemp("chromium")
    for argument in (
        *("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "no-first-run"),
        *("disable-background-networking", "disable-component-update", "disable-extensions"),
        *("window-size=1400,1000", f"user-data-dir={profile}"),
    ):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    options.set_capability("unhandledPromptBehavior", "ignore")
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield Browser(driver)
    driver.quit()


@pytest.fixture(scope="module")
def page(make_bench: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    bench = make_bench()
    bench.change(lambda r: r["matched"].update(ok=False), row="consistency", budget="small")
    path = tmp_path_factory.mktemp("page") / "leaderboard.html"
    path.write_text(build_page(bench.stand()), "utf-8")
    return path


def test_it_opens_from_a_file_and_asks_for_nothing_else(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.driver.title == "Stories of a known grammar · colaflex leaderboard"
    assert len(browser.shown()) == 12
    assert browser.requests() == [page.as_uri()]
    assert browser.complaints() == []


def test_a_click_on_a_head_sorts_within_budgets(browser: Browser, page: Path) -> None:
    small, large = "tbody.models:nth-of-type(1) tr.line", "tbody.models:nth-of-type(2) tr.line"
    browser.open(page)
    by_rank = browser.names(small), browser.names(large)
    assert by_rank[0][0] == by_rank[1][0] == "masked_diffusion"
    assert by_rank[0][-1] == "consistency"  # it has no rank there
    assert browser.head("Rank").get_attribute("aria-sort") == "ascending"

    assert browser.sort("Row") == "ascending"
    assert browser.names(small) == sorted(by_rank[0]) and browser.names(large) == sorted(by_rank[1])
    assert browser.head("Rank").get_attribute("aria-sort") is None
    assert browser.sort("Row") == "descending"
    assert browser.names(large) == sorted(by_rank[1], reverse=True)

    assert browser.sort("coherent") == "descending"  # the better ones come first
    cells = browser.all(f"{large} td.main")
    values = [float(cell.get_attribute("data-sort")) for cell in cells]
    assert values == sorted(values, reverse=True)
    assert browser.sort("coherent") == "ascending"
    assert browser.names(large)[0] == "normalizing_flow"

    # Whatever the direction, rows without a value come last, and references stay at the end.
    assert browser.sort("Rank") == "ascending" and browser.names(small) == by_rank[0]
    assert browser.sort("Rank") == "descending" and browser.names(small)[-1] == "consistency"
    assert browser.all("table.board tbody")[-1].get_attribute("class") == "references"


def test_a_head_is_a_button_for_the_keyboard(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.head("Row").find_element("css selector", "button").send_keys("\ue007")  # Enter
    assert browser.head("Row").get_attribute("aria-sort") == "ascending"


def test_filters_show_the_rows_that_have_a_part(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.choose("family", "latent")
    assert len(browser.shown()) == 10 and "masked_diffusion" not in browser.names()
    browser.choose("budget", "large")
    browser.choose("prior", "rectified_flow")
    assert browser.names() == ["rectified_flow"]
    assert browser.one(".filters output").text == "1 of 12 rows"
    assert len(browser.shown("tr.budget")) == 1  # that of the other budget goes with its rows
    browser.choose("family", "baseline")
    assert browser.shown() == [] and browser.one(".filters output").text == "0 of 12 rows"
    assert browser.shown("tr.reference")
    browser.one(".filters .reset").click()
    assert len(browser.shown()) == 12 and browser.one(".filters output").text == ""
    browser.choose("baseline", "none")
    assert len(browser.shown()) == 10


def test_a_row_leads_to_its_spec_samples_and_numbers(browser: Browser, page: Path) -> None:
    browser.open(page)
    link = browser.one("tbody.models:nth-of-type(2) tr.line th a")
    anchor = link.get_attribute("href").rpartition("#")[2]
    details = browser.one(f"#{anchor}")
    assert details.get_attribute("open") is None
    link.click()
    browser.driver.execute_async_script("setTimeout(arguments[0], 100)")
    assert details.get_attribute("open") is not None
    top = "return arguments[0].getBoundingClientRect().top"
    assert -1 < browser.driver.execute_script(top, details) < 400
    assert "The fox lives by the river." in details.text
    spec = details.find_element("css selector", "details")
    assert not spec.find_element("css selector", "pre").is_displayed()
    spec.find_element("css selector", "summary").click()
    assert "type: colaflex:masked_diffusion" in spec.text
    # Following the same link again works after the row was closed.
    details.find_element("css selector", "summary").click()
    link.click()
    browser.driver.execute_async_script("setTimeout(arguments[0], 100)")
    assert details.get_attribute("open") is not None
    assert browser.complaints() == []


def test_a_link_to_a_row_from_elsewhere_opens_it(browser: Browser, page: Path) -> None:
    browser.open(page)
    anchor = browser.one("tr.line th a").get_attribute("href")
    browser.driver.get("about:blank")
    browser.driver.get(anchor)
    target = browser.one("#" + anchor.rpartition("#")[2])
    assert target.get_attribute("open") is not None


def test_without_scripts_all_of_it_can_be_read(browser: Browser, page: Path) -> None:
    browser.open(page, scripts=False)
    assert len(browser.shown()) == 12
    assert browser.shown("th button") == [] and browser.shown(".filters") == []
    text = browser.one("body").text
    for part in ("=2", "not ranked", "Real text", "Pair by pair", "How it is measured"):
        assert part in text
    assert len(browser.shown("figure svg")) == 4
    row = browser.one("details.row")
    row.find_element("css selector", "summary").click()
    assert "The fox lives by the river." in row.text


@pytest.mark.parametrize("width", [390, 768, 1400])
def test_the_page_is_no_wider_than_the_window(browser: Browser, page: Path, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        browser.open(page)
        assert browser.overhang() == 0
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("policy", [True, False], ids=["with its policy", "without a policy"])
def test_hostile_names_do_no_harm(
    browser: Browser, hostile: Any, tmp_path: Path, policy: bool
) -> None:
    from selenium.common.exceptions import NoAlertPresentException

    text = build_page(hostile.stand())
    if not policy:  # what is escaped needs none: nothing may depend on it
        text, found = re.subn(r"<meta http-equiv=[^\n]*\n", "", text)
        assert found == 1
    path = tmp_path / "hostile.html"
    path.write_text(text, "utf-8")
    browser.open(path)
    for details in browser.all("details.row"):
        browser.driver.execute_script("arguments[0].open = true", details)
    for select in browser.all("select"):
        for option in select.find_elements("css selector", "option"):
            option.click()
        browser.one(".filters .reset").click()
    for head in browser.all("table.board thead th button"):
        browser.driver.execute_script("arguments[0].click()", head)
    for link in browser.all("tr.line th a"):
        browser.driver.execute_script("arguments[0].click()", link)
    browser.driver.execute_async_script("setTimeout(arguments[0], 300)")
    with pytest.raises(NoAlertPresentException):
        browser.driver.switch_to.alert.accept()
    assert browser.all("img, iframe, object, embed, body script ~ script, svg[onload]") == []
    assert len(browser.all("script")) == len(browser.all("style")) == 1
    assert all(
        link.get_attribute("href").startswith(path.as_uri() + "#") for link in browser.all("a")
    )
    assert browser.requests() == [path.as_uri()]
    assert browser.complaints() == []
    # The other rows are where they were, and the name reads as it was written.
    assert len(browser.shown()) == 12
    assert any("<script>alert(1)</script>" in name for name in browser.names())
    assert browser.overhang() == 0
