"""Check a bundle: does what is in it convict whom it names, under the treaty that the reader has pinned?

Nothing in a bundle is believed. Checkpoints must be signed by the accused log's key, entries must lead to them, peers'
and authors' signatures are verified, and the contradiction is computed again. What could frame an innocent would need
the innocent's own key. Two acts need a mirror of the accused log besides, because they are about what a log lacks
(omission) or about everything before an entry (misjudging); the mirror is verified as an audit verifies it.

No network: given a directory as the log, this opens no socket. Each act's arithmetic is in docs/spec/evidence.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from brakeline.audit.copies import Copy, open_copy, read_copy
from brakeline.audit.evidence.bundle import (
    Backdating,
    Bundle,
    DishonouredReceipt,
    Equivocation,
    EvidenceError,
    Fork,
    Misjudging,
    Omission,
)
from brakeline.audit.report import LogState, Problem
from brakeline.ledger.checkpoint import Checkpoint, OpenCheckpoint, cosigned_at, open_checkpoint
from brakeline.ledger.entry import Entry, Kind
from brakeline.ledger.errors import BrakelineError, ProofError
from brakeline.ledger.merkle import leaf_hash, verify_consistency, verify_inclusion
from brakeline.ledger.proof import Receipt
from brakeline.ledger.source import Source
from brakeline.ledger.vkey import VKey
from brakeline.treaty.admission import Admitted, authenticate
from brakeline.treaty.bracket import bracket
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.logbody import parse_heartbeat
from brakeline.treaty.names import lab_of
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.register import Register
from brakeline.treaty.replay import LogReplay
from brakeline.treaty.statements import Enrolment, Statement
from brakeline.treaty.succession import Succession
from brakeline.treaty.terms import VerifierTerms


@dataclass(frozen=True, slots=True)
class Proven:
    """What a bundle proves: who did what, in a sentence."""

    act: str
    about: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Stated:
    """Bytes that lead to a checkpoint which the log's own key has signed.

    Attributes:
        index: of the entry in the log.
        data: the entry's bytes, not decoded.
        opened: the checkpoint.
        note: its bytes.
    """

    index: int
    data: bytes
    opened: OpenCheckpoint
    note: bytes

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint without its signatures."""
        return self.opened.checkpoint

    def entry(self) -> Entry:
        """Return the entry (EntryError ``entry-malformed``; ProofError ``proof-index`` where it says another index)."""
        entry = Entry.decode(self.data)
        if entry.index != self.index:
            raise ProofError(
                code="proof-index",
                message="the receipt's entry says another index",
                expected=str(self.index),
                found=str(entry.index),
            )
        return entry


def open_stated(text: bytes, key: VKey, witnesses: Sequence[VKey] = ()) -> Stated:
    """Return what a receipt proves under the signature of the log's *key* alone.

    A quorum of witnesses is not asked for: a log cannot disown what it signed because few have cosigned it.

    Raises:
        ProofError, NoteError: ``proof-*``, ``note-*``, ``checkpoint-*``.
    """
    receipt = Receipt.parse(text)
    opened = open_checkpoint(receipt.checkpoint, key, witnesses)
    if receipt.extra is None:
        raise ProofError(
            code="proof-no-entry", message="the receipt does not carry its entry", expected="an extra line"
        )
    checkpoint = opened.checkpoint
    verify_inclusion(receipt.index, checkpoint.size, leaf_hash(receipt.extra), receipt.proof, checkpoint.root)
    return Stated(receipt.index, receipt.extra, opened, receipt.checkpoint)


