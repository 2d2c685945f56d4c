"""The metering third party: what it reads, what it makes of it, and that it says nothing twice."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from pathlib import Path

import pytest
from brakeline.ledger import keyfile
from brakeline.node.journal import Journal
from brakeline.node.site import Site
from brakeline.testnet.build import METER, METER_SETTINGS, Testnet, build
from brakeline.testnet.meter import SETTLE_MS, Meter, Settings, Supply, Tap, supplies_of
from brakeline.testnet.plan import draw
from brakeline.testnet.ports import Ports
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.statements import Evidence, parse_statement
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_767_225_600_000
PLAN = draw(seed=2, labs=2, cheats=0, evidence=True)
SITE, OTHER = (lab.site for lab in PLAN.labs)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def net(tmp_path: Path) -> Testnet:
    with Ports() as ports:
        return build(tmp_path, PLAN, 1, lambda: NOW, ports, lead_ms=1_000)


def meter(net: Testnet, clock: Clock, journal: Journal) -> Meter:
    settings = Settings.model_validate_json((net.meter / METER_SETTINGS).read_bytes())
    signer = keyfile.read_signer(net.meter / f"{METER}.pem", None)
    voice = Site(METER, net.document, journal, signer, clock)
    return Meter(net.meter, voice, supplies_of(settings, net.document), clock)


def evidence(journal: Journal) -> list[Evidence]:
    said = [parse_statement(Envelope.from_body(item.body).payload).predicate for item in journal.envelopes()]
    return [item for item in said if isinstance(item, Evidence)]


@given(st.integers(1, 64), st.integers(0, 500), st.integers(0, 500), st.integers(1, 10**7), st.integers(0, 10**10))
def test_joules_lie_between_all_idle_and_all_busy(chips: int, idle: int, more: int, span: int, busy: int) -> None:
    joules = Supply(chips, idle, idle + more).joules(span, busy)
    assert idle * chips * span // 1000 <= joules <= (idle + more) * chips * span // 1000


def test_joules_are_idle_watts_for_every_chip_and_the_rest_for_core_time() -> None:
    supply = Supply(chips=2, idle_watts=10, board_watts=100)
    assert supply.joules(4_000, 0) == 80
    assert supply.joules(4_000, 1_500) == 80 + 135
    assert supply.joules(4_000, 10**9) == 800, "no more than every core, all the time"


def test_core_time_is_read_between_readings_and_nothing_is_lost_at_a_bound() -> None:
    tap = Tap(7, 1_000, [(1_500, 250), (2_500, 650), (3_500, 650)])
    assert tap.busy_ms(0, 1_000) == 0
    assert tap.busy_ms(1_000, 1_500) == 250
    assert tap.busy_ms(1_500, 2_000) == 200
    assert tap.busy_ms(4_000, 9_000) == 0
    bounds = [0, 1_100, 1_700, 2_222, 3_001, 4_000]
    parts = [tap.busy_ms(a, b) for a, b in itertools.pairwise(bounds)]
    assert sum(parts) == 650


def test_forgetting_readings_leaves_later_periods_as_they_were() -> None:
    points = [(t, t // 3) for t in range(1_000, 9_000, 200)]
    tap, kept = Tap(7, 1_000, list(points)), Tap(7, 1_000, list(points))
    tap.forget(5_000)
    assert len(tap.points) < len(kept.points)
    for start, end in ((5_000, 6_000), (6_000, 8_500)):
        assert tap.busy_ms(start, end) == kept.busy_ms(start, end)


def test_a_period_is_attested_for_every_site_alike_once_it_was_read_beyond_its_end(net: Testnet) -> None:
    clock = Clock()
    with Journal(net.meter / "journal.db") as journal:
        it = meter(net, clock, journal)
        it.tap(json.dumps({"site": SITE, "pid": os.getpid()}).encode())
        grid = net.document.grid
        clock.now = grid.start_of(0).value
        it.read()
        clock.now = grid.end_of(0).value + SETTLE_MS - 1
        it.read()
        assert not it.due()
        clock.now += 1
        assert it.due()
        assert it.attest() == 0
        assert not it.due()
        said = {item.site: item for item in evidence(journal)}
        assert set(said) == {SITE, OTHER}
        assert said[OTHER].joules.value == 80, "idle watts, two chips, four seconds"
        for site, item in said.items():
            raw = (net.meter / "readings" / site.replace("/", "_") / "0.jsonl").read_bytes()
            assert hashlib.sha256(raw).hexdigest() == item.readings
        assert [item.sequence for item in evidence(journal)] == [0, 1]


def test_a_period_that_was_not_watched_from_its_beginning_is_left_out(net: Testnet) -> None:
    clock = Clock()
    grid = net.document.grid
    clock.now = grid.start_of(3).value + 1
    with Journal(net.meter / "journal.db") as journal:
        it = meter(net, clock, journal)
        clock.now = grid.end_of(3).value + SETTLE_MS
        assert not it.due()
        clock.now = grid.end_of(4).value + SETTLE_MS
        assert it.attest() == 4


def test_a_meter_that_starts_again_says_nothing_twice(net: Testnet) -> None:
    clock = Clock()
    with Journal(net.meter / "journal.db") as journal:
        first = meter(net, clock, journal)
        again = meter(net, clock, journal)
        clock.now = net.document.grid.end_of(0).value + SETTLE_MS
        first.attest()
        assert len(evidence(journal)) == 2
        again = meter(net, Clock(), journal)
        again.attest()
        assert len(evidence(journal)) == 2


@pytest.mark.parametrize(
    "line",
    [b"", b"not json", b"[]", b'{"site": "nobody.example/site-1", "pid": 1}', b'{"site": "x"}', b'{"pid": 1}'],
)
def test_a_line_that_names_no_process_at_a_site_of_ours_is_told_and_left_out(
    line: bytes, net: Testnet, capsys: pytest.CaptureFixture[str]
) -> None:
    with Journal(net.meter / "journal.db") as journal:
        it = meter(net, Clock(), journal)
        it.tap(line)
        it.read()
    assert "meter-tap" in capsys.readouterr().err


def test_a_process_that_is_gone_is_told_and_left_out(net: Testnet, capsys: pytest.CaptureFixture[str]) -> None:
    with Journal(net.meter / "journal.db") as journal:
        meter(net, Clock(), journal).tap(json.dumps({"site": SITE, "pid": 2**22 + 1}).encode())
    assert "not tapped" in capsys.readouterr().err
