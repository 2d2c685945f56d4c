"""The opinions of one log: who holds what, and what the rules conclude from what is opened.

What it is: the one place where verifier and auditor get the opinions of a log from. A second judge runs over the same
statements, opened where this log says that its verifier holds the disclosure. What stands there and not in public is an
opinion; after a heartbeat, its findings and its challenges stand exactly the opinions new for the prefix and the
withdrawals, in order of their SHA-256. What it is not: a store of disclosures (the caller's), or a judge of who should
have disclosed what (:mod:`brakeline.treaty.reconcile.disclosures`).

*When a sealed statement is judged.* With the heartbeat after the log says that the disclosure is held, or, sealed as it
is, with the first heartbeat later than ``disclosure_ms`` after its arrival. What comes after it in its author's chain
waits for it, so that the second judge sees, of each author, a prefix of the chain, and no sum over periods runs past a
period that is still to be opened. A disclosure that comes later still is held, and no opinion rests on it.

*Without the disclosures* (an auditor who has none, or not all), opinions are read for their form and for what they
name, and not reproduced; :attr:`OpinionLog.missing` lists exactly what it would take.

Keeps: 200 bytes a sealed statement; statements that wait; what a judge keeps.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from brakeline.ledger.entry import Kind
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.bookshelf import Bookshelf
from brakeline.treaty.disclosure import Disclosure, commitments_of, open_payload
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.errors import ReplayError
from brakeline.treaty.findings import Finding, parse_finding
from brakeline.treaty.judge import LogJudge
from brakeline.treaty.opinion import Held, Opinion, OpinionBody, OpinionWithdrawn, parse_opinion
from brakeline.treaty.rules.board import Unverifiable
from brakeline.treaty.rules.columns import Archive
from brakeline.treaty.rules.threshold import Passed
from brakeline.treaty.statements import Statement

Disclosures: TypeAlias = Callable[[str], Disclosure | None]
"""Returns the disclosure of a statement, by digest; None where there is none."""


Payloads: TypeAlias = Callable[[], Iterable[tuple[Statement, bytes]]]
"""Every statement that was admitted so far, versions of the treaty left out, with its payload, in log order."""


class SealedStatement(NamedTuple):
    """A statement with sealed leaves in this log.

    Attributes:
        author: whose.
        period: of the books; -1 where it is not about one.
        leaves: how many are sealed.
        commitments: the digest that names them.
        received_at_ms: when it came.
    """

    author: str
    period: int
    leaves: int
    commitments: str
    received_at_ms: int


@dataclass(slots=True)
class _Waiting:
    """A statement that is not judged yet; *payload* is empty where nothing is sealed."""

    statement: Statement
    payload: bytes
    due_ms: int


class OpinionLog:
    """The opinions of one log, from the empty prefix."""

    def __init__(
        self,
        document: TreatyDocument,
        origin: str,
        disclosures: Disclosures | None = None,
        archive: Archive | None = None,
        past: Payloads | None = None,
        books: Bookshelf | None = None,
    ) -> None:
        """Follow the log *origin*; *disclosures* opens what its verifier holds, None judges nothing.

        Args:
            document: the treaty: version 1.
            origin: of the log.
            disclosures: opens statements.
            archive: where the rules' past goes, by default memory.
            past: the statements of the log so far with their payloads, when an amendment comes after them.
            books: where books that are opened go, for whoever compares logs.
        """
        self._books = books
        self._root, self._origin = document, origin
        self._disclosures, self._archive, self._past = disclosures, archive, past
        self._able = self._in_force = False
        self._disclosure_ms = 0
        self._rules: set[str] = set()
        self._judge: LogJudge | None = None
        self._fed = 0
        self._queues: dict[str, deque[_Waiting]] = {}
        self._secrets: dict[str, bytes] = {}
        self._chain = bytes(32)
        self._public: set[str] = set()
        self._unsaid: set[str] = set()
        self._deferred: set[str] = set()
        self._opened: dict[str, Finding] = {}
        self._logged: dict[str, str] = {}
        self._expected: list[bytes] = []
        self._concluding = False
        self.sealed: dict[str, SealedStatement] = {}
        self.held: dict[str, int] = {}
        self.standing: dict[str, Opinion] = {}
        self.missing: list[str] = []
        self._govern(document)
        self._begin()

    def __getstate__(self) -> dict[str, object]:
        """Return what a copy needs: all but the functions that its maker lent it."""
        return {**self.__dict__, "_past": None, "_disclosures": None}

    def lend(self, past: Payloads | None, disclosures: Disclosures | None = None) -> None:
        """Read the log's past from here from now on, and *disclosures*: the same ones as before."""
        self._past = past
        self._disclosures = self._disclosures if disclosures is None else disclosures
        if self._judge is not None:
            self._judge.lend(self._again)

    def _govern(self, document: TreatyDocument) -> None:
        """Take a version of the treaty in."""
        verifier = document.verifier_by_origin(self._origin)
        self._able = self._able or (verifier is not None and verifier.disclosure_key is not None)
        self._in_force = self._in_force or bool(document.sealing.fields)
        self._disclosure_ms = document.deadlines.disclosure_ms.value
        self._rules |= {terms.rule for terms in document.rules}

    def _begin(self) -> None:
        """Seat the judge, if there is anything to judge."""
        if self._in_force and self._able and self._disclosures is not None and self._judge is None:
            self._judge = LogJudge(self._root, self._archive, self._again)

    def _again(self) -> Iterator[Statement]:
        """Yield what the judge was given, again."""
        waiting = {item.statement.digest for queue in self._queues.values() for item in queue}
        for statement, payload in () if self._past is None else self._past():
            if statement.digest in waiting:
                continue
            secret = self._secrets.get(statement.digest)
            disclosure = None if secret is None or self._disclosures is None else self._disclosures(statement.digest)
            opened = None if disclosure is None else _opened(payload, disclosure)
            yield statement if opened is None else opened.signed(statement.signed_by)

    @property
    def reproduces(self) -> bool:
        """Whether the opinions of this log can be held against the rules: everything it holds can be opened here."""
        return self._judge is not None and not self.missing

    @property
    def settled(self) -> bool:
        """Whether everything was judged here, as it reads open: it is reproduced, and nothing waits."""
        return self.reproduces and not self._queues

    def passed(self) -> dict[str, Passed]:
        """Return which thresholds the lineages have passed, over opened values (:class:`LogJudge`)."""
        return {} if self._judge is None else self._judge.passed()

    def unverifiable(self) -> dict[Unverifiable, int]:
        """Return what the rules could not judge over opened values either."""
        return {} if self._judge is None else self._judge.unverifiable()

    @property
    def opened(self) -> dict[str, Finding]:
        """What stands over opened values, and not in public: digest -> finding, sorted."""
        return {digest: self._opened[digest] for digest in sorted(self._opened.keys() - self._public)}

    def take(self, statement: Statement, received_at_ms: int, payload: bytes) -> None:
        """Take the admitted *statement*, whose bytes are *payload*."""
        version = statement.predicate if statement.placed is None else None
        if isinstance(version, TreatyDocument):
            self._amend(version, statement, received_at_ms)
            return
        if not self._in_force:
            return
        if statement.sealed:
            usage = statement.usage
            period = None if usage is None else self._root.grid.index_from(usage.start, usage.end)
            self.sealed[statement.digest] = SealedStatement(
                "" if statement.placed is None else statement.placed.author,
                -1 if period is None else period,
                len(statement.sealed.leaves),
                commitments_of(statement.sealed),
                received_at_ms,
            )
        if self._judge is not None:
            self._wait(statement, payload if statement.sealed else b"", received_at_ms)

    def _amend(self, version: TreatyDocument, statement: Statement, received_at_ms: int) -> None:
        before = self._judge
        self._govern(version)
        self._begin()
        if self._judge is None:
            return
        if before is None:  # what was said while nothing could be sealed is judged here too
            for said, payload in () if self._past is None else self._past():
                self._wait(said, payload if said.sealed else b"", received_at_ms)
        self._wait(statement, b"", received_at_ms)

    def _wait(self, statement: Statement, payload: bytes, received_at_ms: int) -> None:
        author = "" if statement.placed is None else statement.placed.author
        waiting = _Waiting(statement, payload, received_at_ms + self._disclosure_ms)
        self._queues.setdefault(author, deque()).append(waiting)

    def holding(self, digest: str) -> bytes | None:
        """Return the body that says that this log's verifier holds the disclosure of *digest*; None where it may not:
        nothing of it is sealed, it is not here, it was said, or the treaty names no disclosure key of this verifier.
        """
        sealed = self.sealed.get(digest)
        if sealed is None or digest in self.held or not self._able:
            return None
        return Held(holds=digest, commitments=sealed.commitments, leaves=sealed.leaves).body

    def hold(self, digest: str, at_ms: int) -> None:
        """Note that the log says so, at *at_ms*."""
        self.held[digest] = at_ms

    def heartbeat(self, at_ms: int, findings: Iterable[bytes]) -> list[bytes]:
        """Return the bodies of the opinion entries due after a heartbeat at *at_ms* with *findings*, in log order."""
        self._concluding = True
        changed = {digest for body in findings for digest in self._note_public(body)}
        if self._judge is None:
            return []
        self._release(at_ms)
        for body in self._judge.heartbeat():
            written = parse_finding(body)
            digest = written.digest if isinstance(written, Finding) else written.withdrawn
            changed.add(digest)
            if isinstance(written, Finding):
                self._opened[digest] = written
            else:
                self._opened.pop(digest, None)
        due = sorted(self._due(changed), key=lambda body: hashlib.sha256(body).digest())
        self._expected = list(due)
        return due

    def read(self, body: bytes, at_ms: int) -> OpinionBody:
        """Take an opinion entry of the log, written at *at_ms*.

        Raises:
            ReplayError: ``replay-opinion``. StatementError: ``opinion-schema``. JsonError: ``json-*``.
        """
        said = parse_opinion(body)
        if isinstance(said, Held):
            self.turn()
            if self.holding(said.holds) != body:
                raise _wrong("that the disclosure of a sealed statement of this log is held, once", body)
            self.hold(said.holds, at_ms)
            return said
        if not self._concluding:
            raise _wrong("opinions directly after a heartbeat, its findings and challenges", body)
        if self.reproduces and (not self._expected or self._expected.pop(0) != body):
            raise _wrong("the opinions that the rules give over what is held", body)
        self._conclude(said, body)
        return said

    def turn(self) -> None:
        """Say that another entry comes, or the end: nothing may be due any more.

        Raises:
            ReplayError: ``replay-opinion``.
        """
        if self.reproduces and self._expected:
            raise _wrong(self._expected[0][:160].decode("utf-8", "replace"), b"another entry, or the end of the log")
        self._concluding = False
        self._expected.clear()

    def _conclude(self, said: Opinion | OpinionWithdrawn, body: bytes) -> None:
        """Note a conclusion, checked as far as everybody can."""
        if isinstance(said, OpinionWithdrawn):
            if self.standing.pop(said.withdrawn_opinion, None) is None:
                raise _wrong("the withdrawal of an opinion that stands", body)
            return
        known = {self.sealed[digest].commitments for digest in said.statements if digest in self.held}
        if set(said.commitments) != known or said.rule not in self._rules or said.digest in self.standing:
            raise _wrong("a rule in force, once, with the commitments of what it cites and is held", body)
        self.standing[said.digest] = said

    def _note_public(self, body: bytes) -> Iterator[str]:
        if self._judge is None:
            return
        written = parse_finding(body)
        if isinstance(written, Finding):
            self._public.add(written.digest)
            yield written.digest
        else:
            self._public.discard(written.withdrawn)
            self._unsaid.add(written.withdrawn)
            yield written.withdrawn

    def _release(self, at_ms: int) -> None:
        """Judge what need not wait any longer."""
        for author in list(self._queues):
            queue = self._queues[author]
            while queue and (not queue[0].payload or queue[0].statement.digest in self.held or at_ms > queue[0].due_ms):
                self._feed(queue.popleft())
            if not queue:
                del self._queues[author]

    def _feed(self, item: _Waiting) -> None:
        assert self._judge is not None
        assert self._disclosures is not None
        statement = item.statement
        if item.payload and statement.digest in self.held:
            disclosure = self._disclosures(statement.digest)
            opened = None if disclosure is None else _opened(item.payload, disclosure)
            if disclosure is None or opened is None:
                self.missing.append(statement.digest)
            else:
                statement = opened.signed(statement.signed_by)
                self._secrets[statement.digest] = disclosure.secret
                self._chain = hashlib.sha256(self._chain + disclosure.secret).digest()
                self._shelve(statement)
        self._judge.add(self._fed, Kind.STATEMENT, statement)
        self._fed += 1

    def _shelve(self, statement: Statement) -> None:
        usage, sealed = statement.usage, self.sealed[statement.digest]
        if self._books is not None and usage is not None and sealed.period >= 0:
            self._books.add(statement.digest, sealed.received_at_ms, sealed.period, usage)

    def _due(self, changed: Iterable[str]) -> Iterator[bytes]:
        looked_at = {*changed, *self._deferred}
        self._deferred.clear()
        for digest in sorted(looked_at):
            finding, logged = self._opened.get(digest), self._logged.get(digest)
            if finding is not None and digest not in self._public:
                if logged is None and digest in self._unsaid and self._waits(finding.about):
                    self._deferred.add(digest)  # what took it away in public is perhaps still waiting here
                elif logged is None:
                    opinion = self._opinion(finding)
                    self._logged[digest] = opinion.digest
                    yield opinion.body
            elif logged is not None:
                del self._logged[digest]
                yield OpinionWithdrawn(withdrawn_opinion=logged).body

    def _waits(self, about: str) -> bool:
        """Say whether statements of *about*, or of a site of it, or of its lab, are still to be judged."""
        return any(f"{author}/".startswith(f"{about}/") or about.startswith(f"{author}/") for author in self._queues)

    def _opinion(self, finding: Finding) -> Opinion:
        """Return *finding* as an opinion. Where nothing that it cites was opened (it cites the newest statements only),
        the secret is over all that was opened before, in the order of this log.
        """
        cited = [digest for digest in finding.statements if digest in self._secrets]
        secrets = b"".join(self._secrets[digest] for digest in cited) or self._chain
        held = (self.sealed[digest].commitments for digest in finding.statements if digest in self.held)
        return Opinion.of(finding, held, hashlib.sha256(secrets).digest())


def _opened(payload: bytes, disclosure: Disclosure) -> Statement | None:
    """Return the statement as it reads open; None where *disclosure* does not open it, as if it were not given."""
    try:
        return open_payload(payload, disclosure)
    except BrakelineError:
        return None


def _wrong(expected: str, found: bytes) -> ReplayError:
    return ReplayError(
        code="replay-opinion",
        message="the opinions are not those that this prefix gives",
        expected=expected,
        found=found[:160].decode("utf-8", "replace"),
        fix="the log's own verifier wrote this; keep the copy, it is evidence",
    )
