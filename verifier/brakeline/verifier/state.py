"""What the log means: register, judge and positions, kept in step with the entries. Owned by the writer's thread.

At boot the whole log is replayed through the same admission and the same log rules that an auditor runs: an entry that
does not replay, or findings that differ from those logged, are found here and not by a stranger. The state is never
repaired in place: after any error it is thrown away and replayed before the next write.

A heartbeat at index i is followed directly by exactly the findings new for the prefix [0, i] and the withdrawals,
sorted by digest, in the same group commit, so that no crash can part them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from brakeline.ledger.entry import Entry, Kind, parse_source
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.sequencer import Candidate
from brakeline.treaty.admission import Admitted, admit
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.logbody import Heartbeat, parse_heartbeat
from brakeline.treaty.register import Register
from brakeline.treaty.statements import Statement
from brakeline.verifier.errors import BootError
from brakeline.verifier.intake import Accepted, Outcome, Submission, admit_batch
from brakeline.verifier.loop import Committed
from brakeline.verifier.publish import Signed
from brakeline.verifier.storage import Storage

log = structlog.get_logger(__name__)

ANNOUNCED = frozenset({"order", "treaty"})
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


@dataclass(slots=True)
class _Meaning:
    """Everything derived from one log prefix."""

    register: Register
    judge: Judge
    size: int = 0
    received_at_ms: int = 0
    expected: list[bytes] = field(default_factory=list[bytes])
    announced: list[tuple[int, Envelope]] = field(default_factory=list[tuple[int, Envelope]])


class LogState:
    """The log of one verifier and its meaning. :meth:`boot` first; then one thread calls :meth:`commit`."""

    def __init__(
        self,
        document: TreatyDocument,
        storage: Storage,
        judge: Callable[[TreatyDocument], Judge],
        stamp: Callable[[int], int],
    ) -> None:
        """Keep the log in *storage* under *document*.

        *judge* makes a judge of the empty prefix. *stamp* gives the instant of an entry that follows one of the instant
        it is given (Unix ms), never an earlier one, or raises when nothing may be dated now.
        """
        self._document = document
        self._storage = storage
        self._judge = judge
        self._stamp = stamp
        self._meaning: _Meaning | None = None
        self._doubtful = False

    def boot(self) -> list[tuple[int, Envelope]]:
        """Replay the log; return its orders and treaty versions.

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
        findings: list[bytes] = []
        if heartbeat is not None:
            findings = meaning.judge.heartbeat()
            candidates.append(Candidate(Kind.HEARTBEAT, b"", heartbeat.body))
            candidates += [Candidate(Kind.FINDING, b"", body) for body in findings]
            meaning.size += 1 + len(findings)
        try:
            appended = self._storage.sequencer.append(candidates, instant)
        except BrakelineError as error:
            self._doubtful = error.code != DISK_FULL
            raise
        meaning.received_at_ms = instant
        meaning.announced += announced
        self._meaning = meaning
        return Committed(outcomes, Signed(appended.size, appended.note, instant), announced, len(findings))

    def find(self, digest: str, author: str, sequence: int) -> int | None:
        """Return the index of a statement this log holds; *author* is empty for one without a chain."""
        register = self._replayed().register
        return register.find_position(author, sequence, digest) if author else register.find_unchained(digest)

    def heads(self, author: str) -> list[tuple[int, str]]:
        """Return the leaves of an author's chain, (sequence, digest)."""
        return self._replayed().register.heads(author)

    def _admit(
        self, meaning: _Meaning, batches: Sequence[Sequence[Submission]], instant: int
    ) -> tuple[list[list[Outcome]], list[Candidate], list[tuple[int, Envelope]]]:
        outcomes: list[list[Outcome]] = []
        candidates: list[Candidate] = []
        announced: list[tuple[int, Envelope]] = []
        for batch in batches:
            decided, accepted = admit_batch(meaning.register, batch, first_index=meaning.size, now_ms=instant)
            outcomes.append(decided)
            for item in accepted:
                self._take(meaning, item, announced)
                candidates.append(Candidate(item.kind, item.submission.source, item.submission.envelope.to_body()))
        return outcomes, candidates, announced

    def _take(self, meaning: _Meaning, item: Accepted, announced: list[tuple[int, Envelope]]) -> None:
        meaning.judge.add(item.index, item.kind, item.statement)
        meaning.size = item.index + 1
        if item.statement.name in ANNOUNCED:
            announced.append((item.index, item.submission.envelope))

    def _replayed(self) -> _Meaning:
        if self._meaning is None:
            if self._doubtful:
                self._storage.reopen()
                self._doubtful = False
            sequencer = self._storage.sequencer
            sequencer.reload()
            meaning = _Meaning(Register(self._document), self._judge(self._document))
            for start in range(0, sequencer.size, _REPLAY_STEP):
                for data in sequencer.store.read_entries(start, min(start + _REPLAY_STEP, sequencer.size)):
                    _replay(meaning, Entry.decode(data))
            if meaning.expected:
                raise _judgement(meaning.size, "a finding", "the end of the log")
            self._meaning = meaning
            log.info("log-replayed", size=meaning.size)
        return self._meaning


def _replay(meaning: _Meaning, entry: Entry) -> None:
    """Take one entry of our own log, checking that we would write it again."""
    if entry.kind is Kind.FINDING:
        if not meaning.expected or meaning.expected.pop(0) != entry.body:
            raise _judgement(
                entry.index, "what the log rules give for this prefix", entry.body[:120].decode("ascii", "replace")
            )
    elif meaning.expected:
        raise _judgement(entry.index, "a finding", entry.kind.name.lower())
    elif entry.kind is Kind.HEARTBEAT:
        parse_heartbeat(entry.body)
        meaning.expected = list(meaning.judge.heartbeat())
    elif entry.kind in (Kind.TREATY, Kind.STATEMENT):
        _replay_statement(meaning, entry)
    meaning.size = entry.index + 1
    meaning.received_at_ms = entry.received_at_ms


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
    if outcome.statement.name in ANNOUNCED:
        meaning.announced.append((entry.index, envelope))


def _judgement(index: int, expected: str, found: str) -> BrakelineError:
    return BootError(
        code="boot-replay-judgement",
        message=f"the findings at entry {index} of this log are not those this version reaches",
        expected=expected,
        found=found,
        fix="use the version that wrote the log; a log with other findings than its statements give is misjudging",
    )
