"""Lying verifiers as processes: the audit names each for what it did, nobody else, with evidence that stands alone."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from brakeline.audit.evidence.bundle import Bundle
from brakeline.audit.evidence.check import check
from brakeline.audit.replay import audit_sources
from brakeline.audit.report import AuditReport, LogState
from brakeline.ledger.source import opened
from brakeline.testnet.build import Testnet, build
from brakeline.testnet.liars import LIE
from brakeline.testnet.plan import LabPlan, Plan, Role
from brakeline.testnet.ports import Ports
from brakeline.testnet.processes import BRAKELINE, Troupe
from brakeline.testnet.stage import now_ms
from brakeline.testnet.terms import Pace

PACE = Pace(report=90_000, checkpoint=8_000, takeover=10_000, notice=20_000, acknowledge=90_000)
LAB = LabPlan(1, Role.IDLE)
PLAN = Plan(seed=0, labs=(LAB,), evidence=False, order_period=5)
LONGEST_S = 120.0

pytestmark = pytest.mark.timeout(300)


@dataclass
class Play:
    """A small treaty in processes, one verifier of which lies."""

    net: Testnet
    troupe: Troupe
    liar: str

    def audit(self) -> tuple[AuditReport, list[Bundle]]:
        """Audit all logs where they are served."""
        bundles: list[Bundle] = []
        urls = [verifier.url for verifier in self.net.document.verifiers]
        return audit_sources(urls, self.net.treaty, self.net.pin, evidence=bundles), bundles

    def until(self, condition: Callable[[AuditReport], bool]) -> tuple[AuditReport, list[Bundle]]:
        """Audit again and again until *condition* holds."""
        deadline = time.monotonic() + LONGEST_S
        while True:
            report, bundles = self.audit()
            if condition(report):
                return report, bundles
            assert time.monotonic() < deadline, json.dumps(report.to_json(), indent=1)[:6_000]
            self.troupe.check()
            time.sleep(0.5)


@contextmanager
def playing(root: Path, act: str, *options: str, clumsy: bool = False) -> Iterator[Play]:
    """Run four verifiers, the third of which lies, and the node of one lab."""
    with Ports() as ports, Troupe(root / "output") as troupe:
        net = build(root, PLAN, 4, now_ms, ports, lead_ms=8_000, pace=PACE)
        names = [verifier.name for verifier in net.document.verifiers]
        for name in names:
            command = [*BRAKELINE, "verifier", "serve", "--dir", str(net.verifier(name))]
            if name == names[2]:
                liar = ["-m", "brakeline.testnet.liars", "--dir", str(net.verifier(name)), "--act", act]
                command = [sys.executable, *liar, *options]
            troupe.start(name, command)
        folder = str(net.lab(LAB.name))
        node = [*BRAKELINE, "node", "run", "--dir", folder]
        lies = ["-m", "brakeline.testnet.cheat", "--dir", folder, "--imbalance", "0", "--second", "1"]
        troupe.start(LAB.name, [sys.executable, *lies] if clumsy else node)
        troupe.await_ready([*names, LAB.name])
        yield Play(net, troupe, names[2])


def acts(report: AuditReport) -> set[tuple[object, object]]:
    """Return (act, about) of what is said of verifiers."""
    found: set[tuple[object, object]] = set()
    for item in report.findings:
        figures = item.body["figures"]
        assert isinstance(figures, dict)
        if item.misconduct:
            found.add((figures["act"], item.body["about"]))
    return found


def reported(report: AuditReport) -> int:
    """Return the least number of statements that a log holds."""
    return min((log.entries.get("statement", 0) for log in report.logs), default=0)


def proven(play: Play, bundles: Sequence[Bundle], act: str) -> set[tuple[str, str]]:
    """Check every bundle as a stranger would, with a copy of the accused log; return (act, about)."""
    found: set[tuple[str, str]] = set()
    for bundle in bundles:
        if bundle.act == "equivocation":
            continue
        verifier = play.net.document.verifier_by_origin(bundle.about)
        assert verifier is not None
        with opened(verifier.url) as log:
            result = check(bundle, play.net.document, log)
        found.add((result.act, result.about))
    assert act in {item for item, _ in found}
    return found


def others_reproduce(play: Play, report: AuditReport) -> None:
    states = {log.origin: log.state for log in report.logs if log.origin != play.liar}
    assert set(states.values()) == {LogState.REPRODUCED}
    assert len(states) == 3


def test_a_verifier_that_omits_one_author_is_named(tmp_path: Path) -> None:
    with playing(tmp_path, "omission", "--about", LAB.site) as play:
        report, bundles = play.until(lambda report: bool(acts(report)))
        assert acts(report) == {("omission", play.liar)}
        others_reproduce(play, report)
        assert proven(play, bundles, "omission") == {("omission", play.liar)}


def test_a_verifier_that_backdates_is_named(tmp_path: Path) -> None:
    with playing(tmp_path, "backdating") as play:
        report, bundles = play.until(lambda report: bool(acts(report)))
        assert acts(report) == {("backdating", play.liar)}
        others_reproduce(play, report)
        assert proven(play, bundles, "backdating") == {("backdating", play.liar)}


def test_a_verifier_that_hides_findings_is_named_and_they_are_found_all_the_same(tmp_path: Path) -> None:
    with playing(tmp_path, "misjudging", clumsy=True) as play:
        report, bundles = play.until(lambda report: bool(acts(report)))
        assert acts(report) == {("misjudging", play.liar)}
        others_reproduce(play, report)
        assert {"imbalance"} <= {str(item.body["rule"]) for item in report.findings}
        assert proven(play, bundles, "misjudging") == {("misjudging", play.liar)}


def test_a_verifier_that_shows_another_history_is_named(tmp_path: Path) -> None:
    with playing(tmp_path, "fork") as play:
        honest, _ = play.until(lambda report: reported(report) >= 4)  # enrolment, inventory, two periods of books
        assert acts(honest) == set()
        (play.net.verifier(play.liar) / LIE).touch()
        report, bundles = play.until(lambda report: bool(acts(report)))
        assert acts(report) == {("fork", play.liar)}
        assert proven(play, bundles, "fork") == {("fork", play.liar)}
        assert "quorum-missing" in {problem.code for problem in report.unchecked}  # honest witnesses do not cosign it
