"""Openings under a treaty that was amended: each is judged once, by the version that governs the period it opens."""

from __future__ import annotations

import pytest
from brakeline.ledger.entry import Kind
from brakeline.treaty.judge import LogJudge
from brakeline.treaty.rules.board import Unverifiable
from brakeline.treaty.spotcheck.table import open_rows
from brakeline.treaty.statements import Statement

from tests.support import cast
from tests.support.cast import SITE
from tests.support.sealing import SealingAuthor
from tests.treaty.test_spotcheck import DOCUMENT, Scene, changed, table

BEGINS = 4
LATER = cast.amended(DOCUMENT, BEGINS, rule=cast.with_rule(DOCUMENT, "false-opening", "note", slots=4))
VERSION = cast.read(cast.amendment_envelope(LATER))


def judge_of(said: list[Statement]) -> LogJudge:
    judge = LogJudge(DOCUMENT, past=lambda: [item for item in said if item is not VERSION])
    for index, item in enumerate(said):
        judge.add(index, Kind.STATEMENT, item)
        judge.heartbeat()
    return judge


@pytest.mark.parametrize(("period", "severity"), [(BEGINS - 1, "discrepancy"), (BEGINS, "note"), (BEGINS + 1, "note")])
@pytest.mark.parametrize("comes", ["first", "last"])
def test_an_opening_is_judged_by_the_version_of_its_period(period: int, severity: str, comes: str) -> None:
    scene = Scene()
    rows = changed(table(), 5, workload="hidden")
    opening = scene.open(SITE, scene.book(SITE, rows, period), open_rows(rows, [5]), period)
    said = [cast.read(item) for item in scene.said]
    judge = judge_of([VERSION, *said] if comes == "first" else [*said, VERSION])
    found = [item for item in judge.standing().values() if item.rule == "false-opening"]
    assert [(item.period, item.severity.value, opening in item.statements) for item in found] == [
        (period, severity, True)
    ]


@pytest.mark.parametrize("period", [BEGINS - 1, BEGINS])
def test_rows_that_are_sealed_are_counted_once_whichever_version_governs(period: int) -> None:
    scene = Scene()
    site = SealingAuthor(SITE, DOCUMENT, ("/predicate/rows/*/row/parts/*/flop",))
    site.sequence, site.previous = scene.sites[SITE].sequence, scene.sites[SITE].previous
    scene.sites[SITE] = site
    rows = table()
    scene.open(SITE, scene.book(SITE, rows, period), open_rows(rows, [1, 6]), period)
    judge = judge_of([VERSION, *(cast.read(item) for item in scene.said)])
    assert judge.unverifiable()[Unverifiable("false-opening", SITE, "row-sealed")] == 2
