"""Lying verifiers as processes: the audit names each for what it did, nobody else, with evidence that stands alone.

Each play runs four verifiers, one of which lies, and the node of one lab. Its logs are audited where they are served
until the lie shows; then the network is gone, and what was mirrored of it must convict, bundle by bundle.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from brakeline.audit.commands import app
from brakeline.audit.evidence.bundle import EvidenceError
from brakeline.audit.replay import audit_sources
from brakeline.audit.report import AuditReport, Exit, LogState
from brakeline.ledger.mirror import Mirror
from brakeline.ledger.source import opened
from brakeline.testnet.build import Testnet, build
from brakeline.testnet.plan import LabPlan, Plan, Role
from brakeline.testnet.ports import LOOPBACK, Ports
from brakeline.testnet.processes import BRAKELINE, Troupe
from brakeline.testnet.stage import now_ms
from brakeline.testnet.terms import Pace
from brakeline.treaty.strictjson import JsonObject
from typer.testing import CliRunner

PACE = Pace(report=90_000, checkpoint=5_000, takeover=6_000, notice=20_000, acknowledge=90_000)
LAB = LabPlan(1, Role.IDLE)
PLAN = Plan(seed=0, labs=(LAB,), evidence=False, order_period=5)
LONGEST_S = 120.0
NEED_LOG = {"omission", "misjudging"}
"""Acts that are about a whole log: their bundles are checked with a copy of it, the others' with nothing."""

pytestmark = pytest.mark.timeout(300)


@dataclass
class Play:
    """A small treaty in processes, one verifier of which lies."""

    root: Path
    net: Testnet
    troupe: Troupe
    liar: str
    face: str = ""
    mirrors: list[Path] = field(default_factory=list[Path])

    @property
    def sources(self) -> dict[str, str]:
        """Log -> where this auditor reads it: a forking verifier shows it its second history."""
        urls = {verifier.name: verifier.url for verifier in self.net.document.verifiers}
        return {**urls, self.liar: f"http://{self.face}"} if self.face else urls

    @property
    def receipts(self) -> Path:
        """What the lab's node was given."""
        return self.net.lab(LAB.name) / "receipts"

    def audit(self) -> AuditReport:
        """Audit all logs where they are served, and the lab's receipts."""
        return audit_sources(list(self.sources.values()), self.net.treaty, self.net.pin, receipts=self.receipts)

    def until(self, condition: Callable[[AuditReport], bool]) -> AuditReport:
        """Audit again and again until *condition* holds."""
        deadline = time.monotonic() + LONGEST_S
        while True:
            report = self.audit()
            if condition(report):
                return report
            assert time.monotonic() < deadline, json.dumps(report.to_json(), indent=1)[:6_000]
            self.troupe.check()
            time.sleep(0.3)

    def mirror(self) -> None:
        """Mirror every log as this auditor sees it, for when the network is gone."""
        for name, url in self.sources.items():
            verifier = self.net.document.verifier(name)
            assert verifier is not None
            with opened(url) as source:
                Mirror(self.root / "mirrors" / name, verifier.log_key).update(source)
            self.mirrors.append(self.root / "mirrors" / name)


@contextmanager
def playing(root: Path, act: str, *options: str, clumsy: bool = False) -> Iterator[Play]:
    """Run four verifiers, the third of which lies, and the node of one lab."""
    with Ports() as ports, Troupe(root / "output") as troupe:
        net = build(root, PLAN, 4, now_ms, ports, lead_ms=1_000, pace=PACE)
        names = [verifier.name for verifier in net.document.verifiers]
        play = Play(root, net, troupe, names[2])
        if act == "fork":
            play.face = f"{LOOPBACK}:{ports.take(1)[0]}"
            options = ("--face", play.face, "--fooled", names[3])
            with (net.verifier(names[3]) / "verifier.toml").open("a") as config:
                config.write(f'\n[peers]\n"{play.liar}" = "http://{play.face}"\n')
        for name in names:
            command = [*BRAKELINE, "verifier", "serve", "--dir", str(net.verifier(name))]
            if name == play.liar:
                lying = ["-m", "brakeline.testnet.liars", "--dir", str(net.verifier(name)), "--act", act]
                command = [sys.executable, *lying, *options]
            troupe.start(name, command)
        folder = str(net.lab(LAB.name))
        node = [*BRAKELINE, "node", "run", "--dir", folder]
        lies = ["-m", "brakeline.testnet.cheat", "--dir", folder, "--imbalance", "0", "--second", "-1"]
        troupe.start(LAB.name, [sys.executable, *lies] if clumsy else node)
        troupe.await_ready([*names, LAB.name])
        try:
            yield play
        finally:
            troupe.kill(LAB.name)  # it would wait for all to take its last statements, and liars need not


def acts(report: AuditReport) -> set[tuple[object, object]]:
    """Return (act, about) of what is said of verifiers."""
    found: set[tuple[object, object]] = set()
    for item in report.findings:
        if item.misconduct:
            figures = item.body["figures"]
            assert isinstance(figures, dict)
            found.add((figures["act"], item.body["about"]))
    return found


def about_labs(report: AuditReport) -> set[tuple[object, object]]:
    """Return (rule, about) of what is said of labs."""
    return {(item.body["rule"], item.body["about"]) for item in report.findings if not item.misconduct}