def check(bundle: Bundle, treaty: Succession, log: Source | None = None) -> Proven:
    """Return what *bundle* proves under *treaty*: version 1, and those after it as far as the reader's pin holds them.

    Args:
        bundle: as read; nothing in it is believed.
        treaty: one of its versions must be the one that the bundle names.
        log: a mirror of the accused log, for omission and misjudging.

    Raises:
        EvidenceError: ``evidence-other-treaty``, ``evidence-unknown-verifier``, ``evidence-needs-log``,
            ``evidence-other-log``, ``evidence-proves-nothing``.
        BrakelineError: whatever is wrong with a note, a receipt, an envelope or the mirror, with its own code.
    """
    if bundle.treaty not in treaty.known:
        raise EvidenceError(
            code="evidence-other-treaty",
            message="this bundle is to be judged by another treaty, or by a later version of it",
            expected=", ".join(treaty.known)[-400:],
            found=bundle.treaty,
            fix="pin the version that the bundle names, or one after it, and give a folder with all up to that one",
        )
    match bundle:
        case Fork():
            return _fork(bundle, treaty)
        case DishonouredReceipt():
            return _dishonoured(bundle, treaty)
        case Backdating():
            return _backdating(bundle, treaty)
        case Omission():
            return _omission(bundle, treaty, log)
        case Misjudging():
            return _misjudging(bundle, treaty, log)
        case Equivocation():
            return _equivocation(bundle, treaty)


def _fork(bundle: Fork, treaty: Succession) -> Proven:
    key = _verifier(treaty, bundle.about).log_key
    small, large = (open_checkpoint(text.encode(), key).checkpoint for text in bundle.checkpoints)
    _contradict(small, large, bundle.root, bundle.proof)
    return Proven(
        "fork",
        bundle.about,
        f"{bundle.about} signed two histories: at {small.size} entries one has the root {small.root.hex()}, the other "
        f"(shown by its checkpoint of {large.size} entries) {bundle.root or large.root.hex()}",
    )


def _dishonoured(bundle: DishonouredReceipt, treaty: Succession) -> Proven:
    key = _verifier(treaty, bundle.about).log_key
    promised = open_stated(bundle.receipt.encode(), key)
    shown = open_checkpoint(bundle.checkpoint.encode(), key).checkpoint
    _contradict(promised.checkpoint, shown, bundle.root, bundle.proof)
    return Proven(
        "dishonoured-receipt",
        bundle.about,
        f"{bundle.about} gave a receipt for entry {promised.index} under a checkpoint of "
        f"{promised.checkpoint.size} entries, and shows a log of {shown.size} entries that never held it",
    )


def _contradict(small: Checkpoint, large: Checkpoint, root: str | None, proof: tuple[str, ...]) -> None:
    """Raise unless no one history can have both checkpoints.

    A consistency proof from *root* to the larger checkpoint binds *root*: the larger tree has no other root there.
    """
    if small.size > large.size:
        raise _nothing("the smaller checkpoint first", f"{small.size} entries, then {large.size}")
    if root is None and small.size != large.size:
        raise _nothing("the root that the larger tree has at the smaller size", "none")
    other = large.root if root is None else bytes.fromhex(root)
    verify_consistency(small.size, large.size, [bytes.fromhex(item) for item in proof], other, large.root)
    if other == small.root:
        raise _nothing("two roots at one size", f"{other.hex()} at {small.size} entries in both")


def _backdating(bundle: Backdating, treaty: Succession) -> Proven:
    key = _verifier(treaty, bundle.about).log_key
    stated = open_stated(bundle.receipt.encode(), key)
    entry = stated.entry()
    document = _governing(treaty, entry)
    witnesses = [item.witness_key for item in document.verifiers]
    liars, skew = document.quorum.liars, document.deadlines.skew_ms.value
    bounds = bracket(open_checkpoint(stated.note, key, witnesses).cosignatures.values(), liars, skew)
    newest = entry.index == stated.checkpoint.size - 1
    if bounds is not None and newest and entry.received_at_ms > bounds.no_later_ms:
        return _dated(bundle.about, entry, f"f + 1 witnesses had cosigned it by {bounds.no_later_ms} ms, skew included")
    for embedded in _embedded_times(entry, witnesses):
        bounds = bracket(embedded, liars, skew)
        if bounds is not None and entry.received_at_ms < bounds.no_earlier_ms:
            why = f"it embeds cosignatures made no earlier than {bounds.no_earlier_ms} ms, skew included"
            return _dated(bundle.about, entry, why)
    raise _nothing("a time outside what the cosignatures allow", f"entry {entry.index} at {entry.received_at_ms} ms")


