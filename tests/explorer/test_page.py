"""The workbench as a page: what the server answers and refuses, and the page itself in a browser without a network.

The browser is Debian's Chromium, driven by Playwright; where it is not installed those tests are skipped.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from brakeline.explorer.answers.ask import answer_all
from brakeline.explorer.answers.forms import QUESTIONS, Column, Rule, Series
from brakeline.explorer.page import charts
from brakeline.explorer.page.app import FIRST_LOOK, MAX_BODY, application
from brakeline.explorer.page.desk import Design, Desk, plain, shown
from brakeline.explorer.page.report import write
from brakeline.explorer.scenario.load import ScenarioError
from brakeline.explorer.scenario.presets import PRESETS, preset
from brakeline.treaty.document import load_toml
from starlette.testclient import TestClient

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PRESET = "pause-3-of-5"
A = {"scenario": PRESET, "moves": {}}


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk([preset(PRESET), preset("eu-1e25")])


@pytest.fixture(scope="module")
def client(desk: Desk) -> TestClient:
    return TestClient(application(desk))


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# the server -----------------------------------------------------------------------------------------------------------


def test_an_answer_is_that_of_the_library(client: TestClient, desk: Desk) -> None:
    response = client.post("/api/answers", json={"question": "pause", "designs": [A]})
    last = lines(response.text)[-1]
    (expected,) = answer_all(preset(PRESET), ["pause"])
    assert last["answer"]["sentence"] == expected.sentence
    assert [item["id"] for item in last["answer"]["figures"]] == [item.id for item in expected.figures]
    assert desk.answer(Design(PRESET), "pause") is desk.answer(Design(PRESET), "pause")


def test_a_first_look_comes_before_an_answer_that_is_drawn_and_a_mistake_stands_in_its_place() -> None:
    client = TestClient(application(Desk([preset(PRESET)])))
    insane = {"scenario": PRESET, "moves": {"orders": 64}}
    body = {"question": "accused", "designs": [A, insane]}
    first, problem, last = lines(client.post("/api/answers", json=body).text)
    assert first["worlds"] == FIRST_LOOK
    assert problem["problem"]["code"].startswith("treaty-")
    assert "worlds" not in last
    (whole,) = answer_all(preset(PRESET), ["accused"])
    (few,) = answer_all(preset(PRESET), ["accused"], FIRST_LOOK)
    assert (first["answer"]["sentence"], last["answer"]["sentence"]) == (few.sentence, whole.sentence)
    again = lines(client.post("/api/answers", json=body).text)
    assert [line["design"] for line in again] == [0, 1]  # what is known needs no first look


def test_the_treaty_that_is_downloaded_is_the_one_that_was_explored(client: TestClient, desk: Desk) -> None:
    moved = {"scenario": PRESET, "moves": {"stop": 3_600_000}}
    text = client.post("/api/treaty", json={"designs": [moved]}).text
    document = load_toml(text).require()
    assert document.deadlines.stop_ms.value == 3_600_000
    assert document.digest == desk.scenario(Design(PRESET, {"stop": 3_600_000})).document.digest


def test_two_designs_differ_in_what_was_moved_and_in_nothing_else(client: TestClient) -> None:
    moved = {"scenario": PRESET, "moves": {"stop": 3_600_000}}
    found = client.post("/api/differences", json={"designs": [A, moved]}).json()["differences"]
    assert [item["where"] for item in found] == ["deadlines.stop_ms"]
    assert found[0]["after"] == "1 hour"


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/api/answers", b"{", "request-form"),
        ("/api/answers", b"[]", "request-form"),
        ("/api/answers", b" " * (MAX_BODY + 1), "request-size"),
        ("/api/answers", b"[" * 20_000, "request-form"),
        ("/api/answers", b'{"question": "why", "designs": []}', "question-unknown"),
        ("/api/answers", b'{"question": "pause", "designs": []}', "request-form"),
        ("/api/answers", b'{"question": "pause", "designs": [1]}', "design-form"),
        ("/api/treaty", b'{"designs": [{"scenario": "none", "moves": {}}]}', "scenario-unknown"),
        ("/api/treaty", b'{"designs": [{"scenario": "eu-1e25", "moves": {"none": 1}}]}', "scenario-term"),
        ("/api/treaty", b'{"designs": [{"scenario": "eu-1e25", "moves": {"stop": NaN}}]}', "design-form"),
        ("/api/treaty", b'{"designs": [{"scenario": "eu-1e25", "moves": {"stop": "x"}}]}', "design-form"),
        ("/api/differences", b'{"designs": [{"scenario": "eu-1e25", "moves": {}}]}', "request-form"),
    ],
)
def test_what_is_malformed_is_refused_with_a_code(client: TestClient, path: str, body: bytes, code: str) -> None:
    response = client.post(path, content=body)
    assert response.status_code == 400
    assert response.json()["problem"]["code"] == code


def test_nothing_is_served_under_another_name_and_every_answer_keeps_strangers_out(client: TestClient) -> None:
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    page = client.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page.text)
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/app.py").status_code == 404
    assert b"vegaEmbed" in client.get("/static/vega.js").content


# charts ---------------------------------------------------------------------------------------------------------------

COLUMNS = (
    Column("x.y", "x"),
    Column("v", "v", "FLOP", log=True),
    Column("k", "k", kind="name"),
    Column("lo", "lo"),
    Column("hi", "hi"),
)


@pytest.mark.parametrize("mark", ["line", "bar", "point", "step"])
@pytest.mark.parametrize("x", ["x.y", "k"])
def test_every_kind_of_table_is_a_valid_chart_and_an_svg_without_a_script(mark: Any, x: str) -> None:
    rows = (
        (1.0, 10.0, "a", 5.0, 20.0),
        (2.0, 100.0, "b", 50.0, 200.0),
        (3.0, 0.0, "a", 0.0, 1.0),
        (4.0, None, "a", None, None),
    )
    series = Series("s", "t", COLUMNS, rows, mark, x, "v", "k", "lo", "hi", (Rule("v", 30.0, "a <line>"),))
    chart = charts.chart(series)
    assert chart is not None
    chart.to_dict(validate=True)
    drawn = charts.svg(series)
    assert drawn.startswith("<svg")
    assert "<script" not in drawn
    assert "a &lt;line&gt;" in drawn
    numbers: charts.Axis = "x" if x == "k" else "y"
    names: charts.Axis = "y" if x == "k" else "x"
    assert charts.extent(series, numbers) == (5.0, 200.0)
    assert charts.extent(series, names) == (None if x == "k" else (1.0, 2.0))


def test_many_lines_become_a_grid_and_names_alone_are_not_drawn() -> None:
    rows = tuple((float(10**n), 0.5, f"line {k}", 0.4, 0.6) for n in range(3) for k in range(charts.CROWD + 1))
    columns = (*COLUMNS[:1], Column("v", "v"), *COLUMNS[2:])
    crowded = Series("s", "t", columns, rows, "line", "x.y", "v", "k", "lo", "hi", (Rule("x.y", 10.0, "ten"),))
    chart = charts.chart(crowded)
    assert chart is not None
    chart.to_dict(validate=True)
    assert "10: ten" in charts.svg(crowded)
    assert charts.extent(crowded, "y") is None
    names = Series(
        "s", "t", (Column("a", "a", kind="name"), Column("b", "b", kind="name")), (("x", "y"),), "point", "a", "b"
    )
    assert charts.chart(names) is None
    assert charts.svg(names) == ""


def test_numbers_are_written_for_people() -> None:
    assert [shown(x) for x in (0.0, 0.5, 12345.6, 3e-9, 1e25)] == ["0", "0.5", "12,300", "3e-9", "1e25"]
    assert shown(0.5, "days") == "12 hours"
    assert plain("deadlines.stop_ms", "600000") == "10 minutes"


# the file for a delegation --------------------------------------------------------------------------------------------


def test_the_report_holds_all_answers_escapes_everything_and_points_nowhere() -> None:
    base = preset(PRESET)
    hostile = base.terms.model_copy(update={"title": "<script>alert(1)</script>", "about": 'x" onload="y'})
    scenario = type(base)(hostile, base.document, base.treaty_text, base.text)
    other = preset("eu-1e25")
    text = write([scenario, other], Desk([scenario, other]), [Design(PRESET), Design("eu-1e25")])
    assert "<script" not in text
    assert 'x" onload' not in text
    assert not re.search(r"(?:src|href)=\"(?!#)", text)
    for question in QUESTIONS.values():
        assert question in text
    assert scenario.document.digest in text
    assert other.document.digest in text
    assert text.count("<svg") >= 2 * len(QUESTIONS)


def test_a_file_that_is_no_scenario_is_told_with_its_line(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("name = 1\n")
    done = subprocess.run(
        [*BRAKELINE, "explore", "report", str(wrong)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 3
    assert "wrong.toml: line 1" in done.stderr


# the page, in a browser -----------------------------------------------------------------------------------------------

BRAKELINE = [sys.executable, "-c", "from brakeline.cli import main; main()"]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """Serve the page as a user does, and return its address."""
    errors = (tmp_path_factory.mktemp("page") / "errors").open("w")
    process = subprocess.Popen([*BRAKELINE, "explore", "--port", "0"], stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
        assert found is not None
        yield found.group()
    finally:
        process.terminate()
        assert process.wait(30) == 0
        if process.stdout is not None:
            process.stdout.close()
        errors.close()


class Browser:
    """A page whose console is listened to, and whose requests to anywhere else are stopped and remembered."""

    def __init__(self, page: Any) -> None:
        self.page, self.complaints, self.strays = page, list[str](), list[str]()
        page.on("console", lambda m: self.complaints.append(m.text) if m.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.route("**/*", self._route)

    def _route(self, route: Any) -> None:
        url = route.request.url
        if re.match(r"(?:http://127\.0\.0\.1:\d+/|file:|data:|blob:)", url):
            route.continue_()
        else:
            self.strays.append(url)
            route.abort()

    def ready(self, question: str, designs: int = 1) -> None:
        """Wait until the answer to *question* is shown."""
        self.page.wait_for_selector(f'body[data-ready^="{question} {designs} "]', timeout=240_000)

    def sentence(self, number: int = 0) -> str:
        return str(self.page.locator(".sentence").nth(number).inner_text())

    def drawn(self) -> str:
        """Return what is drawn: the SVG of the first plot."""
        return str(self.page.locator(".vega svg").first.inner_html())


@pytest.fixture(scope="module")
def chromium() -> Generator[Any]:
    if not os.path.exists(CHROMIUM) and shutil.which("chromium") is None:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium") or CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def browser(chromium: Any) -> Generator[Browser]:
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    found = Browser(context.new_page())
    found.page.set_default_timeout(120_000)
    yield found
    context.close()
    assert found.complaints == []
    assert found.strays == []


@pytest.mark.timeout(600)
def test_each_question_is_answered_on_its_screen(browser: Browser, address: str) -> None:
    browser.page.goto(address)
    browser.page.select_option("#scenario", PRESET)
    for question, text in QUESTIONS.items():
        browser.page.click(f"#tab-{question}")
        browser.ready(question)
        (expected,) = answer_all(preset(PRESET), [question])
        assert browser.page.locator(f"#tab-{question}").inner_text() == text
        assert browser.sentence() == expected.sentence
        assert re.search(EXPECTED[question], browser.sentence()), browser.sentence()
        assert browser.page.locator(".caveat").inner_text() == expected.caveat
        assert browser.page.locator(".vega svg").count() == sum(
            charts.chart(item) is not None for item in expected.series
        )
        box = browser.page.locator(".vega").first.bounding_box()
        assert box is not None
        assert box["y"] < 800  # the plot begins on the first screen


EXPECTED = {
    "caught": r"10 of 12 ways to hide 1e25 FLOP at one site are caught as often as the treaty wants \(95 %\)",
    "accused": r"An honest site gets at most [\d.]+ queries a year \(95 %\), so that 182 sites get up to [\d.]+ a year",
    "hidden": r"With a risk of 5 % a cheat hides 1\.\de25 FLOP at one site in 30 days, by mixed \(thinned\)",
    "pause": r"Sites have stopped 3\.0 days after a finding; in 180 days 30 % of all training goes on nevertheless",
    "burden": r"The highest line, 1e25 FLOP, covers 6 of 25 known models since GPT-3 \(24 %\)",
    "unverified": r"33 % of all compute is in no book, and a hidden hall is noticed with 76 % in a year",
}
"""What the answers to the preset's questions say; figures that are drawn are asserted as such elsewhere."""


