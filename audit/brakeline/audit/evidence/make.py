"""Make evidence bundles from the copies of logs that an audit has read.

What it is: for a finding about conduct, or an equivocating author, the few signed pieces that convict without the audit
and without us. Nothing is signed here, and nothing is claimed: each bundle is held against
:func:`~brakeline.audit.evidence.check.check` by whoever receives it. A piece that cannot be had (a source that went
away, a damaged copy) makes no bundle and is said so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from brakeline.audit.copies import Replayed
from brakeline.audit.evidence.bundle import (
    FORMAT,
    Backdating,
    Bundle,
    Equivocation,
    EvidenceError,
    Fork,
    Misjudging,
    Omission,
)
from brakeline.ledger.checkpoint import Checkpoint
from brakeline.ledger.entry import Kind
from brakeline.ledger.merkle import consistency_proof
from brakeline.ledger.note import parse as parse_note
from brakeline.ledger.prove import receipt_from
from brakeline.ledger.reader import LogReader
from brakeline.treaty.claims import Claim
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.findings import Finding
from brakeline.treaty.logbody import parse_heartbeat
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.replay import Facts
from brakeline.treaty.statements import Enrolment, parse_statement
from brakeline.treaty.succession import Succession

CONDUCT = "verifier-conduct"


def make_bundle(finding: Finding, copies: Sequence[Replayed], treaty: Succession) -> Bundle | None:
    """Return the bundle of *finding*, or None where a finding of its kind is proven by the logs' content alone.

    Args:
        finding: of ``verifier-conduct`` or ``equivocation``; a dishonoured receipt's bundle is made where the receipt
            is read (:mod:`brakeline.audit.receipts`).
        copies: those the finding was judged from.
        treaty: the versions known: those pinned, and the amendments in the logs.

    Raises:
        EvidenceError: ``evidence-not-made``: the copies lack a piece. BrakelineError: a source cannot be read again.
    """
    maker = _MAKERS.get(finding.figures.get("act", "") if finding.rule == CONDUCT else finding.rule)
    return None if maker is None else maker(finding, copies, treaty)


def fork_of_copies(first: LogReader, second: LogReader, treaty: Succession) -> Fork | None:
    """Return the fork that two copies of one log show, or None when one is a prefix of the other."""
    small, large = sorted((first, second), key=lambda reader: reader.size)
    return fork_of_note(small.note, large, treaty)


def fork_of_note(note: bytes, large: LogReader, treaty: Succession) -> Fork | None:
    """Return the fork between the checkpoint *note* and a copy of at least its size, or None."""
    small = Checkpoint.parse_text(parse_note(note).text)
    root = large.root_at(small.size)
    if root == small.root:
        return None
    texts, pin = (note.decode(), large.note.decode()), rests_on(treaty, small.origin)
    if small.size == large.size:
        return Fork(format=FORMAT, treaty=pin, about=small.origin, checkpoints=texts)
    proof = tuple(item.hex() for item in consistency_proof(small.size, large.size, large.hash_at))
    return Fork(format=FORMAT, treaty=pin, about=small.origin, checkpoints=texts, root=root.hex(), proof=proof)


def _fork(finding: Finding, copies: Sequence[Replayed], treaty: Succession) -> Fork:
    origin, size = finding.about, int(finding.figures["size"])
    root, other = (bytes.fromhex(finding.figures[name]) for name in ("root", "other_root"))
    shown = _claimed(copies, Claim(origin, size, other))
    for reader in _readers(copies, origin):
        if reader.size >= size and (fork := fork_of_note(shown, reader, treaty)) is not None:
            return fork
    notes = tuple(sorted((_claimed(copies, Claim(origin, size, root)).decode(), shown.decode())))
    return Fork(format=FORMAT, treaty=rests_on(treaty, origin), about=origin, checkpoints=(notes[0], notes[1]))


def _claimed(copies: Sequence[Replayed], claim: Claim) -> bytes:
    """Return the checkpoint note behind *claim*, from the heartbeat that embeds it."""
    for reader, facts in _read(copies):
        seen = facts.claims.get(claim)
        if seen is not None:
            for item in parse_heartbeat(reader.entry_at(seen.entry).body).mirrored:
                if item.origin == claim.origin:
                    return item.checkpoint.encode()
    raise _lacking(f"a heartbeat that embeds the checkpoint of {claim.origin} at {claim.size} entries")


def _misjudging(finding: Finding, copies: Sequence[Replayed], treaty: Succession) -> Misjudging:
    entry, code = int(finding.figures["entry"]), finding.figures["code"]
    for item in copies:
        found, reader = item.copy.report.divergence, item.copy.reader
        same = item.copy.report.origin == finding.about and found is not None and found.index == entry
        if same and reader is not None:
            receipt = receipt_from(reader, entry).decode()
            pin = rests_on(treaty, finding.about)
            return Misjudging(format=FORMAT, treaty=pin, about=finding.about, receipt=receipt, code=code)
    raise _lacking(f"the copy of {finding.about} whose entry {entry} diverges")


def _backdating(finding: Finding, copies: Sequence[Replayed], treaty: Succession) -> Backdating:
    for reader, facts in _read(copies, finding.about):
        late = facts.out_of_time
        if late is None or late.entry != int(finding.figures["entry"]):
            continue
        note = None  # a heartbeat that contradicts what it embeds: any checkpoint proves that it stands there
        if late.entry != late.heartbeat:
            text = parse_heartbeat(reader.entry_at(late.heartbeat).body).checkpoint
            note = None if text is None else text.encode()
        receipt = receipt_from(reader, late.entry, note).decode()
        governing = treaty.last(treaty.root.grid.period_of(InstantMs(late.received_at_ms)))
        pin = rests_on(treaty, finding.about, versions=(governing,))
        return Backdating(format=FORMAT, treaty=pin, about=finding.about, receipt=receipt)
    raise _lacking(f"the copy of {finding.about} whose entry {finding.figures['entry']} is out of time")


def _omission(finding: Finding, copies: Sequence[Replayed], treaty: Succession) -> Omission:
    """Cite the first omitted statement by its place in the peer's log: all that it rests on stands in both logs."""
    origin, size = finding.figures["seen_in"], int(finding.figures["size"])
    beat = int(finding.figures["heartbeat"])
    for mine, facts in _read(copies, finding.about):
        note = _embedded(mine, beat, origin)
        for theirs, other in _read(copies, origin):
            absent = (arrival.entry for _, arrival in other.arrivals.absent_from(facts.arrivals))
            first = min((index for index in absent if index < size), default=None)
            if note is None or first is None or theirs.size < size:
                continue
            heartbeat, statement = receipt_from(mine, beat).decode(), receipt_from(theirs, first, note).decode()
            pin = rests_on(treaty, finding.about, origin)
            return Omission(format=FORMAT, treaty=pin, about=finding.about, heartbeat=heartbeat, statement=statement)
    raise _lacking(f"copies of {finding.about} and {origin} that reach far enough")


