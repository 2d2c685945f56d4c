"""The exit code is a table; the report's JSON is restricted; its pages show what it says, nothing from outside."""

from __future__ import annotations

import io
import itertools
import json
import re
from html.parser import HTMLParser

import pytest
from brakeline.audit import html, text
from brakeline.audit.report import (
    AuditReport,
    Exit,
    FindingReport,
    Level,
    LogReport,
    LogState,
    Problem,
)
from brakeline.treaty.strictjson import canonical
from rich.console import Console

HOSTILE = "<script>alert(1)</script> [bold]not markup[/] & more"
BAD = Problem("replay-root", "the copy differs", "aa", "bb", "fetch it again", 3)
GAP = Problem("log-missing", HOSTILE)


def finding(*, misconduct: bool = False) -> FindingReport:
    body = {
        "rule": "verifier-conduct" if misconduct else "imbalance",
        "severity": "discrepancy",
        "article": "Art. 5",
        "about": "lab-1.party-a.example/site-1",
        "period": 3,
        "statements": ["0" * 64],
        "figures": {"missing": "500"},
    }
    return FindingReport("f" * 64, dict(body), HOSTILE, misconduct)  # type: ignore[arg-type]


def report(*, unreadable: bool, misconduct: bool, conduct: bool, found: bool, gap: bool) -> AuditReport:
    logs = [LogReport("a", "verifier-1.example", size=3, root="0" * 64, newest_ms=1_767_225_600_000, quorum=3)]
    if unreadable:
        logs.append(LogReport("b", state=LogState.UNREADABLE, divergence=BAD))
    if misconduct:
        logs.append(LogReport("c", "verifier-2.example", LogState.MISCONDUCT, divergence=BAD))
    findings = [finding()] * found + [finding(misconduct=True)] * conduct
    return AuditReport(
        pin="0" * 64,
        treaty=("demo.treaty.example", 1),
        as_of_ms=1_767_225_600_000,
        logs=tuple(logs),
        findings=tuple(findings),
        unchecked=(GAP,) * gap,
        levels=(Level("run-correct", "contradicted", "One finding.", {"findings": 1}),),
    )


FLAGS = list(itertools.product((False, True), repeat=5))


def of(flags: tuple[bool, ...]) -> AuditReport:
    unreadable, misconduct, conduct, found, gap = flags
    return report(unreadable=unreadable, misconduct=misconduct, conduct=conduct, found=found, gap=gap)


@pytest.mark.parametrize("flags", FLAGS)
def test_three_comes_before_two_before_one_before_four(flags: tuple[bool, ...]) -> None:
    unreadable, misconduct, conduct, found, gap = flags
    expected = 3 if unreadable else 2 if misconduct or conduct else 1 if found else 4 if gap else 0
    value = of(flags)
    assert value.exit == expected
    assert (value.exit is Exit.REPRODUCED) == (not value.reasons())


def test_an_unreadable_treaty_is_unreadable_input() -> None:
    assert AuditReport(pin="0" * 64, problems=(BAD,)).exit is Exit.UNREADABLE


@pytest.mark.parametrize("flags", FLAGS[:: len(FLAGS) - 1])
def test_the_json_is_restricted_and_complete(flags: tuple[bool, ...]) -> None:
    value = of(flags).to_json()
    assert canonical(value)
    assert value["format"] == "brakeline-audit/v1"
    assert set(value) == {
        "format", "pin", "treaty", "as_of", "logs", "findings", "findings_digest", "unchecked", "problems", "levels",
        "docket", "exit", "reasons", "opened", "opinions", "sealed",
    }  # fmt: skip
    assert json.loads(json.dumps(value)) == value


class _Tags(HTMLParser):
    """Collects tags and the attributes that could fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not {"src", "onload", "onclick"} & {name for name, _ in attrs}
        assert all((value or "").startswith("#") for name, value in attrs if name == "href")
        if tag != "meta" and tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("flags", FLAGS)
def test_the_page_is_well_formed_self_contained_and_escapes_what_it_shows(flags: tuple[bool, ...]) -> None:
    page = html.render(of(flags), command="brakeline audit replay <dir>")
    parser = _Tags()
    parser.feed(page)
    assert not parser.open
    assert not {"script", "link", "img", "iframe"} & parser.tags
    assert not re.search(r"url\(|@import|https?://", page)


def test_the_text_names_everything_and_takes_no_markup_from_outside() -> None:
    out = io.StringIO()
    text.render(of((True,) * 5), Console(file=out, soft_wrap=True, highlight=False, width=200))
    shown = out.getvalue()
    assert HOSTILE in shown
    assert "replay-root at entry 3" in shown
    assert "exit 3" in shown
