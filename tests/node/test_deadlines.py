"""An operator is told of books that may come too late while something can be done, and when it was too late."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
import trustme
from brakeline.node.deadlines import Alarm, due
from brakeline.node.journal import Delivery
from brakeline.node.site import Site
from structlog.testing import capture_logs

from tests.node import house
from tests.support import cast

START = cast.START
REPORT = 15_000


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def site(tmp_path: Path, clock: Clock) -> Iterable[Site]:
    made = house.make(tmp_path, house.treaty(START), trustme.CA(), clock=clock)
    yield made
    made.journal.close()


def found(site: Site, clock: Clock) -> list[tuple[int, int, bool]]:
    return [(d.period, d.logs, d.missed) for d in due(site.document, site.journal, site.first_period(), clock())]


def receive(site: Site, sequence: int, *verifiers: str) -> None:
    item = next(i for i in site.journal.envelopes() if i.author == cast.SITE and i.sequence == sequence)
    for name in verifiers:
        site.journal.delivered(name, [(item.id, Delivery.RECEIVED, "path")])


def test_books_are_due_from_half_of_their_time_until_f_plus_1_logs_hold_them(site: Site, clock: Clock) -> None:
    end = START + house.PERIOD_MS
    clock.now = end
    made = site.book_period(0)
    clock.now = end + REPORT // 2 - 1
    assert found(site, clock) == []
    clock.now += 1
    assert found(site, clock)[0] == (0, 0, False)
    receive(site, made.sequence, cast.VERIFIERS[0])
    clock.now = end + REPORT + 1
    assert found(site, clock)[0] == (0, 1, True)
    receive(site, made.sequence, cast.VERIFIERS[2])
    assert 0 not in [period for period, _, _ in found(site, clock)]


def test_books_that_are_not_even_signed_are_due_as_well(site: Site, clock: Clock) -> None:
    clock.now = START + 3 * house.PERIOD_MS + REPORT // 2
    assert found(site, clock) == [(0, 0, False), (1, 0, False), (2, 0, False)]


def test_each_is_told_once_and_once_more_when_it_is_missed(site: Site, clock: Clock) -> None:
    alarm = Alarm()
    clock.now = START + house.PERIOD_MS + REPORT // 2
    with capture_logs() as said:
        for _ in range(3):
            alarm.look(due(site.document, site.journal, site.first_period(), clock()))
        assert (alarm.near, alarm.missed) == (1, 0)
        clock.now = START + house.PERIOD_MS + REPORT + 1
        alarm.look(due(site.document, site.journal, 0, clock())[:1])
    assert [(e["event"], e["period"]) for e in said] == [("deadline-near", 0), ("deadline-missed", 0)]
    assert (alarm.near, alarm.missed) == (0, 1)
