"""The audit's page: every section shows what the report and the logs say, hostile texts stay text, size is bounded."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import itertools
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from brakeline.audit import html
from brakeline.audit.commands import app
from brakeline.audit.detail import BUCKETS, Column, Detail, RunBooks, SiteBooks
from brakeline.audit.page import books, charts
from brakeline.audit.page.first import accused
from brakeline.audit.page.parts import esc
from brakeline.audit.page.recompute import plain
from brakeline.audit.report import AuditReport, DocketReport, FindingReport, OpinionReport, Problem, SealedReport
from brakeline.treaty.judge import LOG_RULES
from brakeline.treaty.parts import Activity
from brakeline.treaty.remedies import REMEDIES, remedy
from brakeline.treaty.rule_table import RULES
from typer.testing import CliRunner

from tests.audit.conftest import Audited
from tests.audit.scenes import HOSTILE
from tests.support import cast

VOID = {"meta", "br"}


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def check_self_contained(page: str) -> Page:
    """Nothing is fetched, nothing runs, and the policy says so to the browser."""
    parsed = Page(page)
    assert not {"script", "link", "img", "iframe", "object", "embed", "form", "base"} & set(parsed.tags)
    for tag, name, value in parsed.attributes:
        assert not name.startswith("on"), name
        assert name not in {"src", "style", "srcset", "action", "background"}, name
        if name in ("href", "xlink:href"):
            assert tag == "a"
            assert value.startswith("#")
            assert value[1:] in parsed.ids
    assert len(parsed.ids) == len(set(parsed.ids))
    assert not re.search(r"url\(|@import", page)
    (sheet,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    hashed = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    policies = [value for tag, name, value in parsed.attributes if tag == "meta" and name == "content"]
    assert f"default-src 'none'; style-src 'sha256-{hashed}'; base-uri 'none'; form-action 'none'" in policies
    return parsed


def test_it_needs_nothing_but_itself_and_what_logs_say_stays_text(audited: Audited) -> None:
    page = check_self_contained(audited.page)
    assert HOSTILE in page.text, "the order's reason, whole, and as text"
    assert "<script" not in audited.page
    assert "<img" not in audited.page
    assert page.tags["svg"] >= 4


def test_headings_tables_and_figures_are_named(audited: Audited) -> None:
    page = Page(audited.page)
    levels = [int(tag[1]) for tag in re.findall(r"<(h[1-6])[ >]", audited.page)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert page.tags["th"] == sum(1 for tag, name, _ in page.attributes if (tag, name) == ("th", "scope"))
    labels = [value for tag, name, value in page.attributes if (tag, name) == ("figure", "aria-label")]
    assert len(labels) == page.tags["figure"] == page.tags["svg"]
    assert all(labels)
    assert ("html", "lang", "en") in page.attributes


def test_the_first_facts_name_who_is_accused_and_how_gravely(audited: Audited) -> None:
    found = {item.about: item for item in accused(audited.report)}
    assert set(found) == {cast.SITE, cast.OTHER_SITE, cast.VERIFIERS[2], cast.LABS[0]}
    assert found[cast.VERIFIERS[2]].verifier
    assert "brake-breach" in found[cast.OTHER_SITE].rules
    head = audited.page.partition('id="levels"')[0]
    for item in found:
        assert esc(item) in head
    assert "Accused: 2 sites, 1 lab, 1 verifier" in head
    assert "2 of 4</b> logs read and reproduced" in head
    assert "2 of 4 logs agree" in head
    assert f"the log {cast.VERIFIERS[3]} was not read" in head
    assert "Never from logs" in head


def test_no_word_of_it_is_a_green_light(audited: Audited) -> None:
    assert "green" not in audited.page.lower()
    page = Page(audited.page).text
    for level in audited.report.levels:
        assert f"{level.name}: {level.state}" in page
        assert level.sentence in page


def test_every_finding_stands_with_its_article_its_figures_and_what_would_clear_it(audited: Audited) -> None:
    page = Page(audited.page).text
    for item in audited.report.findings:
        assert item.digest in page
        assert remedy(str(item.body["rule"])).clears in page
        assert esc(item.sentence) in audited.page
        figures = item.body["figures"]
        assert isinstance(figures, dict)
        assert all(str(value) in page for value in figures.values())


def test_every_rule_has_a_title_and_says_what_would_clear_it() -> None:
    assert set(REMEDIES) == set(RULES) >= set(LOG_RULES)
    assert len({item.title for item in REMEDIES.values()}) == len(REMEDIES)


def test_books_lineages_orders_and_verifiers_are_those_of_the_logs(audited: Audited) -> None:
    detail = audited.detail
    one, other = detail.sites
    assert (one.site, other.site) == (cast.SITE, cast.OTHER_SITE)
    assert (one.booked, other.booked, one.missing, other.missing) == (7, 6, (), ((2, 2),))
    assert one.chip_ms[Activity.TRAINING] == 5 * 6_000
    assert other.chip_ms[Activity.TRAINING] == 6 * 6_000
    assert detail.together.total_ms == one.total_ms + other.total_ms == 13 * 8_000 - 2 * 500
    assert sum(sum(column.chip_ms.values()) for column in detail.together.columns) == detail.together.total_ms
    base, tuned = (run for run in detail.runs if run.flop)
    assert (base.workload, base.periods, base.flop, base.parents) == ("base", (0, 4), 5_000_000, ())
    assert (tuned.workload, tuned.periods, tuned.parents) == ("tuned", (0, 6), ((cast.LABS[0], "base"),))
    assert base.passed == {"line": 3}
    (order,) = detail.orders
    assert order.order.reason == HOSTILE
    assert [(item.origin, item.read) for item in detail.logs] == [
        (name, name != cast.VERIFIERS[3]) for name in cast.VERIFIERS
    ]
    assert all(item.later_ms == 0 for item in detail.logs if item.read)
    page = Page(audited.page).text
    assert "books missing for 1 period: 2" in page
    assert "tuned" in page
    assert order.digest in page


def test_the_command_writes_the_page_and_the_digest_in_it_is_that_of_the_json_as_printed(
    audited: Audited, tmp_path: Path
) -> None:
    scene = audited.scene
    command = ["replay", *scene.logs, "--treaty", str(scene.treaty), "--pin", scene.pin, "--format", "json"]
    printed = CliRunner().invoke(app, [*command, "--html", str(tmp_path / "new" / "report.html")])
    assert printed.exit_code == int(audited.report.exit)
    assert json.loads(printed.stdout) == audited.report.to_json()
    assert printed.stdout == plain(audited.report) + "\n"
    assert hashlib.sha256(printed.stdout.encode()).hexdigest() in audited.page
    page = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    assert page.partition("<pre>")[0] == audited.page.partition("<pre>")[0]


def test_without_the_library_that_draws_there_are_figures_all_the_same(
    audited: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charts, "new_chart", lambda: None)
    page = html.render(audited.report, audited.detail)
    assert "<svg" not in page
    assert "brakeline[plots]" in page
    assert f"{cast.SITE}" in check_self_contained(page).text


def test_a_treaty_that_cannot_be_read_gives_a_page_all_the_same() -> None:
    report = AuditReport(pin="0" * 64, problems=(Problem("treaty-not-pinned", HOSTILE),))
    page = check_self_contained(html.render(report))
    assert "something was unreadable" in page.text.lower()
    assert "Nobody is accused" in page.text


def test_what_was_found_over_sealed_values_accuses_too_and_what_stays_shut_is_said(audited: Audited) -> None:
    (first, *_) = audited.report.findings
    opened = dataclasses.replace(first, body={**first.body, "about": "lab-9.example/site-9"}, sentence=HOSTILE)
    opinion = OpinionReport(HOSTILE, "0" * 64, {"rule": "muf", "about": HOSTILE, "period": 3}, reproduced=False)
    shut = SealedReport("1" * 64, HOSTILE, -1, 7, (HOSTILE,))
    report = dataclasses.replace(audited.report, opened=(opened,), opinions=(opinion,), sealed=(shut,))
    page = check_self_contained(html.render(report, audited.detail))
    assert "lab-9.example/site-9" in page.text.partition("Three questions")[0]
    assert "1 statement with sealed values that were not opened here" in page.text
    assert "not reproduced here" in page.text
    assert page.text.count(HOSTILE[:60]) >= 5


# size -----------------------------------------------------------------------------------------------------------------


def huge(audited: Audited, count: int) -> tuple[AuditReport, Detail]:
    """A report of *count* findings, sites, runs, gaps and docket items, every text as long and hostile as it gets."""
    (first, *_) = audited.report.findings
    text = (f"{HOSTILE} \u202egnihton\x1b[2J\x00" * 20)[:400]
    findings = tuple(
        FindingReport(f"{at:064x}", {**first.body, "about": f"{text[:150]}{at}", "figures": {"x": text}}, text * 2)
        for at in range(count)
    )
    docket = tuple(DocketReport(item.digest, "open", item.sentence, replies=("1" * 64,) * 9) for item in findings)
    chips = Counter({activity: 10**at for at, activity in enumerate(Activity, start=3)})
    columns = tuple(Column(at, at, chips) for at in range(BUCKETS))
    sites = tuple(
        SiteBooks(
            f"{text[:150]}{at}", booked=9, missing=((1, 2),) * 8, missing_periods=99, chip_ms=chips, columns=columns
        )
        for at in range(count)
    )
    runs = tuple(
        RunBooks(text[:150], f"run-{at}", (f"run-{at}",), ((text[:150], f"run-{at // 2}"),), 3, (at, at + 9), at, at, 1)
        for at in range(count)
    )
    problems = tuple(Problem("log-stale", text, text, text, text) for _ in range(count))
    report = dataclasses.replace(audited.report, findings=findings, docket=docket, unchecked=problems)
    return report, dataclasses.replace(audited.detail, sites=sites, runs=runs, together=sites[0])


def test_it_stays_small_however_much_there_is_and_says_what_it_leaves_out(audited: Audited) -> None:
    report, detail = huge(audited, 600)
    page = html.render(report, detail)
    parsed = check_self_contained(page)
    assert len(page.encode()) < 3_000_000
    assert not {"\u202e", "\x1b", "\x00"} & set(page)
    assert "560 further findings of this severity" in parsed.text
    assert "further sites without a chart here" in parsed.text
    assert "560 smaller runs are left out" in parsed.text
    assert "The first 100 of 600; the JSON has all" in parsed.text


def test_what_was_made_from_a_run_stands_below_it_and_circles_end() -> None:
    def run(name: str, *parents: str) -> RunBooks:
        return RunBooks("lab", name, (name,), tuple(("lab", parent) for parent in parents), 0, (0, 1))

    order = [item.workload for item in books._in_lanes([run("c", "b"), run("b", "a"), run("a"), run("d", "a", "x")])]
    assert order == ["a", "b", "c", "d"]
    circle = books._in_lanes([run("a", "b"), run("b", "a"), run("c")])
    assert {item.workload for item in circle} == {"a", "b", "c"}
    assert len(circle) == 3
    assert charts.lineages(circle, "circle").count("<svg") == 1