def _governing(treaty: Succession, entry: Entry) -> TreatyDocument:
    """Return the version that governs the period in which *entry* is dated."""
    return treaty.last(treaty.root.grid.period_of(InstantMs(entry.received_at_ms)))


def _embedded_times(entry: Entry, witnesses: Sequence[VKey]) -> Iterator[Collection[int]]:
    """Yield, for each checkpoint of a log of the treaty that a heartbeat embeds, when witnesses cosigned it (s)."""
    if entry.kind is not Kind.HEARTBEAT:
        return
    heartbeat = parse_heartbeat(entry.body)
    for text in (heartbeat.checkpoint, *(item.checkpoint for item in heartbeat.mirrored)):
        if text is not None:
            yield cosigned_at(text.encode(), witnesses).values()


def _dated(about: str, entry: Entry, why: str) -> Proven:
    said = f"{about} dated entry {entry.index} to {entry.received_at_ms} ms, which cannot be: {why}"
    return Proven("backdating", about, said)


def _omission(bundle: Omission, treaty: Succession, log: Source | None) -> Proven:
    beat = open_stated(bundle.heartbeat.encode(), _verifier(treaty, bundle.about).log_key)
    heartbeat = beat.entry()
    if heartbeat.kind is not Kind.HEARTBEAT:
        raise _nothing("a heartbeat", heartbeat.kind.name.lower())
    note = Receipt.parse(bundle.statement.encode()).checkpoint
    peer = next((x for x in parse_heartbeat(heartbeat.body).mirrored if x.checkpoint.encode() == note), None)
    if peer is None or peer.origin == bundle.about:
        raise _nothing("a statement under the peer's checkpoint that the heartbeat embeds", "another checkpoint")
    stated = open_stated(bundle.statement.encode(), _verifier(treaty, peer.origin).log_key)
    if stated.entry().kind is not Kind.STATEMENT:
        raise _nothing("a statement, which travels between logs", stated.entry().kind.name.lower())
    envelope = Envelope.from_body(stated.entry().body)
    copy, replay = _mirror(log, treaty, bundle.about, beat)
    read_copy(copy, replay.feed)
    facts, broken = replay.close(), copy.report.divergence
    if copy.report.state is LogState.UNREADABLE and broken is not None:
        raise _other("an undamaged copy", broken.sentence())
    judging = (_governing(treaty, heartbeat), treaty.over(bundle.about, facts.newest_ms))
    due = heartbeat.received_at_ms + max(item.deadlines.takeover_ms.value for item in judging)
    if facts.newest_ms <= due:
        raise _nothing(f"a log that reaches past {due} ms, when the grace was over", f"it ends at {facts.newest_ms} ms")
    outcome = replay.would_admit(envelope)
    if not isinstance(outcome, Admitted):
        raise _nothing("a statement that was admissible there", f"{outcome.code}: {outcome.message}")
    if outcome.known:
        raise _nothing("a statement that the log lacks", f"it stands there at entry {outcome.index}")
    return Proven(
        "omission",
        bundle.about,
        f"{bundle.about} says in its entry {beat.index} that it mirrored {stated.checkpoint.size} entries of "
        f"{peer.origin}; statement {envelope.digest}, entry {stated.index} there, is not in its own log "
        f"{facts.newest_ms - heartbeat.received_at_ms} ms later",
    )


def _misjudging(bundle: Misjudging, treaty: Succession, log: Source | None) -> Proven:
    stated = open_stated(bundle.receipt.encode(), _verifier(treaty, bundle.about).log_key)
    copy, replay = _mirror(log, treaty, bundle.about, stated)
    size = stated.checkpoint.size  # what the log had signed by then; what came later neither mends nor matters
    read_copy(copy, replay.feed, stop=size)
    if copy.report.state is LogState.REPRODUCED:
        try:
            replay.finish()
        except BrakelineError as error:
            copy.fail(LogState.MISCONDUCT, Problem.of(error, size - 1))
    found = copy.report.divergence
    if found is None:
        raise _nothing(f"an entry {stated.index} that the replay refuses", "a log that reproduces")
    if copy.report.state is not LogState.MISCONDUCT or (found.code, found.index) != (bundle.code, stated.index):
        raise _nothing(f"{bundle.code} at entry {stated.index}", found.sentence())
    said = f"{bundle.about} wrote entry {stated.index}, which does not follow from its log: {found.sentence()}"
    return Proven("misjudging", bundle.about, said)