def others_reproduce(play: Play, report: AuditReport) -> None:
    states = {log.origin: log.state for log in report.logs if log.origin != play.liar}
    assert set(states.values()) == {LogState.REPRODUCED}
    assert len(states) == 3


def convicted(play: Play) -> set[tuple[str, str]]:
    """Audit the mirrors by command, and check every bundle alone, as a stranger would; return (act, about) proven."""
    terms = ["--treaty", str(play.net.treaty), "--pin", play.net.pin]
    folder = play.root / "evidence"
    logs = [str(path) for path in play.mirrors]
    options = ["--receipts", str(play.receipts), "--evidence", str(folder), "--format", "json"]
    call(2, "replay", *logs, *terms, *options)
    proven: set[tuple[str, str]] = set()
    for path in sorted(folder.iterdir()):
        act = json.loads(path.read_bytes())["act"]
        copy = ["--log", str(play.root / "mirrors" / play.liar)] if act in NEED_LOG else []
        told = call(0, "verify-evidence", str(path), *terms, *copy, "--format", "json")
        proven.add((str(told["act"]), str(told["about"])))
        if copy:
            other = CliRunner().invoke(app, ["verify-evidence", str(path), *terms, "--log", logs[0]])
            assert isinstance(other.exception, EvidenceError)
            assert other.exception.code == "evidence-other-log"
    return proven


def call(code: int, *arguments: str) -> JsonObject:
    """Run ``brakeline audit``, which must exit with *code*; return the JSON that it prints."""
    answer = CliRunner().invoke(app, list(arguments))
    assert answer.exit_code == code, answer.output
    value = json.loads(answer.stdout)
    assert isinstance(value, dict)
    return value


def test_a_verifier_that_omits_one_author_is_named(tmp_path: Path) -> None:
    with playing(tmp_path, "omission", "--about", LAB.site) as play:
        report = play.until(lambda report: bool(acts(report)))
        play.mirror()
    assert acts(report) == {("omission", play.liar)}
    assert about_labs(report) == set()
    others_reproduce(play, report)
    assert convicted(play) == {("omission", play.liar)}


def test_a_verifier_that_merely_refuses_is_not_accused_and_what_it_lacks_is_said(tmp_path: Path) -> None:
    def lacking(report: AuditReport) -> list[str]:
        return [problem.message for problem in report.unchecked if problem.code == "statements-lacking"]

    with playing(tmp_path, "refusal", "--about", LAB.site) as play:
        report = play.until(lambda report: bool(lacking(report)))
    assert (acts(report), about_labs(report)) == (set(), set())
    assert {log.state for log in report.logs} == {LogState.REPRODUCED}
    (message,) = lacking(report)
    assert play.liar in message
    assert report.exit is Exit.OPEN


def test_a_verifier_that_backdates_is_named(tmp_path: Path) -> None:
    with playing(tmp_path, "backdating") as play:
        report = play.until(lambda report: bool(acts(report)))
        play.mirror()
    assert acts(report) == {("backdating", play.liar)}
    assert about_labs(report) == set()
    others_reproduce(play, report)
    assert convicted(play) == {("backdating", play.liar)}


def test_a_verifier_that_hides_findings_is_named_and_they_are_found_all_the_same(tmp_path: Path) -> None:
    with playing(tmp_path, "hiding", clumsy=True) as play:
        report = play.until(lambda report: bool(acts(report)))
        play.mirror()
    assert acts(report) == {("misjudging", play.liar)}
    assert about_labs(report) == {("imbalance", LAB.site)}
    others_reproduce(play, report)
    assert convicted(play) == {("misjudging", play.liar)}


def test_a_verifier_that_slanders_a_lab_is_named_and_the_lab_is_not(tmp_path: Path) -> None:
    with playing(tmp_path, "slander", "--about", LAB.site) as play:
        report = play.until(lambda report: bool(acts(report)))
        play.mirror()
    assert acts(report) == {("misjudging", play.liar)}
    assert about_labs(report) == set()
    others_reproduce(play, report)
    assert convicted(play) == {("misjudging", play.liar)}


def test_a_verifier_that_shows_two_histories_is_named_by_whoever_sees_the_second(tmp_path: Path) -> None:
    with playing(tmp_path, "fork") as play:
        report = play.until(lambda report: len(acts(report)) == 2)
        first = play.net.document.verifier(play.liar)
        assert first is not None
        both = audit_sources([first.url, f"http://{play.face}"], play.net.treaty, play.net.pin)
        play.mirror()
    assert acts(report) == {("fork", play.liar), ("dishonoured-receipt", play.liar)}
    assert about_labs(report) == set()
    others_reproduce(play, report)
    assert convicted(play) == {("fork", play.liar), ("dishonoured-receipt", play.liar)}
    assert [log.divergence.code for log in both.logs if log.divergence] == ["log-forked", "log-forked"]
    # One witness was fooled, and its verifier stayed honest: it took nothing over that no quorum had cosigned.
    cosigned = next(set(log.cosigned) for log in report.logs if log.origin == play.liar)
    assert len(cosigned) == 2
    assert "quorum-missing" in {problem.code for problem in report.unchecked}
