"""Four ways to get round the brake, in four whole logs: what each log finds itself, and what only the verdict can.

The statements are those that an honest node of each site would make: a trainer that ignores the hook, one that lies
about its digest, one that goes on from other weights, one whose node is cut off.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from brakeline.audit.replay import audit_sources
from brakeline.audit.report import AuditReport
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.statements import StoppedWorkload

from tests.support import cast, worlds
from tests.support.cast import line

FULL = cast.CHIPS * cast.PERIOD
EFFECTIVE, EXPIRY = 2, 7
PERIODS = 9


def weights(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


class Play:
    """An honest site and a cheat, under a pause of everybody that expires."""

    def __init__(self, silence: str = "continue") -> None:
        times = cast.json_lines([cast.terms()["deadlines"]])[0]
        slower = {**times, "heartbeat_ms": cast.PERIOD, "report_ms": 10_000, "acknowledge_ms": 12_000}
        self.world = worlds.World(cast.document(silence=silence, deadlines=slower))  # few heartbeats keep logs small
        self.world.beat()
        self.order = cast.order(self.world.document, effective=EFFECTIVE, expiry=EXPIRY)
        self.honest, self.cheat = (worlds.Site(self.world, name) for name in (cast.SITE, cast.OTHER_SITE))
        self.held_back: list[Envelope] = []

    def book(self, site: worlds.Site, period: int, training: int, *, cut: bool = False) -> None:
        works = (line("training", training, flop_model="1000"),) if training else ()
        books = site.author.use(period, site.inventory, (*works, line("idle", FULL - training, workload="idle")))
        self.send(books, cut=cut)

    def acknowledge(self, site: worlds.Site, at: int, *, frozen: str, resumed: str | None = None) -> None:
        stop = StoppedWorkload.model_validate({"workload": "job", "step": 9, "freeze": frozen, "resumed": resumed})
        self.send(site.author.acknowledge(self.order, stop, at=at))

    def send(self, envelope: Envelope, *, cut: bool = False) -> None:
        """Publish *envelope*, or hold it back until the cable is mended."""
        if cut:
            self.held_back.append(envelope)
        else:
            self.world.publish(envelope)

    def mend(self) -> None:
        for envelope in self.held_back:
            self.world.publish(envelope)
        self.held_back.clear()

    def run(self, act: Callable[[int], None]) -> None:
        """Live through the periods: the honest site obeys, the cheat does *act* at the end of each."""
        for period in range(PERIODS):
            if period == EFFECTIVE - 1:
                self.world.publish(self.order)
            self.world.until(cast.START + (period + 1) * cast.PERIOD + worlds.BEAT)
            bound = EFFECTIVE <= period < EXPIRY
            if period == EFFECTIVE:
                self.acknowledge(self.honest, start(EFFECTIVE), frozen=weights("mine"))
            if period == EXPIRY:
                self.acknowledge(self.honest, start(EFFECTIVE), frozen=weights("mine"), resumed=weights("mine"))
            self.book(self.honest, period, 0 if bound else FULL // 2)
            act(period)

    def audit(self, root: Path) -> AuditReport:
        """Audit the logs as they are, when the books of the last period are due."""
        due = start(PERIODS) + self.world.document.deadlines.report_ms.value + 1
        self.world.until(due)
        self.world.beat()
        paths = self.world.export(root / "logs")
        treaty = self.world.write_treaty(root / "t.json")
        report = audit_sources([str(path) for path in paths], treaty, self.world.pin, as_of_ms=due)
        assert {log.state for log in report.logs} == {"reproduced"}
        assert {item.body["about"] for item in report.findings} <= {cast.OTHER_SITE}
        return report

    def logged(self) -> list[set[str]]:
        """Return, for each log, the rules whose findings stand in it."""
        return [{item.rule for item in log.judge.standing().values()} for log in self.world.logs]


def start(period: int) -> int:
    return cast.START + period * cast.PERIOD


def rules(report: AuditReport) -> set[object]:
    return {item.body["rule"] for item in report.findings}


def test_a_trainer_that_ignores_the_hook_is_found_by_the_verdict(tmp_path: Path) -> None:
    play = Play()
    play.run(lambda period: play.book(play.cheat, period, FULL // 2))
    report = play.audit(tmp_path)
    assert rules(report) == {"brake-breach", "unacknowledged-order"}
    breached = {item.body["period"] for item in report.findings if item.body["rule"] == "brake-breach"}
    assert breached == set(range(EFFECTIVE + 1, EXPIRY))  # the first period is notice
    assert play.logged() == [set()] * 4


@pytest.mark.parametrize(("said", "gone_on_from"), [("not these", "its own"), ("mine", "others")])
def test_a_digest_that_is_a_lie_and_weights_that_are_others_are_found_in_every_log(
    said: str, gone_on_from: str, tmp_path: Path
) -> None:
    play = Play()

    def act(period: int) -> None:
        if period == EFFECTIVE:
            play.acknowledge(play.cheat, start(EFFECTIVE), frozen=weights(said))
        if period == EXPIRY:
            play.acknowledge(play.cheat, start(EFFECTIVE), frozen=weights(said), resumed=weights(gone_on_from))
        play.book(play.cheat, period, 0 if EFFECTIVE <= period < EXPIRY else FULL // 2)

    play.run(act)
    report = play.audit(tmp_path)
    assert rules(report) == {"resume-mismatch"}
    assert play.logged() == [{"resume-mismatch"}] * 4
    (finding,) = report.findings
    figures = finding.body["figures"]
    assert isinstance(figures, dict)
    assert (figures["frozen"], figures["resumed"]) == (weights(said), weights(gone_on_from))


@pytest.mark.parametrize("silence", ["continue", "stop"])
def test_a_node_that_is_cut_off_is_found_by_what_is_missing_and_by_the_clause_on_silence(
    silence: str, tmp_path: Path
) -> None:
    """It hears no order. Under `stop` it rests all the same; under `continue` its books, when they come, show it."""
    play = Play(silence)

    def act(period: int) -> None:
        cut = period >= EFFECTIVE - 1
        rests = silence == "stop" and period >= EFFECTIVE
        play.book(play.cheat, period, 0 if rests else FULL // 2, cut=cut)

    play.run(act)
    assert rules(play.audit(tmp_path / "before")) == {"missing-period", "unacknowledged-order"}
    play.mend()
    report = play.audit(tmp_path / "after")
    expected = {"late", "unacknowledged-order"}
    assert rules(report) == (expected if silence == "stop" else expected | {"brake-breach"})
    assert play.logged() == [set()] * 4


def test_an_honest_site_is_accused_of_nothing(tmp_path: Path) -> None:
    play = Play()

    def act(period: int) -> None:
        if period in (EFFECTIVE, EXPIRY):
            mine = weights("mine") if period == EXPIRY else None
            play.acknowledge(play.cheat, start(EFFECTIVE), frozen=weights("mine"), resumed=mine)
        play.book(play.cheat, period, 0 if EFFECTIVE <= period < EXPIRY else FULL // 2)

    play.run(act)
    assert rules(play.audit(tmp_path)) == set()
    assert play.logged() == [set()] * 4