def _equivocation(bundle: Equivocation, treaty: Succession) -> Proven:
    register = Register(treaty.root, versions=treaty.known.values())
    for text in bundle.enrolments:
        enrolment = _authentic(register, text)
        if not isinstance(enrolment.predicate, Enrolment) or enrolment.predicate.author != lab_of(bundle.about):
            raise _nothing(f"an enrolment by the lab of {bundle.about}", enrolment.name)
        register.record(enrolment, 0)
    one, two = (_authentic(register, text) for text in bundle.statements)
    if one.digest == two.digest:
        raise _nothing("two different statements", "one statement twice")
    said, other = one.authored, two.authored
    if said is None or other is None or not said.author == other.author == bundle.about:
        raise _nothing(f"two statements of {bundle.about}", "others")
    if (said.sequence, said.previous) != (other.sequence, other.previous):
        raise _nothing("one place in the chain", f"numbers {said.sequence} and {other.sequence}, or two parents")
    return Proven(
        "equivocation",
        bundle.about,
        f"{bundle.about} signed two statements as number {said.sequence} of its chain, after {said.previous}: "
        f"{one.digest} and {two.digest}",
    )


def _authentic(register: Register, text: str) -> Statement:
    outcome = authenticate(register, Envelope.from_dsse_json(text.encode()))
    if isinstance(outcome, Admitted):
        return outcome.statement
    raise EvidenceError(
        code=outcome.code, message=outcome.message, expected=outcome.expected, found=outcome.found, fix=outcome.fix
    )


def _verifier(treaty: Succession, name: str) -> VerifierTerms:
    verifier = treaty.verifier(name)
    if verifier is None:
        raise EvidenceError(
            code="evidence-unknown-verifier",
            message="no version of the treaty that is pinned names a verifier of this name",
            expected=", ".join(item.origin for item in treaty.verifiers())[:200],
            found=name[:80],
        )
    return verifier


def _mirror(log: Source | None, treaty: Succession, about: str, stated: Stated) -> tuple[Copy, LogReplay]:
    """Open the mirror of the accused log, which must contain what the bundle quotes of it."""
    if log is None:
        raise EvidenceError(
            code="evidence-needs-log",
            message="this act is proven from a bundle and a copy of the accused log",
            expected=f"a mirror of {about}",
            found="none",
            fix="give --log DIR; `brakeline ledger mirror` makes one",
        )
    copy = open_copy(log, treaty)
    reader = copy.reader
    if reader is None or copy.report.origin != about:
        found = copy.report.divergence
        raise _other(about, found.sentence() if found else copy.report.origin)
    size = stated.checkpoint.size
    if reader.size < size:
        raise _other(f"a copy of at least {size} entries", f"one of {reader.size}")
    if reader.root_at(size) != stated.checkpoint.root:
        raise _other("a copy that contains what the bundle quotes", "another history: compare the two, this is a fork")
    known = tuple(treaty.known.values())
    return copy, LogReplay(treaty.root, about, reader.root_at, entries=reader.entries, versions=known)


def _other(expected: str, found: str) -> EvidenceError:
    return EvidenceError(
        code="evidence-other-log",
        message="the copy given is not of the accused log as the bundle quotes it",
        expected=expected,
        found=found,
        fix="mirror the accused log again",
    )


def _nothing(expected: str, found: str) -> EvidenceError:
    return EvidenceError(
        code="evidence-proves-nothing",
        message="what is in this bundle does not convict whom it names",
        expected=expected,
        found=found,
        fix="nobody is to be blamed on its account; ask who made it",
    )
