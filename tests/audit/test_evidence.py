"""Evidence bundles: every act is proven by one file and the treaty, and no bundle convicts an honest verifier."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from brakeline.audit.commands import app
from brakeline.audit.evidence.bundle import (
    Backdating,
    Bundle,
    DishonouredReceipt,
    EvidenceError,
    Fork,
    Misjudging,
    Omission,
    parse,
    render,
)
from brakeline.audit.evidence.check import check
from brakeline.audit.replay import audit_sources
from brakeline.audit.report import Exit
from brakeline.ledger.checkpoint import Checkpoint, add_signatures, cosign
from brakeline.ledger.entry import Entry, Kind
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.note import parse as parse_note
from brakeline.ledger.proof import Receipt
from brakeline.ledger.prove import make_receipt, receipt_from
from brakeline.ledger.reader import LogReader
from brakeline.ledger.source import Source, open_source
from brakeline.treaty.logbody import parse_heartbeat
from brakeline.treaty.strictjson import JsonValue, canonical, parse_any
from brakeline.treaty.succession import Succession
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.support import cast, worlds
from tests.support.worlds import World, WorldLog

DAY = 86_400_000


@dataclass(frozen=True)
class Case:
    """A misdeed as an auditor found it.

    Attributes:
        world: whose treaty judges.
        bundle: the evidence that the audit wrote.
        log: a copy of the accused log.
        others: copies of the honest logs.
    """

    world: World
    bundle: Bundle
    log: Path | None
    others: tuple[Path, ...]

    def source(self) -> Source | None:
        return None if self.log is None else open_source(str(self.log))


def found(world: World, root: Path, *, copies: tuple[Path, ...] = (), receipts: Path | None = None) -> list[Bundle]:
    paths = (*world.export(root / "logs"), *copies)
    bundles: list[Bundle] = []
    report = audit_sources(
        [str(path) for path in paths],
        world.write_treaty(root / "treaty.json"),
        world.pin,
        receipts=receipts,
        evidence=bundles,
    )
    assert report.exit in (Exit.MISCONDUCT, Exit.FINDINGS)
    assert "evidence-not-made" not in {problem.code for problem in report.unchecked}
    return bundles


def case(world: World, root: Path, act: str, log: WorldLog | None) -> Case:
    (bundle,) = [item for item in found(world, root) if item.act == act]
    names = {item.name: root / "logs" / item.name for item in world.logs}
    mine = None if log is None else names.pop(log.name)
    return Case(world, bundle, mine, tuple(names.values()))


def forking(root: Path) -> Case:
    """A log shows its peers another root than its readers."""
    world = worlds.honest()
    log = world.logs[0]
    shown = log.published
    log.published = log.sign(world.now_ms, root=bytes(32))
    for peer in world.logs[1:]:
        world._heartbeat(peer)
    log.published = shown
    world.now_ms += worlds.BEAT
    for peer in world.logs[1:]:
        peer.publish(world.now_ms)
    return case(world, root, "fork", log)


def forking_behind(root: Path) -> Case:
    """As :func:`forking`, but the log has grown since: the bundle needs a consistency proof."""
    world = worlds.honest()
    log = world.logs[0]
    shown = log.published
    log.published = log.sign(world.now_ms, root=bytes(32))
    for peer in world.logs[1:]:
        world._heartbeat(peer)
    log.published = shown
    world.beat(3)
    return case(world, root, "fork", log)


def copies_that_differ(root: Path) -> Case:
    """Two copies of one log, of equal size and then of unequal size, cannot both be true."""
    world = worlds.honest()
    log = world.logs[0]
    first = log.export(root / "first")
    beat = log.entries.pop()
    log.append(beat.received_at_ms + 1, beat.kind, beat.body)
    log.publish(world.now_ms)
    (bundle,) = {render(item): item for item in found(world, root, copies=(first,)) if item.act == "fork"}.values()
    return Case(world, bundle, None, tuple(root / "logs" / item.name for item in world.logs[1:]))


def misjudging(root: Path) -> Case:
    world, (_, bad) = worlds._begin(None)
    world.logs[2].findings = lambda due: []
    world.until(cast.START + cast.PERIOD + worlds.BEAT)
    bad.report(0, missing=1)
    world.beat(2)
    return case(world, root, "misjudging", world.logs[2])


def misjudging_at_the_end(root: Path) -> Case:
    """Signed between a heartbeat and its findings, which come later: what was signed by then convicts."""
    world, (_, bad) = worlds._begin(None)
    log = world.logs[2]
    kept: list[bytes] = []
    log.findings = lambda due: kept.extend(due) or []  # type: ignore[func-returns-value]
    world.until(cast.START + cast.PERIOD + worlds.BEAT)
    bad.report(0, missing=1)
    world.beat()
    (bundle,) = [item for item in found(world, root / "then") if item.act == "misjudging"]
    for body in kept:
        log.append(world.now_ms, Kind.FINDING, body)
    log.findings = list
    world.beat()
    return Case(world, bundle, log.export(root / "now"), ())


def misjudging_by_bytes(root: Path) -> Case:
    """An entry that is none, under the log's own signature."""
    world = worlds.honest()
    log = world.logs[1]
    last = log.entries[-1]
    log.entries.append(Entry(last.index + 1, last.digest, world.now_ms, Kind.STATEMENT, b"", b"no envelope"))
    log.publish(world.now_ms)
    return case(world, root, "misjudging", log)


