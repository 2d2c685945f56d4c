"""Evidence and copies of logs where the treaty was amended: keys that only version 2 admits, and terms that it changed.

The world: version 2 governs from period 1, lets a lab and a fifth verifier in, and drops the fourth verifier.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from brakeline.audit.commands import app
from brakeline.audit.evidence.bundle import Backdating, Bundle, render
from brakeline.audit.evidence.check import check
from brakeline.audit.pinned import load_pinned
from brakeline.audit.replay import audit_sources
from brakeline.audit.report import AuditReport, LogState
from brakeline.audit.watch.alarms import Event
from brakeline.audit.watch.rounds import Watch
from brakeline.ledger.checkpoint import add_signatures, cosign
from brakeline.ledger.entry import Kind
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.prove import make_receipt
from brakeline.ledger.source import open_source
from brakeline.treaty.succession import Succession
from typer.testing import CliRunner

from tests.support import cast, worlds
from tests.support.cast import Author, amended, amendment_envelope
from tests.support.worlds import BEAT, World, WorldLog

LAB, FIFTH = "lab-9.party-a.example", "verifier-5.example"
V1 = cast.document()
_LINES = cast.json_lines(V1.to_json()["verifier"])
V2 = amended(
    V1,
    1,
    lab=[
        *cast.json_lines(V1.to_json()["lab"]),
        {**cast.json_lines(V1.to_json()["lab"])[0], "name": LAB, "root_key": str(cast.vkey(LAB))},
    ],
    verifier=[
        *_LINES[:3],
        {
            **_LINES[3],
            "name": FIFTH,
            "log_key": str(cast.vkey(FIFTH, "log")),
            "witness_key": str(cast.vkey(FIFTH, "witness")),
        },
    ],
)
AMENDMENT = amendment_envelope(
    V2, *(cast.signer(name) for name in (*cast.PARTIES, LAB)), cast.signer(FIFTH, "log"), cast.signer(FIFTH, "witness")
)
BOTH = Succession(V1, [V2])
NOW = [item.name for item in V2.verifiers]


def grown() -> World:
    """One site reports period 0; then version 2 comes, and the fifth verifier starts its log with both versions."""
    world = World(V1)
    world.beat()
    site = worlds.Site(world, cast.SITE)
    world.until(cast.START + cast.PERIOD + BEAT)
    site.report(0)
    world.publish(AMENDMENT)
    log = WorldLog(FIFTH, V1)
    for envelope in (world.treaty, AMENDMENT):
        log.append(world.now_ms, Kind.TREATY, envelope.to_body())
    dropped = world.logs.pop()
    dropped.silent = True
    world.logs.append(log)
    for item in world.logs:
        item.witnesses = NOW
    world.beat(2)
    site.author.treaty = V2
    world.until(cast.START + 2 * cast.PERIOD + BEAT)
    site.report(1, missing=500)
    world.beat(2)
    return world


@pytest.fixture
def pin(tmp_path: Path) -> Path:
    """The folder form of the treaty: both versions."""
    folder = tmp_path / "treaty"
    folder.mkdir()
    (folder / "v1.json").write_bytes(cast.treaty_envelope(V1).to_dsse_json())
    (folder / "v2.json").write_bytes(AMENDMENT.to_dsse_json())
    return folder


def audit(world: World, root: Path, pin: Path, digest: str = V2.digest) -> tuple[AuditReport, list[Bundle], list[Path]]:
    bundles: list[Bundle] = []
    logs = world.export(root / "logs")
    treaty = pin if digest == V2.digest else pin / "v1.json"
    return audit_sources([str(path) for path in logs], treaty, digest, evidence=bundles), bundles, logs


@pytest.mark.parametrize("digest", [V1.digest, V2.digest])
def test_the_log_of_a_verifier_that_joined_is_read_and_the_quorum_is_that_of_its_version(
    tmp_path: Path, pin: Path, digest: str
) -> None:
    report, bundles, logs = audit(grown(), tmp_path, pin, digest)
    assert {log.origin: log.state for log in report.logs} == dict.fromkeys(NOW, LogState.REPRODUCED)
    assert all(sorted(log.cosigned) == sorted(f"{name}/witness" for name in NOW) for log in report.logs)
    codes = {problem.code for problem in report.unchecked}
    assert not codes & {"quorum-missing", "log-not-read", "audit-quorum"}, report.unchecked
    assert bundles == []
    alone = audit_sources([str(logs[-1])], pin, V2.digest)
    assert [log.state for log in alone.logs] == [LogState.REPRODUCED]


def test_a_log_that_no_version_names_stays_unreadable(tmp_path: Path, pin: Path) -> None:
    world = grown()
    alone = audit_sources([str(world.export(tmp_path)[-1])], pin / "v1.json", V1.digest)
    (log,) = alone.logs
    assert log.divergence is not None
    assert log.divergence.code == "source-unknown-log"


def test_a_cosignature_of_a_verifier_that_left_does_not_count_for_the_quorum(tmp_path: Path, pin: Path) -> None:
    world = grown()
    world.logs[0].witnesses = [*cast.VERIFIERS[1:]]  # three of version 1, of which one left
    world.beat()
    report, _, _ = audit(world, tmp_path, pin)
    assert [x.code for x in report.unchecked].count("quorum-missing") == 1


def proven(bundle: Bundle, pin: Path, root: Path, *more: str) -> str:
    """Check *bundle* by the command under the folder form of the pin; return whom it convicts."""
    file = root / "one.evidence.json"
    file.write_bytes(render(bundle))
    told = CliRunner().invoke(
        app, ["verify-evidence", str(file), "--treaty", str(pin), "--pin", V2.digest, *more, "--format", "json"]
    )
    assert told.exit_code == 0, told.exception
    return str(json.loads(told.output)["about"])


def test_a_fork_under_a_log_key_that_only_the_later_version_admits(tmp_path: Path, pin: Path) -> None:
    world = grown()
    log = world.logs[-1]
    shown = log.published
    log.published = log.sign(world.now_ms, root=bytes(32))
    for peer in world.logs[:-1]:
        world._heartbeat(peer)
    log.published = shown
    world.now_ms += BEAT
    for peer in world.logs[:-1]:
        peer.publish(world.now_ms)
    _, bundles, _ = audit(world, tmp_path, pin, V1.digest)
    (bundle,) = [item for item in bundles if item.act == "fork"]
    assert bundle.treaty == V2.digest, "whoever pinned version 1 only learns which version it takes"
    assert proven(bundle, pin, tmp_path) == FIFTH
    with pytest.raises(BrakelineError, match="evidence-other-treaty"):
        check(bundle, Succession(V1))


def test_an_equivocation_under_a_lab_key_that_only_the_later_version_admits(tmp_path: Path, pin: Path) -> None:
    world = grown()
    world.publish(Author(LAB, V2).enrol(f"{LAB}/site-1", period=2), to=(0, 1))
    world.publish(Author(LAB, V2).enrol(f"{LAB}/site-2", period=2), to=(2, 3))
    world.beat(2)
    _, bundles, _ = audit(world, tmp_path, pin)
    (bundle,) = [item for item in bundles if item.act == "equivocation"]
    assert (bundle.about, bundle.treaty) == (LAB, V2.digest)
    assert proven(bundle, pin, tmp_path) == LAB


@pytest.mark.parametrize("place", [0, -1])
def test_a_judgement_withheld_that_version_two_asked_for(tmp_path: Path, pin: Path, place: int) -> None:
    world = grown()
    world.logs[place].findings = lambda due: []
    world.until(cast.START + 3 * cast.PERIOD + BEAT)
    author, (head,) = Author(cast.SITE, V2), world.logs[place].register.heads(cast.SITE)
    author.sequence, author.previous = head[0] + 1, head[1]
    world.publish(author.use(2, Author(cast.SITE, V1).hold().digest, (cast.line("idle", 10),)), by=cast.SITE)
    world.beat(2)
    _, bundles, logs = audit(world, tmp_path, pin)
    (bundle,) = [item for item in bundles if item.act == "misjudging"]
    assert bundle.treaty == (V1.digest if place == 0 else V2.digest)
    assert proven(bundle, pin, tmp_path, "--log", str(logs[place])) == NOW[place]


def test_a_witness_that_left_and_a_liar_cannot_frame_a_log_for_its_times(tmp_path: Path) -> None:
    """Each version has f liars among its own verifiers; those of two versions are not added up."""
    world = grown()
    log = world.logs[0]
    log.witnesses = NOW[:1]
    note = log.sign(world.now_ms)
    early = world.now_ms // 1000 - 3600
    liars = (cast.VERIFIERS[3], NOW[2])
    lies = [cosign(note, cast.vkey(name, "witness"), cast.signer(name, "witness"), early) for name in liars]
    log.published, log.published_size = add_signatures(note, lies), len(log.entries)
    receipt = make_receipt(open_source(str(log.export(tmp_path / "log"))), len(log.entries) - 1).decode()
    bundle = Backdating(format="brakeline-evidence/v1", treaty=V2.digest, about=log.name, receipt=receipt)
    with pytest.raises(BrakelineError, match="evidence-proves-nothing"):
        check(bundle, BOTH)


def test_a_date_that_the_witnesses_of_the_later_version_contradict(tmp_path: Path, pin: Path) -> None:
    world = grown()
    liar, honest = world.logs[0], world.now_ms
    for _ in range(4):
        honest += BEAT
        world.now_ms = honest + 10_000
        world._heartbeat(liar)
        liar.publish(honest)
    world.now_ms = honest
    for log in world.logs[1:]:
        world._heartbeat(log)
        log.publish(honest)
    _, bundles, _ = audit(world, tmp_path, pin)
    (bundle,) = [item for item in bundles if item.act == "backdating"]
    assert bundle.treaty == V2.digest
    assert proven(bundle, pin, tmp_path) == liar.name


def test_a_receipt_of_a_verifier_that_joined(tmp_path: Path, pin: Path) -> None:
    world = grown()
    logs = world.export(tmp_path / "logs")
    folder = tmp_path / "receipts"
    folder.mkdir()
    (folder / "one.tlog-proof").write_bytes(make_receipt(open_source(str(logs[-1])), 3))
    report = audit_sources([str(path) for path in logs], pin, V2.digest, receipts=folder)
    assert report.receipts is not None
    assert (report.receipts.honoured, report.receipts.read) == (1, 1)
    assert "receipt-quorum" not in {problem.code for problem in report.unchecked}


def test_a_watch_follows_a_log_that_it_learns_of_on_the_way(tmp_path: Path) -> None:
    world = grown()
    paths = [str(path) for path in world.export(tmp_path / "logs")]
    watch = Watch([paths[-1], *paths[:-1]], Succession(V1), tmp_path / "state", lambda: world.now_ms)
    events: list[Event] = []
    watch.round(events.append)
    assert watch.followers[0].problem is not None, "version 2 stands in the other logs, which come after it"
    watch.round(events.append)
    assert watch.report is not None
    assert [log.origin for log in watch.report.logs] == [FIFTH, *NOW[:3]]
    assert watch.followers[0].problem is None


def test_versions_are_loaded_up_to_the_pin(pin: Path) -> None:
    assert list(load_pinned(pin, V2.digest).known) == [V1.digest, V2.digest]
    assert list(load_pinned(pin, V1.digest).known) == [V1.digest]
