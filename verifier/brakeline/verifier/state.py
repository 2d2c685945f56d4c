"""What the log means: register, judge and positions, kept in step with the entries. Owned by the writer's thread.

At boot the whole log is replayed through the same admission and the same log rules that an auditor runs: an entry that
does not replay, or findings that differ from those logged, are found here and not by a stranger. The state is never
repaired in place: after any error it is thrown away and replayed before the next write.

A heartbeat at index i is followed directly by exactly the findings new for the prefix [0, i] and the withdrawals,
sorted by digest, then the challenges that this heartbeat completes, then the opinions over sealed values that are due,
in the same group commit, so that no crash can part them. That a disclosure is held stands in the log only after it is
durable in the vault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import structlog
from brakeline.ledger.entry import Entry, Kind, parse_source
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.sequencer import Candidate
from brakeline.treaty.admission import Admitted, admit
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.judge import Past
from brakeline.treaty.logbody import Heartbeat, parse_heartbeat
from brakeline.treaty.opinion_log import OpinionLog
from brakeline.treaty.register import Register
from brakeline.treaty.replay import payloads_again
from brakeline.treaty.rules.columns import Archive
from brakeline.treaty.spotcheck.challenge import Challenger
from brakeline.treaty.statements import Statement
from brakeline.verifier.errors import BootError
from brakeline.verifier.intake import Accepted, Held, Outcome, Submission, admit_batch
from brakeline.verifier.loop import Announced, Committed
from brakeline.verifier.publish import Signed
from brakeline.verifier.storage import Storage
from brakeline.verifier.vault import Vault

log = structlog.get_logger(__name__)

ANNOUNCED = frozenset({"order", "treaty", "amendment"})
"""Predicates that ``Watch`` streams."""

DISK_FULL = "store-disk-full"
"""The one store error after which the outcome is known: nothing was written."""

_REPLAY_STEP = 1024


class Judge(Protocol):
    """The log rules over a growing prefix (:class:`brakeline.treaty.judge.LogJudge`)."""

    def add(self, index: int, kind: Kind, statement: Statement) -> None:
        """Take the admitted statement at *index*."""
        ...

    def heartbeat(self) -> list[bytes]:
        """Return the bodies of the findings new for the prefix that ends here and of withdrawals, sorted by digest."""
        ...


MakeJudge: TypeAlias = Callable[[TreatyDocument, Past], Judge]
"""Makes a judge of the empty prefix; it reads the past again where an amendment makes that needed."""


@dataclass(slots=True)
class _Meaning:
    """Everything derived from one log prefix; ``fresh`` is what the commit in progress adds to what is stored."""

    register: Register
    judge: Judge
    challenger: Challenger
    opinions: OpinionLog
    fresh: list[tuple[Statement, bytes]] = field(default_factory=list[tuple[Statement, bytes]])
    size: int = 0
    received_at_ms: int = 0
    expected: list[tuple[Kind, bytes]] = field(default_factory=list[tuple[Kind, bytes]])
    announced: list[tuple[int, Announced]] = field(default_factory=list[tuple[int, Announced]])


class LogState:
    """The log of one verifier and its meaning. :meth:`boot` first; then one thread calls :meth:`commit`."""

    def __init__(
        self,
        document: TreatyDocument,
        storage: Storage,
        judge: MakeJudge,
        stamp: Callable[[int], int],
        vault: Vault | None = None,
        second: Callable[[], Archive] | None = None,
    ) -> None:
        """Keep the log in *storage* under *document*.

        *judge* makes a judge. *stamp* gives the instant of an entry that follows one of the instant
        it is given (Unix ms), never an earlier one, or raises when nothing may be dated now. *vault* keeps what this
        verifier was told of sealed values; *second* makes the archive of the rules over them, by default memory.
        """
        self._vault, self._second = vault, second
        self._document = document
        self._storage = storage
        self._judge = judge
        self._stamp = stamp
        self._meaning: _Meaning | None = None
        self._doubtful = False

    def boot(self) -> list[tuple[int, Announced]]:
        """Replay the log; return its orders, treaty versions and challenges.

        Raises:
            BootError: ``boot-replay-admission``, ``boot-replay-judgement``.
            LedgerError: ``store-*``, when the log is damaged, behind or forked.
        """
        return list(self._replayed().announced)

    @property
    def size(self) -> int:
        """Entries replayed or appended so far."""
        return 0 if self._meaning is None else self._meaning.size

    def commit(self, batches: Sequence[Sequence[Submission]], heartbeat: Heartbeat | None) -> Committed:
        """Admit *batches* in order, append, judge when *heartbeat* is given, sign. All or nothing.

        Raises:
            CallError: nothing may be dated now; nothing was done.
            BrakelineError: nothing was acknowledged; the state is replayed before the next commit.
        """
        meaning = self._replayed()
        # One instant for the whole commit, and never before the last one: replay admits by received_at_ms.
        instant = self._stamp(meaning.received_at_ms)
        self._meaning = None
        outcomes, candidates, announced = self._admit(meaning, batches, instant)
        own: list[tuple[Kind, bytes]] = []
        if heartbeat is not None:
            own = _due(meaning, instant, heartbeat)
            for kind, body in own:
                if kind is Kind.OPINION:
                    meaning.opinions.read(body, instant)
            candidates.append(Candidate(Kind.HEARTBEAT, b"", heartbeat.body))
            candidates += [Candidate(kind, b"", body) for kind, body in own]
            first = meaning.size + 1
            announced += [(first + n, body) for n, (kind, body) in enumerate(own) if kind is Kind.CHALLENGE]
            meaning.size = first + len(own)
        try:
            appended = self._storage.sequencer.append(candidates, instant)
        except BrakelineError as error:
            self._doubtful = error.code != DISK_FULL
            raise
        meaning.received_at_ms = instant
        meaning.announced += announced
        meaning.fresh.clear()
        self._meaning = meaning
        findings = sum(kind is Kind.FINDING for kind, _ in own)
        return Committed(outcomes, Signed(appended.size, appended.note, instant), announced, findings)

    def restore(self) -> None:
        """Bring back what the log holds, after a commit that failed.

        Raises:
            BrakelineError: the log cannot be read.
        """
        self._replayed()

    def find(self, digest: str, author: str, sequence: int) -> int | None:
        """Return the index of a statement this log holds; *author* is empty for one without a chain."""
        register = self._replayed().register
        return register.find_position(author, sequence, digest) if author else register.find_unchained(digest)

    def versions(self) -> tuple[TreatyDocument, ...]:
        """Return the versions of the treaty that this log holds after the first."""
        return self._replayed().register.amendments()

    def heads(self, author: str) -> list[tuple[int, str]]:
        """Return the leaves of an author's chain, (sequence, digest)."""
        return self._replayed().register.heads(author)

    def _admit(
        self, meaning: _Meaning, batches: Sequence[Sequence[Submission]], instant: int
    ) -> tuple[list[list[Outcome]], list[Candidate], list[tuple[int, Announced]]]:
        outcomes: list[list[Outcome]] = []
        candidates: list[Candidate] = []
        announced: list[tuple[int, Announced]] = []
        for batch in batches:
            decided, accepted = admit_batch(meaning.register, batch, first_index=meaning.size, now_ms=instant)
            outcomes.append(decided)
            for item in accepted:
                self._take(meaning, item, instant, announced)
                candidates.append(Candidate(item.kind, item.submission.source, item.submission.envelope.to_body()))
            candidates += self._hold(meaning, batch, decided, instant)
        return outcomes, candidates, announced

    def _hold(
        self, meaning: _Meaning, batch: Sequence[Submission], decided: Sequence[Outcome], instant: int
    ) -> list[Candidate]:
        """Keep the disclosures of what stands in the log, durably, and return the entries that say so."""
        new = {
            item.disclosure.statement: item.disclosure
            for item, outcome in zip(batch, decided, strict=True)
            if item.disclosure is not None and isinstance(outcome, Held)
        }
        bodies = {digest: body for digest in new if (body := meaning.opinions.holding(digest)) is not None}
        if not bodies or self._vault is None:
            return []
        self._vault.keep(new[digest] for digest in bodies)
        for digest in bodies:
            meaning.opinions.hold(digest, instant)
        meaning.size += len(bodies)
        return [Candidate(Kind.OPINION, b"", body) for body in bodies.values()]

    def _take(self, meaning: _Meaning, item: Accepted, instant: int, announced: list[tuple[int, Announced]]) -> None:
        meaning.judge.add(item.index, item.kind, item.statement)
        meaning.challenger.take(item.index, instant, item.statement)
        meaning.opinions.take(item.statement, instant, item.submission.envelope.payload)
        meaning.size = item.index + 1
        if item.kind is Kind.STATEMENT:
            meaning.fresh.append((item.statement, item.submission.envelope.payload))
        if item.statement.name in ANNOUNCED:
            announced.append((item.index, item.submission.envelope))

    def _replayed(self) -> _Meaning:
        if self._meaning is None:
            if self._doubtful:
                self._storage.reopen()
                self._doubtful = False
            sequencer = self._storage.sequencer
            sequencer.reload()
            meaning: _Meaning
            meaning = _Meaning(
                Register(self._document),
                self._judge(self._document, lambda: self._again(meaning)),
                Challenger(self._document, sequencer.origin),
                self._opinion_log(sequencer.origin, lambda: self._payloads(meaning)),
            )
            for entry in self._stored(sequencer.size):
                _replay(meaning, entry)
            if meaning.expected:
                raise _judgement(meaning.size, _what(meaning), "the end of the log")
            if meaning.opinions.missing:
                raise _lost(meaning.opinions.missing)
            self._meaning = meaning
            log.info("log-replayed", size=meaning.size)
        return self._meaning

    def _stored(self, size: int) -> Iterator[Entry]:
        store = self._storage.sequencer.store
        for start in range(0, size, _REPLAY_STEP):
            yield from map(Entry.decode, store.read_entries(start, min(start + _REPLAY_STEP, size)))

    def _again(self, meaning: _Meaning) -> Iterator[Statement]:
        """Yield the statements of the prefix once more: those stored, then those of the commit in progress."""
        return (statement for statement, _ in self._payloads(meaning))

    def _payloads(self, meaning: _Meaning) -> Iterator[tuple[Statement, bytes]]:
        """Yield them with their payloads."""
        yield from payloads_again(self._stored(min(meaning.size, self._storage.sequencer.size)))
        yield from meaning.fresh

    def _opinion_log(self, origin: str, past: Callable[[], Iterator[tuple[Statement, bytes]]]) -> OpinionLog:
        find = None if self._vault is None else self._vault.find
        return OpinionLog(self._document, origin, find, None if self._second is None else self._second(), past)