def omitting(root: Path) -> Case:
    world, (site, _) = worlds._begin(None)
    world.logs[2].deaf = True
    world.until(cast.START + cast.PERIOD + worlds.BEAT)
    site.report(0, to=(0, 1))
    world.beat(world.document.deadlines.takeover_ms.value // worlds.BEAT + 5)
    bundles = [item for item in found(world, root) if item.act == "omission"]
    assert {item.about for item in bundles} == {world.logs[2].name}
    names = [root / "logs" / item.name for item in world.logs]
    return Case(world, bundles[0], names[2], (names[0], names[1], names[3]))


def dated(by_ms: int) -> Callable[[Path], Case]:
    def make(root: Path) -> Case:
        world = worlds.honest()
        liar = world.logs[1]
        honest_time = world.now_ms
        for _ in range(4):
            honest_time += worlds.BEAT
            world.now_ms = max(honest_time + by_ms, liar.entries[-1].received_at_ms)
            world._heartbeat(liar)
            liar.publish(honest_time)
        world.now_ms = honest_time
        for log in world.logs[:1] + world.logs[2:]:
            world._heartbeat(log)
            log.publish(honest_time)
        return case(world, root, "backdating", liar)

    return make


def dated_unseen(root: Path) -> Case:
    """A log that no witness cosigns dates its heartbeats back; the peers' checkpoints in them are cosigned later."""
    world = worlds.honest()
    liar, honest_time = world.logs[1], world.now_ms
    liar.witnesses = ()
    for _ in range(6):
        honest_time += worlds.BEAT
        world.now_ms = honest_time
        for log in world.logs[:1] + world.logs[2:]:
            world._heartbeat(log)
            log.publish(honest_time)
        world.now_ms = max(honest_time - 10_000, liar.entries[-1].received_at_ms)
        world._heartbeat(liar)
        liar.publish(honest_time)
    return case(world, root, "backdating", liar)


def dishonouring(root: Path) -> Case:
    """A log gives a receipt, and then shows a history without the entry."""
    world, (site, _) = worlds._begin(None)
    log = world.logs[0]
    world.until(cast.START + cast.PERIOD + worlds.BEAT)
    site.report(0, to=(0, 1))
    log.publish(world.now_ms)
    (root / "receipts" / log.name).mkdir(parents=True)
    receipt = make_receipt(open_source(str(log.export(root / "promised"))), log.published_size - 1)
    (root / "receipts" / log.name / "7-abc.tlog-proof").write_bytes(receipt)
    del log.entries[-1]
    log.append(world.now_ms, Kind.HEARTBEAT, log.entries[-1].body)
    log.publish(world.now_ms)
    bundles = found(world, root, receipts=root / "receipts")
    (bundle,) = [item for item in bundles if item.act == "dishonoured-receipt"]
    return Case(world, bundle, root / "logs" / log.name, ())


def equivocating(root: Path) -> Case:
    return case(worlds.cheating(), root, "equivocation", None)


MISDEEDS: dict[str, Callable[[Path], Case]] = {
    "fork": forking,
    "fork, log grown": forking_behind,
    "fork, two copies": copies_that_differ,
    "misjudging": misjudging,
    "misjudging, mended later": misjudging_at_the_end,
    "misjudging, no entry": misjudging_by_bytes,
    "omission": omitting,
    "backdating, early": dated(-10_000),
    "backdating, late": dated(10_000),
    "backdating, by peers' checkpoints": dated_unseen,
    "dishonoured receipt": dishonouring,
    "equivocation": equivocating,
}
NEED_LOG = ("misjudging", "omission")


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    return {name: make(tmp_path_factory.mktemp("case")) for name, make in MISDEEDS.items()}


def judge(bundle: Bundle, case: Case, log: Source | None = None) -> str:
    return check(bundle, Succession(case.world.document), log).about


@pytest.mark.parametrize("name", MISDEEDS)
def test_every_act_is_proven_by_its_bundle(cases: dict[str, Case], name: str) -> None:
    item = cases[name]
    again = parse(render(item.bundle))
    assert again == item.bundle
    proven = check(again, Succession(item.world.document), item.source() if item.bundle.act in NEED_LOG else None)
    assert (proven.act, proven.about) == (item.bundle.act, item.bundle.about)
    assert proven.about in proven.sentence


@pytest.mark.parametrize("name", ["misjudging", "omission"])
def test_an_act_that_is_about_a_whole_log_says_that_it_needs_a_copy(cases: dict[str, Case], name: str) -> None:
    item = cases[name]
    with pytest.raises(EvidenceError, match="evidence-needs-log"):
        judge(item.bundle, item)
    with pytest.raises(EvidenceError, match="evidence-other-log"):
        judge(item.bundle, item, open_source(str(item.others[0])))


def test_another_treaty_judges_nothing(cases: dict[str, Case]) -> None:
    with pytest.raises(EvidenceError, match="evidence-other-treaty"):
        check(cases["fork"].bundle, Succession(cast.document(name="other.treaty.example")))


def test_another_history_is_no_defence_and_a_short_copy_no_proof(cases: dict[str, Case], tmp_path: Path) -> None:
    item = cases["omission"]
    liar = item.world.logs[2]
    beats = [entry.index for entry in liar.entries if entry.kind is Kind.HEARTBEAT]
    grace = item.world.document.deadlines.takeover_ms.value
    told = beats[-1 - grace // worlds.BEAT]  # the copy ends when the grace of an earlier claim is not over
    short = WorldLog(liar.name, item.world.document)
    for name, limit, code in (("short", told, "proves-nothing"), ("shorter", 3, "other-log")):
        short.entries = liar.entries[: limit + 1]
        short.publish(item.world.now_ms)
        bundle = item.bundle
        if code == "proves-nothing":
            assert isinstance(bundle, Omission)
            heartbeat = make_receipt(open_source(str(short.export(tmp_path / "quoted"))), told).decode()
            bundle = bundle.model_copy(update={"heartbeat": heartbeat, "statement": under(item, short.entries[told])})
        with pytest.raises(EvidenceError, match=f"evidence-{code}"):
            judge(bundle, item, open_source(str(short.export(tmp_path / name))))
    with pytest.raises(EvidenceError, match="evidence-other-log"):
        judge(item.bundle, item, open_source(str(worlds.honest().logs[2].export(tmp_path / "other"))))


def under(item: Case, heartbeat: Entry) -> str:
    """Return the receipt of the omitted statement under the checkpoint that *heartbeat* embeds of its log."""
    assert isinstance(item.bundle, Omission)
    receipt = Receipt.parse(item.bundle.statement.encode())
    origin = Checkpoint.parse_text(parse_note(receipt.checkpoint).text).origin
    note = next(x.checkpoint for x in parse_heartbeat(heartbeat.body).mirrored if x.origin == origin)
    path = next(path for path in item.others if path.name == origin)
    key = cast.vkey(origin, "log")
    return receipt_from(LogReader(open_source(str(path)), key), receipt.index, note.encode()).decode()


def test_two_checkpoints_of_one_history_are_no_fork() -> None:
    world = worlds.honest()
    log = world.logs[0]
    first = log.sign(world.now_ms, size=5)
    second = log.sign(world.now_ms)
    with pytest.raises(EvidenceError, match="evidence-proves-nothing"):
        check(fork(world, first, first), Succession(world.document))
    with pytest.raises(EvidenceError, match="evidence-proves-nothing"):
        check(fork(world, first, second), Succession(world.document))  # the root at 5 is not given
    with pytest.raises(BrakelineError, match="proof-"):
        check(fork(world, first, second, root=bytes(32).hex()), Succession(world.document))
    with pytest.raises(EvidenceError, match="evidence-proves-nothing"):
        check(fork(world, second, first), Succession(world.document))


def fork(world: World, first: bytes, second: bytes, root: str | None = None) -> Fork:
    return Fork(
        format="brakeline-evidence/v1",
        treaty=world.pin,
        about=world.logs[0].name,
        checkpoints=(first.decode(), second.decode()),
        root=root,
    )


def test_a_fork_is_not_proven_by_somebody_elses_signature() -> None:
    world = worlds.honest()
    log = world.logs[0]
    honest = log.sign(world.now_ms)
    forged = Checkpoint(log.name, len(log.entries), bytes(32)).render_text().encode()
    other = honest.split(b"\n\n", 1)[1]
    with pytest.raises(BrakelineError, match="note-signature-invalid"):
        check(fork(world, honest, forged + b"\n" + other), Succession(world.document))


def test_f_witnesses_cannot_frame_a_log_for_its_times(tmp_path: Path) -> None:
    """The receipt of an honest entry, under a checkpoint on which f witnesses lie about the time."""
    world = worlds.honest()
    log = world.logs[0]
    liar = world.logs[3].name
    for wrong in (-DAY, DAY):
        log.witnesses = [item.name for item in world.logs[:3]]
        note = log.sign(world.now_ms)
        log.published = add_signatures(
            note,
            [cosign(note, cast.vkey(liar, "witness"), cast.signer(liar, "witness"), (world.now_ms + wrong) // 1000)],
        )
        receipt = make_receipt(open_source(str(log.export(tmp_path / str(wrong)))), len(log.entries) - 1).decode()
        bundle = Backdating(format="brakeline-evidence/v1", treaty=world.pin, about=log.name, receipt=receipt)
        with pytest.raises(EvidenceError, match="evidence-proves-nothing"):
            check(bundle, Succession(world.document))


def leaves(value: JsonValue, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, (*path, key))]
    if isinstance(value, list):
        return [leaf for place, item in enumerate(value) for leaf in leaves(item, (*path, place))]
    return [path]


def changed(value: JsonValue, path: tuple[str | int, ...], new: Callable[[JsonValue], JsonValue]) -> JsonValue:
    if not path:
        return new(value)
    head, rest = path[0], path[1:]
    if isinstance(value, dict):
        return {key: changed(item, rest, new) if key == head else item for key, item in value.items()}
    assert isinstance(value, list)
    return [changed(item, rest, new) if place == head else item for place, item in enumerate(value)]


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_change_to_a_bundle_convicts_anybody_else(cases: dict[str, Case], data: st.DataObject) -> None:
    """Any leaf replaced by one of another bundle, by a changed character, or by another name: whoever is convicted is
    convicted of their own act, by their own signature."""
    item = cases[data.draw(st.sampled_from(sorted(cases)))]
    other = cases[data.draw(st.sampled_from(sorted(cases)))]
    value = parse_any(render(item.bundle).strip(), max_bytes=1 << 20)
    path = data.draw(st.sampled_from(leaves(value)))
    donor = parse_any(render(other.bundle).strip(), max_bytes=1 << 20)
    pool = [text(donor, leaf) for leaf in leaves(donor)] + [log.name for log in item.world.logs] + [cast.SITE]

    def new(old: JsonValue) -> JsonValue:
        assert isinstance(old, str)
        if data.draw(st.booleans()):
            return data.draw(st.sampled_from(pool))
        at = data.draw(st.integers(0, len(old) - 1))
        return old[:at] + data.draw(st.sampled_from("0aZ/+=\n ")) + old[at + 1 :]

    mutated = changed(value, path, new)
    assume(mutated != value)
    try:
        bundle = parse(canonical(mutated))
        proven = check(bundle, Succession(item.world.document), item.source())
    except BrakelineError:
        return
    assert (proven.act, proven.about) in {(known.bundle.act, known.bundle.about) for known in cases.values()}
    assert proven.about in (item.bundle.about, other.bundle.about)


def text(value: JsonValue, path: tuple[str | int, ...]) -> str:
    for part in path:
        value = value[part]  # type: ignore[index]
    return str(value)


@settings(max_examples=200)
@given(st.binary(max_size=400))
def test_what_is_no_bundle_is_refused_with_a_code(data: bytes) -> None:
    with pytest.raises(BrakelineError):
        parse(data)


def test_honest_material_convicts_nobody(tmp_path: Path) -> None:
    """Every receipt of an honest log, offered as every act that takes one."""
    world = worlds.honest()
    world.until(cast.START + 10 * cast.PERIOD)
    paths = world.export(tmp_path)
    log, peer = (open_source(str(path)) for path in paths[:2])
    common = {"format": "brakeline-evidence/v1", "treaty": world.pin, "about": world.logs[0].name}
    assert world.logs[0].published is not None
    note = world.logs[0].published.decode()
    statements = [make_receipt(peer, i).decode() for i, e in enumerate(world.logs[1].entries) if e.kind == 2]
    for index in range(0, world.logs[0].published_size, 3):
        receipt = make_receipt(log, index).decode()
        offered: list[Bundle] = [
            Backdating.model_validate({**common, "receipt": receipt}),
            DishonouredReceipt.model_validate({**common, "receipt": receipt, "checkpoint": note}),
            Misjudging.model_validate({**common, "receipt": receipt, "code": "replay-judgement"}),
            Omission.model_validate({**common, "heartbeat": receipt, "statement": statements[index % len(statements)]}),
        ]
        for bundle in offered:
            with pytest.raises(EvidenceError, match="evidence-proves-nothing"):
                check(bundle, Succession(world.document), log)


# the commands ---------------------------------------------------------------------------------------------------------


def test_the_audit_writes_evidence_that_verifies_alone(cases: dict[str, Case], tmp_path: Path) -> None:
    item = cases["fork, log grown"]
    world = item.world
    paths = [str(path) for path in world.export(tmp_path / "logs")]
    treaty = str(world.write_treaty(tmp_path / "treaty.json"))
    options = ["--treaty", treaty, "--pin", world.pin]
    answer = CliRunner().invoke(app, ["replay", *paths, *options, "--evidence", str(tmp_path / "evidence")])
    assert answer.exit_code == 2
    (file,) = (tmp_path / "evidence").iterdir()
    assert file.name in answer.stderr
    told = CliRunner().invoke(app, ["verify-evidence", str(file), *options, "--format", "json"])
    assert told.exit_code == 0
    assert json.loads(told.stdout)["about"] == world.logs[0].name
    human = CliRunner().invoke(app, ["verify-evidence", str(file), *options])
    assert human.stdout.startswith("proven (fork): ")


def test_receipts_that_are_honoured_undecided_or_unreadable_are_told_apart(tmp_path: Path) -> None:
    world = worlds.honest()
    log = world.logs[0]
    folder = tmp_path / "receipts"
    folder.mkdir()
    early = make_receipt(open_source(str(log.export(tmp_path / "now"))), 3)
    (folder / "a.tlog-proof").write_bytes(early)
    paths = [str(path) for path in world.export(tmp_path / "logs")]
    world.beat()
    (folder / "b.tlog-proof").write_bytes(make_receipt(open_source(str(log.export(tmp_path / "later"))), 4))
    (folder / "c.tlog-proof").write_bytes(early[:-20])
    (folder / "notes.txt").write_text("no receipt")
    options = ["--treaty", str(world.write_treaty(tmp_path / "t.json")), "--pin", world.pin]
    answer = CliRunner().invoke(app, ["replay", *paths, *options, "--receipts", str(folder), "--format", "json"])
    assert answer.exit_code == 4
    report = json.loads(answer.stdout)
    assert report["receipts"] == {"read": 3, "honoured": 1, "dishonoured": 0}
    assert [problem["code"] for problem in report["unchecked"]] == ["receipt-undecided", "note-malformed"]


def test_a_folder_without_receipts_is_said(tmp_path: Path) -> None:
    world = worlds.honest()
    paths = [str(path) for path in world.export(tmp_path / "logs")]
    report = audit_sources(paths, world.write_treaty(tmp_path / "t.json"), world.pin, receipts=tmp_path / "nothing")
    assert [problem.code for problem in report.unchecked] == ["receipts-none"]


def test_parsed_note_of_a_bundle_is_the_logs_own(cases: dict[str, Case]) -> None:
    bundle = cases["fork, two copies"].bundle
    assert isinstance(bundle, Fork)
    assert {Checkpoint.parse_text(parse_note(text.encode()).text).origin for text in bundle.checkpoints} == {
        bundle.about
    }