def _embedded(reader: LogReader, heartbeat: int, origin: str) -> bytes | None:
    if heartbeat >= reader.size:
        return None
    embedded = parse_heartbeat(reader.entry_at(heartbeat).body).mirrored
    return next((item.checkpoint.encode() for item in embedded if item.origin == origin), None)


def _equivocation(finding: Finding, copies: Sequence[Replayed], treaty: Succession) -> Equivocation:
    """Take two of the versions, and the enrolments of their keys, from whichever logs hold them."""
    wanted = sorted(finding.statements)[:2]
    versions: list[Envelope] = []
    for digest in wanted:
        envelope = next(_envelopes(copies, bytes.fromhex(digest)), None)
        if envelope is None:
            raise _lacking(f"a log that holds statement {digest}")
        versions.append(envelope)
    keyids = {signature.keyid for envelope in versions for signature in envelope.signatures}
    named = {keyid for version in treaty.known.values() for keyid in version.all_statement_and_log_keys()}
    enrolments = [_enrolment(copies, keyid) for keyid in sorted(keyids - named)]
    placed = (parse_statement(envelope.payload).placed for envelope in (*versions, *enrolments))
    under = [treaty.known[item.treaty] for item in placed if item is not None and item.treaty in treaty.known]
    one, two = (envelope.to_dsse_json().decode() for envelope in versions)
    return Equivocation(
        format=FORMAT,
        treaty=rests_on(treaty, versions=under),
        about=finding.about,
        enrolments=tuple(envelope.to_dsse_json().decode() for envelope in enrolments),
        statements=(one, two),
    )


def rests_on(treaty: Succession, *logs: str, versions: Iterable[TreatyDocument] = ()) -> str:
    """Return the digest of the version that a reader must have pinned, or a later one: the newest that is needed.

    Needed are, for each of *logs*, the first version that names it, and *versions*.
    """
    first = [naming[0] for origin in logs if (naming := treaty.naming(origin))]
    return max((treaty.root, *first, *versions), key=lambda item: item.version).digest


def _envelopes(copies: Sequence[Replayed], digest: bytes) -> Iterator[Envelope]:
    for reader, facts in _read(copies):
        arrival = facts.arrivals.get(digest)
        if arrival is not None and arrival.entry < reader.size:
            yield Envelope.from_body(reader.entry_at(arrival.entry).body)


def _enrolment(copies: Sequence[Replayed], keyid: str) -> Envelope:
    """Return the enrolment that begins the key: the first statement it has signed, because it co-signs that."""
    for reader, _ in _read(copies):
        for entry in reader.entries():
            if entry.kind is not Kind.STATEMENT:
                continue
            envelope = Envelope.from_body(entry.body)
            signed = any(signature.keyid == keyid for signature in envelope.signatures)
            if signed and isinstance(parse_statement(envelope.payload).predicate, Enrolment):
                return envelope
    raise _lacking(f"a log that holds the enrolment of key {keyid}")


def _read(copies: Sequence[Replayed], origin: str = "") -> Iterator[tuple[LogReader, Facts]]:
    """Yield the copies that could be read, largest first."""
    both = [(item.copy.reader, item.facts) for item in copies]
    known = [(reader, facts) for reader, facts in both if reader is not None and facts is not None]
    for reader, facts in sorted(known, key=lambda pair: -pair[0].size):
        if origin in ("", facts.origin):
            yield reader, facts


def _readers(copies: Sequence[Replayed], origin: str) -> list[LogReader]:
    return [reader for reader, _ in _read(copies, origin)]


def _lacking(expected: str) -> EvidenceError:
    return EvidenceError(
        code="evidence-not-made",
        message="the copies that were read lack a piece of this evidence",
        expected=expected,
        found="none",
        fix="read the logs again, all of them",
    )


_Maker = Callable[[Finding, Sequence[Replayed], Succession], Bundle]
_MAKERS: Mapping[str, _Maker] = {
    "fork": _fork,
    "misjudging": _misjudging,
    "backdating": _backdating,
    "omission": _omission,
    "equivocation": _equivocation,
}
