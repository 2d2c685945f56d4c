"""The report of an order from whole logs: figures, exit codes, text and a page that needs nothing but itself."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from typing import cast as typed

import pytest
from brakeline.audit.commands import app
from brakeline.audit.orders import plot
from brakeline.audit.orders.gather import OrderAudit, audit_order
from brakeline.audit.orders.page import render
from brakeline.audit.orders.plain import to_plain
from brakeline.audit.report import Exit
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.order_report import Kept
from brakeline.treaty.statements import StoppedWorkload
from brakeline.treaty.strictjson import JsonObject, canonical
from typer.testing import CliRunner

from tests.support import cast, worlds
from tests.support.cast import line

FULL = cast.CHIPS * cast.PERIOD
EFFECTIVE = 5
HOSTILE = "<b>bold</b>"


class Scene(NamedTuple):
    """Logs on disk, and what names them."""

    logs: list[str]
    treaty: Path
    pin: str
    order: str
    other: str


def play(root: Path, *, obeying: bool, silent: bool) -> Scene:
    """Two sites train; an order pauses everybody. The first obeys; the second does as *obeying* and *silent* say."""
    world = worlds.World()
    world.beat()
    sites = [worlds.Site(world, name) for name in (cast.SITE, cast.OTHER_SITE)]
    order = cast.order(world.document, effective=EFFECTIVE, expiry=EFFECTIVE + 20)
    drill = cast.order(world.document, kind="resume", effective=90, expiry=91)
    for period in range(9):
        if period == EFFECTIVE - 1:
            world.publish(order)
            world.publish(drill)
        world.until(cast.START + (period + 1) * cast.PERIOD + worlds.BEAT)
        if period == EFFECTIVE:
            for number, site in enumerate(sites):
                if not (silent and number):
                    world.publish(site.author.acknowledge(order, *stops(), at=instant(50)))
        for number, site in enumerate(sites):
            runs = period < EFFECTIVE or (number == 1 and not obeying)
            busy = FULL // 2 if runs else FULL // 100 if period == EFFECTIVE else 0
            works = (line("training", busy, flop_model=str(busy * 1_000)),) if busy else ()
            lines = (*works, line("idle", FULL - busy))
            world.publish(site.author.use(period, site.inventory, lines), by=site.author.name)
    world.until(cast.START + 10 * cast.PERIOD)
    paths = world.export(root / "logs")
    return Scene([str(p) for p in paths], world.write_treaty(root / "t.json"), world.pin, order.digest, drill.digest)


def instant(after_ms: int) -> int:
    return cast.START + EFFECTIVE * cast.PERIOD + after_ms


def stops() -> list[StoppedWorkload]:
    times = {"agreed_at": instant(100), "ceased_at": instant(300), "durable_at": instant(2_000), "freeze": "ab" * 32}
    return [StoppedWorkload.model_validate({"workload": "job", "step": 40, **times})]


@pytest.fixture(scope="module")
def obeyed(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return play(tmp_path_factory.mktemp("obeyed"), obeying=True, silent=False)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return play(tmp_path_factory.mktemp("broken"), obeying=False, silent=True)


def audited(scene: Scene, digest: str = "", as_of_ms: int | None = None) -> OrderAudit:
    return audit_order(scene.logs, scene.treaty, scene.pin, digest or scene.order, as_of_ms=as_of_ms)


def test_an_order_that_everybody_obeys(obeyed: Scene) -> None:
    found = audited(obeyed)
    assert (found.exit, found.findings) == (Exit.REPRODUCED, ())
    assert found.order.stopped == (cast.SITE, cast.OTHER_SITE)
    assert found.order.not_heard == ()
    assert [tuple(site.latencies) for site in found.order.sites] == [(50, 100, 300, 2_000)] * 2
    assert [site.within_bound for site in found.order.sites] == [True, True]
    assert found.order.leaked.at_most == 2 * FULL // 100 * 1_000


def test_a_site_that_says_nothing_and_trains_on(broken: Scene) -> None:
    late = cast.START + 20 * cast.PERIOD
    found = audited(broken, as_of_ms=late)
    assert found.order.not_heard == (cast.OTHER_SITE,)
    assert found.exit is Exit.FINDINGS
    assert {item.body["rule"] for item in found.findings} == {"brake-breach", "unacknowledged-order"}
    assert audited(broken).order.stopped == (cast.SITE,)
    first, second = found.order.sites
    assert (first.kept, first.kept_until, second.kept) == (Kept.OPEN, 8, Kept.BROKEN)  # books of period 9 never came
    assert found.order.sites[1].leaked.at_most == 4 * FULL // 2 * 1_000


def test_findings_about_other_things_are_not_the_orders(broken: Scene) -> None:
    found = audited(broken, broken.other, as_of_ms=cast.START + 20 * cast.PERIOD)
    assert found.findings == ()
    assert found.audit.findings != ()
    assert {item.kept for item in found.order.sites} == {Kept.NOT_BOUND}


def test_logs_that_were_not_read_leave_it_open(obeyed: Scene) -> None:
    found = audit_order(obeyed.logs[:2], obeyed.treaty, obeyed.pin, obeyed.order)
    assert found.exit is Exit.OPEN
    alone = audit_order(obeyed.logs[:1], obeyed.treaty, obeyed.pin, obeyed.order)
    assert "order-not-held" in {problem.code for problem in alone.open}
    assert alone.order.binding is None


def test_a_damaged_log_is_unreadable_input(obeyed: Scene, tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_bytes(b"nothing")
    assert audit_order([*obeyed.logs, str(tmp_path)], obeyed.treaty, obeyed.pin, obeyed.order).exit is Exit.UNREADABLE


@pytest.mark.parametrize(
    ("digest", "code"),
    [("ff" * 32, "order-not-logged"), ("f00dF00d", "order-digest"), ("abc", "order-digest"), ("", "order-digest")],
)
def test_an_order_that_nobody_has_is_an_error(obeyed: Scene, digest: str, code: str) -> None:
    with pytest.raises(BrakelineError) as caught:
        audit_order(obeyed.logs, obeyed.treaty, obeyed.pin, digest)
    assert caught.value.code == code


def test_the_first_digits_name_an_order_if_they_are_its_own(obeyed: Scene) -> None:
    assert audited(obeyed, obeyed.order[:8]).order.digest == obeyed.order


def test_the_json_is_restricted_the_same_every_time_and_absent_where_unknown(broken: Scene) -> None:
    value = to_plain(audited(broken))
    assert canonical(value) == canonical(to_plain(audited(broken)))
    assert value["format"] == "brakeline-order/v1"
    first, second = typed("list[JsonObject]", value["sites"])
    assert first["latencies_ms"] == {"seen": 50, "agreed": 100, "ceased": 300, "durable": 2_000}
    assert first["within_bound"] is True
    assert second["latencies_ms"] == {}
    assert not {"seen_at", "heard_ms", "bound", "within_bound"} & set(second)


class Tags(HTMLParser):
    """Collects tags, and refuses what could fetch or run something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not {"src", "href", "onload", "onclick"} & {name for name, _ in attrs}


