"""The report, the tables page and the web page in headless Chromium: what only a browser can tell."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lmim_kedro.crops.sources.rendered import RenderedWords
from lmim_kedro.reporting.paper.ordering import compare_order
from lmim_kedro.reporting.paper.page import CLS_COLUMNS, FIGURES, render_tables
from lmim_kedro.reporting.paper.results import read_results
from lmim_kedro.reporting.paper.tables import build_tables
from lmim_kedro.reporting.sections import Report, render_page

playwright = pytest.importorskip("playwright.sync_api", reason="needs `pip install playwright`")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")

PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
HOME = "http://pages.test/"

# Text whose contrast with its ground is below WCAG's AA: 4.5, or 3 for large letters.
FAINT = """() => {
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const linear = share => share <= .03928 ? share / 12.92 : ((share + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => [r, g, b].map(v => linear(v / 255))
    .reduce((sum, v, place) => sum + v * [.2126, .7152, .0722][place], 0);
  const ground = element => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18] : [255, 255, 255];
  };
  const found = new Set(), walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.closest("script, style, option, dialog:not([open])")) continue;
    if (!element.checkVisibility()) continue;
    const style = getComputedStyle(element), size = parseFloat(style.fontSize);
    const [a, b] = [light(parse(style.color)), light(ground(element))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    const least = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    if (ratio < least) found.add(`${element.tagName}.${element.className} ${ratio.toFixed(2)}`);
  }
  return [...found];
}"""
UNNAMED = """() => [...document.querySelectorAll("img, button, select, input:not([type=hidden])")].filter(each =>
  each.checkVisibility() && !(each.alt || each.textContent.trim() || each.labels?.length || each.ariaLabel ||
  each.querySelector("img[alt]"))).map(each => each.outerHTML.slice(0, 80))"""
WIDTH = "() => document.documentElement.scrollWidth"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        # Chromium's own sandbox needs rights that a container does not have; only pages of this project are opened.
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=180_000)
        yield chromium
        chromium.close()


class Visit:
    """A page that is opened with given answers; everything else that it asks for, and its errors, are kept."""

    def __init__(self, browser: Any, answer: Any, size: dict[str, int], scheme: str = "light", **options: Any) -> None:
        self.faults: list[str] = []
        self.context = browser.new_context(viewport=size, color_scheme=scheme, **options)
        self.context.set_default_timeout(60_000)
        self.page = self.context.new_page()

        def route(asked: Any) -> None:
            found = answer(asked.request) if asked.request.url.startswith(HOME) else None
            if found is None:
                self.faults.append(f"asked for {asked.request.url}")
                asked.abort()
            else:
                asked.fulfill(**found)

        self.context.route("**/*", route)
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.faults.append(said.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.goto(HOME)

    def __enter__(self) -> Any:
        return self.page

    def __exit__(self, *_: object) -> None:
        self.context.close()
        assert self.faults == []


def only(html: str) -> Any:
    """Answers with one page and nothing else."""
    return lambda request: {"body": html, "content_type": "text/html"} if request.url == HOME else None


@pytest.fixture
def report(inputs: dict[str, Any], card: pd.DataFrame) -> str:
    known = {"date": "2026-11-27 05:06 UTC", "command": "kedro run --env=mini --params=variant=lmim,training.threads=1"}
    return render_page(Report(**inputs | {"facts": inputs["facts"] | known}, data_card=card))


def tables_page() -> str:
    def readings(share: float) -> pd.DataFrame:
        right = np.random.default_rng(0).permutation(400) < 400 * share
        keys = [f"{place:06d}" for place in range(400)]
        return pd.DataFrame({"benchmark": "rendered", "key": keys, "label": "word", "waics": right.astype(bool)})

    runs = {
        ("lmim", 0): lambda: readings(0.9),
        ("mim", 0): lambda: readings(0.6),
        ("mask_span", 0): lambda: readings(0.8),
    }
    results = read_results(runs, "mini", "waics", "original")
    tables = build_tables(results)
    pictures = {name: np.full((60, 900, 3), 255, np.uint8) for name in FIGURES}
    return render_tables(tables, compare_order(tables, results), pd.DataFrame(columns=CLS_COLUMNS), pictures, results)


def look(page: Any, size: dict[str, int], scheme: str) -> None:
    """What holds for every page, at every size, in both schemes."""
    assert page.evaluate(WIDTH) <= size["width"], "the page scrolls sideways"
    assert page.evaluate(FAINT) == []
    assert page.evaluate(UNNAMED) == []
    ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(ground) < 60) == (scheme == "dark")


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "dark"), (PHONE, "light"), (DESKTOP, "dark")])
def test_report_and_tables_can_be_read_on_every_screen(browser: Any, report: str, size: Any, scheme: str) -> None:
    with Visit(browser, only(report), size, scheme) as page:
        look(page, size, scheme)
        shown = page.evaluate("() => document.querySelector('.figures img').currentSrc")
        assert shown == page.evaluate(
            "dark => document.querySelector('.figures ' + (dark ? 'source' : 'img'))[dark ? 'srcset' : 'src']",
            scheme == "dark",
        )
    with Visit(browser, only(tables_page()), size, scheme) as page:
        look(page, size, scheme)


def test_wide_table_on_a_phone_says_that_it_scrolls_and_keeps_its_first_column(browser: Any, report: str) -> None:
    with Visit(browser, only(report), PHONE) as page:
        page.wait_for_selector(".wide.scrolls")
        places = page.evaluate(
            """() => [...document.querySelectorAll(".wide.scrolls")].map(wide => {
                wide.scrollLeft = 10000;
                const [first, last] = [":first-child", ":last-child"].map(end => wide.querySelector("th" + end));
                const [box, own, end] = [wide, first, last].map(each => each.getBoundingClientRect());
                return [getComputedStyle(wide, "::before").content, own.left - box.left, end.right - box.right];
            })"""
        )
        assert len(places) >= 3
        for hint, first, last in places:
            assert "Scrolls sideways" in hint and abs(first) <= 1 and abs(last) <= 1


def test_tables_are_sorted_readings_filtered_and_figures_enlarged(browser: Any, report: str) -> None:
    with Visit(browser, only(report), DESKTOP) as page:
        table = page.locator("#accuracy table").first

        def order() -> list[str]:
            return table.locator("tbody tr td:first-child").all_inner_texts()

        assert order() == ["svt", "rendered"]
        table.get_by_role("button", name="benchmark").click()
        assert order() == ["rendered", "svt"]
        table.get_by_role("button", name="crops").click()  # numbers: the largest first
        assert order() == ["svt", "rendered"]
        table.get_by_role("button", name="crops").click()
        assert order() == ["rendered", "svt"]
        assert table.locator("th[aria-sort=ascending]").inner_text().startswith("crops")

        cards, count = page.locator(".reading:visible"), page.locator("#filter output")
        every = cards.count()
        assert count.inner_text() == f"{every} of {every} readings"
        page.locator("select[name=kind]").select_option("right")
        assert 0 < cards.count() < every
        assert set(cards.evaluate_all("all => all.map(each => each.dataset.kind)")) == {"right"}
        assert page.locator("h3", has_text="Wrong").filter(visible=True).count() == 0
        page.locator("select[name=source]").select_option("svt")
        page.locator("select[name=length]").select_option("4-6")
        shown = cards.evaluate_all("all => all.map(each => [each.dataset.source, Number(each.dataset.length)])")
        assert shown and all(source == "svt" and 4 <= length <= 6 for source, length in shown)
        assert count.inner_text() == f"{len(shown)} of {every} readings"
        page.locator("#filter button").click()
        page.wait_for_function(
            "every => document.querySelectorAll('.reading:not([hidden])').length === every", arg=every
        )

        page.locator(".figures button.enlarge").first.click()
        large = page.locator("dialog[open] img")
        assert large.bounding_box()["width"] > 2 * page.locator(".figures img").first.bounding_box()["width"]
        page.keyboard.press("Escape")
        assert page.locator("dialog[open]").count() == 0


def test_everything_is_there_without_the_script(browser: Any, report: str) -> None:
    with Visit(browser, only(report), PHONE, java_script_enabled=False) as page:
        assert page.locator(".reading:visible").count() == report.count('<article class="reading"')
        assert page.locator("#filter:visible").count() == 0
        assert page.locator(".figures img:visible").count() == report.count('<img class="drawn"')


@pytest.fixture(scope="module")
def answer() -> Any:
    """Answers of the web page's server, with the ready reader."""
    pytest.importorskip("fastapi")
    from starlette.testclient import TestClient

    from lmim_kedro.reading.about import about_recognizer
    from lmim_kedro.reading.onnx_reader import OnnxReader
    from lmim_kedro.reading.web import create_app

    client = TestClient(create_app(OnnxReader(threads=1), about_recognizer(None)), "http://localhost")

    def respond(request: Any) -> dict[str, Any]:
        body = request.post_data_buffer
        found = client.request(request.method, "/" + request.url.removeprefix(HOME), content=body)
        return {"status": found.status_code, "headers": dict(found.headers), "body": found.content}

    return respond