def _replay(meaning: _Meaning, entry: Entry) -> None:
    """Take one entry of our own log, checking that we would write it again."""
    if entry.kind is Kind.OPINION:
        _replay_opinion(meaning, entry)
    elif entry.kind in (Kind.FINDING, Kind.CHALLENGE):
        if not meaning.expected or meaning.expected.pop(0) != (entry.kind, entry.body):
            raise _judgement(
                entry.index, "what the log rules give for this prefix", entry.body[:120].decode("ascii", "replace")
            )
        if entry.kind is Kind.CHALLENGE:
            meaning.announced.append((entry.index, entry.body))
    elif meaning.expected:
        raise _judgement(entry.index, _what(meaning), entry.kind.name.lower())
    elif entry.kind is Kind.HEARTBEAT:
        meaning.expected = _due(meaning, entry.received_at_ms, parse_heartbeat(entry.body))
    elif entry.kind in (Kind.TREATY, Kind.STATEMENT):
        _replay_statement(meaning, entry)
    meaning.size = entry.index + 1
    meaning.received_at_ms = entry.received_at_ms


def _replay_opinion(meaning: _Meaning, entry: Entry) -> None:
    if meaning.expected and meaning.opinions.reproduces and meaning.expected.pop(0) != (entry.kind, entry.body):
        raise _judgement(entry.index, "what the log rules give for this prefix", "another opinion")
    try:
        meaning.opinions.read(entry.body, entry.received_at_ms)
    except BrakelineError as error:
        raise _judgement(entry.index, error.expected, error.found) from None