@pytest.mark.timeout(600)
def test_moving_a_term_moves_sentence_and_plot_and_putting_it_back_puts_them_back(
    browser: Browser, address: str
) -> None:
    page = browser.page
    page.goto(address)
    page.select_option("#scenario", PRESET)
    page.click("#tab-burden")
    browser.ready("burden")
    before, drawn = browser.sentence(), browser.drawn()
    page.locator("#term-line-frontier").focus()
    page.keyboard.press("End")  # the highest line at 1e27 FLOP
    page.wait_for_function("(text) => (document.querySelector('.sentence')?.textContent ?? text) !== text", arg=before)
    assert "1e27 FLOP, covers 0 of" in browser.sentence()
    assert browser.drawn() != drawn
    assert page.locator(".term.moved").count() == 1
    with page.expect_download() as download:
        page.click("#treaty")
    saved = load_toml(Path(download.value.path()).read_text("utf-8")).require()
    assert max(line.flop.value for line in saved.thresholds) == 10**27
    page.click("#reset")
    page.wait_for_function("(text) => document.querySelector('.sentence')?.textContent === text", arg=before)


@pytest.mark.timeout(600)
def test_two_designs_stand_side_by_side_with_what_differs(browser: Browser, address: str) -> None:
    page = browser.page
    page.goto(address)
    page.click("#tab-pause")
    browser.ready("pause")
    page.check("#compare")
    browser.ready("pause", 2)
    assert page.locator(".design").count() == 2
    assert browser.sentence(0) != browser.sentence(1)
    assert page.locator("#differences").is_visible()
    assert "goals.significant_quantity_flop" in page.locator("#difference-table").inner_text()
    with page.expect_download() as download:
        page.click("#report")
    path = Path(download.value.path()).rename(Path(download.value.path()).with_suffix(".html"))
    page.goto(path.as_uri())
    assert page.locator("section").count() == len(QUESTIONS)
    assert len(page.pdf()) > 20_000


