"""The audit's page in a real browser, with no network: the three facts on the first screen, no error, and it prints."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright

from tests.audit.conftest import Audited
from tests.support import cast

CHROMIUM = os.environ.get("BRAKELINE_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
)  # fmt: skip
SCREEN = {"width": 1280, "height": 800}
pytestmark = pytest.mark.skipif(not Path(CHROMIUM).exists(), reason=f"no browser at {CHROMIUM}: install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def file(audited: Audited, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(audited.page, encoding="utf-8")
    return path


@pytest.fixture
def page(browser: Browser, file: Path) -> Iterator[Page]:
    """The page from the disk, on a screen of 1280 x 800, offline, with scripts off; it must complain of nothing."""
    context = browser.new_context(viewport=SCREEN, offline=True, java_script_enabled=False)  # type: ignore[arg-type]
    shown = context.new_page()
    asked: list[Request] = []
    said: list[str] = []
    shown.on("request", lambda request: asked.append(request))
    shown.on("console", lambda message: said.append(message.text))
    shown.on("pageerror", lambda error: said.append(str(error)))
    shown.goto(file.as_uri())
    yield shown
    context.close()
    assert [item.url for item in asked] == [file.as_uri()], "it asks for nothing but itself"
    assert said == []


def test_the_three_facts_are_on_the_first_screen_whole_and_apart(page: Page) -> None:
    boxes = []
    for name in ("accused", "unchecked", "fresh"):
        fact = page.locator(f"#fact-{name}")
        box = fact.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= SCREEN["width"]
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= SCREEN["height"]
        assert fact.is_visible()
        boxes.append(box)
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    assert boxes[1]["x"] + boxes[1]["width"] <= boxes[2]["x"]
    said = page.locator("#fact-accused").inner_text()
    assert cast.OTHER_SITE in said
    assert "REFERRAL" in said
    assert "training on under an order" in said
    assert "was not read" in page.locator("#fact-unchecked").inner_text()
    assert "2 of 4 logs agree" in page.locator("#fact-fresh").inner_text()


def test_the_facts_are_larger_than_what_explains_them_and_nothing_hangs_over(page: Page, browser: Browser) -> None:
    sizes = {
        selector: page.locator(selector).first.evaluate("item => parseFloat(getComputedStyle(item).fontSize)")
        for selector in ("h1", "#fact-accused h2", "#fact-accused li")
    }
    assert sizes["h1"] > sizes["#fact-accused h2"] > sizes["#fact-accused li"] >= 14
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_what_is_folded_opens_without_a_script(page: Page) -> None:
    folded = page.locator(".finding details").first
    assert not folded.locator("table").is_visible()
    folded.locator("summary").click()
    assert folded.locator("table").is_visible()


def test_text_stands_out_from_its_ground(page: Page) -> None:
    """WCAG AA: 4.5 to 1 for every piece of text that the style sheet colours."""
    for selector in ("body", ".soft", "#fact-accused h2", "#fact-unchecked h2", ".tag.referral", "nav a", "summary"):
        colour = page.locator(selector).first.evaluate("item => getComputedStyle(item).color")
        assert contrast(colour, "rgb(245, 245, 243)") >= 4.5, selector


def contrast(one: str, other: str) -> float:
    """Relative luminance by WCAG 2."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_it_prints_with_what_was_folded(page: Page, tmp_path: Path) -> None:
    page.emulate_media(media="print")
    assert page.locator(".finding details table").first.is_visible()
    assert not page.locator("nav").is_visible()
    pdf = page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert pdf.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) >= 3