def _replay_statement(meaning: _Meaning, entry: Entry) -> None:
    envelope = Envelope.from_body(entry.body)
    _, peer_index = parse_source(entry.source)
    outcome = admit(meaning.register, envelope, now_ms=entry.received_at_ms, from_peer=peer_index is not None)
    if not isinstance(outcome, Admitted) or outcome.known:
        raise BootError(
            code="boot-replay-admission",
            message=f"entry {entry.index} of this log would not be admitted again",
            expected="an admissible statement",
            found="a repetition" if isinstance(outcome, Admitted) else f"{outcome.code}: {outcome.message}",
            fix="run `brakeline ledger fsck`; do not sign this log with this version",
        )
    meaning.register.record(outcome.statement, entry.index)
    meaning.judge.add(entry.index, entry.kind, outcome.statement)
    meaning.challenger.take(entry.index, entry.received_at_ms, outcome.statement)
    meaning.opinions.take(outcome.statement, entry.received_at_ms, envelope.payload)
    if outcome.statement.name in ANNOUNCED:
        meaning.announced.append((entry.index, envelope))


def _due(meaning: _Meaning, at_ms: int, heartbeat: Heartbeat) -> list[tuple[Kind, bytes]]:
    """Return what must follow *heartbeat*: findings, then challenges, then opinions."""
    findings = meaning.judge.heartbeat()
    due = [(Kind.FINDING, body) for body in findings]
    due += [(Kind.CHALLENGE, body) for body in meaning.challenger.heartbeat(at_ms, heartbeat)]
    return due + [(Kind.OPINION, body) for body in meaning.opinions.heartbeat(at_ms, findings)]


def _what(meaning: _Meaning) -> str:
    return f"a {meaning.expected[0][0].name.lower()}"


def _lost(missing: Sequence[str]) -> BrakelineError:
    return BootError(
        code="boot-disclosures-missing",
        message=f"the vault lacks {len(missing)} disclosures that this log says it holds, the first of {missing[0]}",
        expected="disclosures.sqlite as it was when the log was written",
        found="one that lacks them",
        fix="restore it from the backup, or let the sites send these disclosures again; do not sign without them",
    )


def _judgement(index: int, expected: str, found: str) -> BrakelineError:
    return BootError(
        code="boot-replay-judgement",
        message=f"the findings at entry {index} of this log are not those this version reaches",
        expected=expected,
        found=found,
        fix="use the version that wrote the log; a log with other findings than its statements give is misjudging",
    )