@pytest.mark.timeout(600)
def test_everything_can_be_reached_with_the_keyboard_alone(browser: Browser, address: str) -> None:
    page = browser.page
    page.goto(address)
    browser.ready(next(iter(QUESTIONS)))
    seen: list[str] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
        if seen[-1].startswith("tab-"):
            break
    assert {"side-a", "compare", "scenario", "reset", "treaty", "report", "find", "term-stop"} <= set(seen)
    ids = list(QUESTIONS)
    assert seen[-1] == f"tab-{ids[0]}"
    page.keyboard.press("ArrowLeft")
    browser.ready(ids[-1])
    page.keyboard.press("Home")
    browser.ready(ids[0])
    page.keyboard.press("ArrowRight")
    browser.ready(ids[1])
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the first thing that opens
    assert page.locator("details[open]").count() == 1


def test_presets_are_on_the_table(browser: Browser, address: str) -> None:
    browser.page.goto(address)
    browser.ready(next(iter(QUESTIONS)))
    found = browser.page.locator("#scenario option").evaluate_all("items => items.map((item) => item.value)")
    assert found == list(PRESETS)


def test_a_design_that_is_no_treaty_is_told_on_the_page(browser: Browser, address: str) -> None:
    page = browser.page
    page.goto(address)
    page.click("#tab-pause")
    browser.ready("pause")
    page.locator("#term-orders").focus()
    page.keyboard.press("End")
    page.wait_for_selector(".problem")
    assert "treaty-" in page.locator(".problem").inner_text()


def test_a_desk_knows_its_scenarios_only(desk: Desk) -> None:
    with pytest.raises(ScenarioError) as caught:
        desk.scenario(Design("us-1e26"))
    assert caught.value.code == "scenario-unknown"