def image(name: str, data: bytes) -> dict[str, Any]:
    return {"name": name, "mimeType": "image/jpeg", "buffer": data}


def test_word_is_seen_on_a_phone_without_scrolling_and_the_page_says_who_reads(browser: Any, answer: Any) -> None:
    with Visit(browser, answer, PHONE, "dark", has_touch=True) as page:
        page.wait_for_selector("#about b")
        assert "the ready reader, which reads" in page.locator("#about").inner_text()
        page.wait_for_function("() => [...document.images].every(each => each.complete && each.naturalWidth)")
        assert page.locator("#examples img").count() == 8
        assert page.locator("label.camera").is_visible()
        page.locator("#examples button").nth(1).click()
        word = page.locator("#list li:first-child .word")
        word.wait_for()
        box = word.bounding_box()
        assert box["y"] + box["height"] < PHONE["height"] and page.evaluate("() => scrollY") == 0
        look(page, PHONE, "dark")


def test_what_could_not_be_read_is_not_counted_as_read(browser: Any, answer: Any, tmp_path: Path) -> None:
    words = [RenderedWords(2, seed=7, styles={"easy": {"share": 1.0}}).render(number)[1] for number in range(2)]
    with Visit(browser, answer, DESKTOP) as page:
        page.set_input_files(
            "#files", [image("a.jpg", words[0]), image('b, "c".jpg', b"none"), image("d.jpg", words[1])]
        )
        page.get_by_text("2 read, 1 could not be read").wait_for()
        look(page, DESKTOP, "light")
        with page.expect_download() as download:
            page.get_by_role("button", name="CSV").click()
        download.value.save_as(tmp_path / "readings.csv")
        table = pd.read_csv(tmp_path / "readings.csv", keep_default_na=False)
        assert table["file"].tolist() == ["a.jpg", 'b, "c".jpg', "d.jpg"]
        assert table["error"].tolist() == ["", "undecodable", ""]
        texts = ["".join(cell.locator(".character").all_inner_texts()) for cell in page.locator("#list .text").all()]
        assert [text.replace("\n", "").strip() for text in texts] == [*table["text"][:1], "", *table["text"][2:]]
        page.get_by_role("button", name="Cut a word out of a.jpg").click()
        page.get_by_role("button", name="Read it").click()
        page.get_by_text("3 read, 1 could not be read").wait_for()
        page.get_by_role("button", name="Clear").click()
        assert page.locator("#list li").count() == 0 and not page.locator("#tools").is_visible()