def test_the_page_needs_nothing_but_itself_and_draws_every_site(broken: Scene) -> None:
    page = render(audited(broken), command=f"brakeline audit order {HOSTILE}")
    tags = Tags()
    tags.feed(page)
    assert not {"script", "link", "img", "iframe", "object"} & set(tags.tags)
    assert tags.tags.count("svg") == 2
    assert not re.search(r"url\(|@import", page)
    assert set(re.findall(r"https?://[^\"' <]+", page)) <= {"http://www.w3.org/2000/svg"}
    assert HOSTILE not in page
    for text in ("quorum", "breach from here", "lab-1.party-a.example/site-1", "2 000"):
        assert text in page
    assert page == render(audited(broken), command=f"brakeline audit order {HOSTILE}")


def test_without_the_library_the_page_has_its_figures_and_says_what_is_missing(
    broken: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "leather", None)
    found = audited(broken)
    assert plot.draw(found.order.sites[0], found.order, found.document.grid) is None
    page = render(found)
    assert "brakeline[plots]" in page
    assert "2 000" in page


def test_the_command_prints_both_forms_and_writes_the_page(broken: Scene, tmp_path: Path) -> None:
    words = ["order", broken.order[:12], *broken.logs, "--treaty", str(broken.treaty), "--pin", broken.pin]
    page = tmp_path / "pages" / "order.html"
    told = CliRunner().invoke(app, [*words, "--html", str(page)], env={"COLUMNS": "200"})
    assert told.exit_code == Exit.FINDINGS, told.output
    shown = " ".join(told.stdout.split())
    for text in ("keep to it to 8", "break it", "not heard lab-2.party-b.example/site-1", "frozen abab"):
        assert text in shown
    assert f"audit order {broken.order}" in page.read_text("utf-8")
    plain = CliRunner().invoke(app, [*words, "--format", "json", "--as-of", str(cast.START + 20 * cast.PERIOD)])
    assert json.loads(plain.stdout)["exit"] == plain.exit_code == 1
