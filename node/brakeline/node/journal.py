"""What must survive a crash: one SQLite file, every commit synced before the caller goes on.

*What it is*: samples, sessions, what was booked, chain positions, envelopes with per-verifier progress, receipts'
whereabouts, and the brake's part (:mod:`brakeline.node.journal_brake`), all in one file
(:mod:`brakeline.node.journal_file`).

*The rule it exists for*: a position of the site's chain is reserved with the exact payload (:meth:`Journal.reserve`),
durably, *before* anything is signed. After a crash :meth:`Journal.unsigned` returns those bytes; Ed25519 is
deterministic, so signing them again yields the same signature, and no position is ever signed with two payloads. A
usage statement also reserves its period: a second one for the same period cannot be reserved.

*What it is not*: a defence against a restored backup of the file (the failover work adds that), nor the log.

Instants are Unix milliseconds. Errors: :class:`JournalError`, codes ``journal-*``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

import apsw
from brakeline.node.books import BookedSoFar, SessionSamples
from brakeline.node.channel import Hello, Sample
from brakeline.node.journal_file import JournalError as JournalError
from brakeline.node.journal_records import RecordsJournal
from brakeline.treaty.document import ZERO_DIGEST
from brakeline.treaty.statements import Activity


class Delivery(StrEnum):
    """How far one envelope has come with one verifier. ``REFUSED`` and ``RECEIVED`` are final."""

    OPEN = "open"
    PENDING = "pending"
    REFUSED = "refused"
    RECEIVED = "received"


@dataclass(frozen=True, slots=True)
class Reserved:
    """A position of the site's chain and the only payload that may ever be signed there."""

    sequence: int
    digest: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An envelope on its way: ``body`` as in a log entry; ``author`` and ``sequence`` empty and -1 without a chain."""

    id: int
    digest: str
    name: str
    author: str
    sequence: int
    body: bytes
    state: Delivery = Delivery.OPEN


@dataclass(frozen=True, slots=True)
class Claim:
    """What a reservation settles besides the position: a booked period with its rows and totals, an order, a request.

    ``said`` stands for what is acknowledged of the order: it may be acknowledged again to say something else.
    ``replaces``: why the books take the place of others of their period, "" where they are its first. ``corrected``:
    the period whose owed correction this is. ``own``: what the node's own meter made of a period in whose books records
    are.
    ``disclosure`` is what opens the sealed values of the payload, empty where nothing is sealed.
    """

    period: int | None = None
    rows: tuple[bytes, ...] = ()
    booked: tuple[BookedSoFar, ...] = ()
    order: str | None = None
    said: str = ""
    request: str | None = None
    replaces: str = ""
    corrected: int | None = None
    own: bytes = b""
    disclosure: bytes = b""


@dataclass(frozen=True, slots=True)
class Adopted:
    """A statement that another host of this site signed, or its lab's root: taken over from the logs.

    ``period`` of books, ``order`` of an acknowledgement.
    """

    outgoing: Outgoing
    payload: bytes
    period: int | None = None
    order: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A metered command: ``ended_at`` None while it runs, as far as is known."""

    id: str
    workload: str
    activity: Activity
    opened_at: int
    ended_at: int | None
    last_at: int
    last_n: int


class Journal(RecordsJournal):
    """The node's durable memory. Every method commits (with full sync) before it returns."""

    # -- meters ------------------------------------------------------------------------------------------------------

    def open_session(self, hello: Hello, at: int) -> int:
        """Note a session (again, after a reconnection); return the number of its last durable sample."""
        with self._change():
            self._db.execute(
                "INSERT INTO session(id, workload, activity, opened_at) VALUES(?,?,?,?) "
                "ON CONFLICT(id) DO UPDATE SET workload=excluded.workload, activity=excluded.activity, "
                "ended_at=iif(lost, NULL, ended_at), lost=0",
                (hello.session, hello.workload, hello.activity.value, at),
            )
        return cast("int", self._value("SELECT coalesce(max(n), 0) FROM sample WHERE session=?", hello.session))

    def add_samples(self, session: str, samples: Iterable[Sample]) -> None:
        """Keep samples; one that is there already is ignored (a meter repeats what was not acknowledged)."""
        rows = [
            (session, s.n, s.at, s.busy_ms, s.steps, flop, tokens, s.workload, s.activity.value, recomputed)
            for s in samples
            for flop, tokens, recomputed in [map(_text, (s.flop, s.tokens, s.recomputed))]
        ]
        if rows:
            with self._change():
                self._db.executemany("INSERT OR IGNORE INTO sample VALUES(?,?,?,?,?,?,?,?,?,?)", rows)
                # a meter that started while the node was away began earlier than its first word reached us
                self._db.execute("UPDATE session SET opened_at=min(opened_at, ?) WHERE id=?", (rows[0][2], session))

    def end_session(self, session: str, at: int, *, lost: bool = False) -> None:
        """Note that a session is over; ``lost``: its meter vanished, what happened up to *at* is not known."""
        with self._change():
            self._db.execute(
                "UPDATE session SET ended_at=?, lost=? WHERE id=? AND ended_at IS NULL", (at, int(lost), session)
            )

    def open_sessions(self) -> list[Session]:
        """Return the sessions that are not over, with their newest samples."""
        rows = self._rows(
            "SELECT s.id, s.workload, s.activity, s.opened_at, s.ended_at, coalesce(max(m.at), s.opened_at), "
            "coalesce(max(m.n), 0) FROM session s LEFT JOIN sample m ON m.session = s.id "
            "WHERE s.ended_at IS NULL GROUP BY s.id ORDER BY s.opened_at, s.id"
        )
        return [Session(r[0], r[1], Activity(r[2]), *r[3:]) for r in rows]

    def samples_between(self, start: int, end: int) -> list[SessionSamples]:
        """Return what the books of [start, end) need of each session that is not booked to its end.

        That is: the samples inside, the last one before and the first one after, what was booked, and when its meter
        was lost.
        """
        sessions = self._rows(
            "SELECT id, busy, flop, tokens, ended_at, lost, opened_at FROM session s "
            "WHERE opened_at < ? AND (ended_at IS NULL OR ended_at >= ? "
            "OR busy < (SELECT max(busy) FROM sample WHERE session = s.id)) ORDER BY opened_at, id",
            end,
            start,
        )
        return [
            SessionSamples(
                BookedSoFar(key, busy, int(flop), int(tokens)),
                opened_at,
                tuple(self._samples_around(key, start, end)),
                (self._last_at(key, opened_at), ended_at) if lost else None,
            )
            for key, busy, flop, tokens, ended_at, lost, opened_at in sessions
        ]

    def prune(self, before: int) -> None:
        """Forget the samples of every session before its last one up to *before*: no books reach further back."""
        for (session,) in self._rows("SELECT id FROM session WHERE opened_at < ?", before):
            newest = self._value("SELECT max(n) FROM sample WHERE session=? AND at <= ?", session, before)
            if newest is not None and self._value("SELECT 1 FROM sample WHERE session=? AND n<?", session, newest):
                with self._change():
                    self._db.execute("DELETE FROM sample WHERE session=? AND n<?", (session, newest))

    def _last_at(self, session: str, default: int) -> int:
        return cast("int", self._value("SELECT coalesce(max(at), ?) FROM sample WHERE session=?", default, session))

    def _samples_around(self, session: str, start: int, end: int) -> Iterator[Sample]:
        first = self._value("SELECT max(n) FROM sample WHERE session=? AND at <= ?", session, start)
        last = self._value("SELECT min(n) FROM sample WHERE session=? AND at >= ?", session, end)
        rows = self._rows(
            "SELECT n, at, busy, workload, activity, steps, flop, tokens, recomputed FROM sample "
            "WHERE session=? AND n >= ? AND n <= ? ORDER BY n",
            session,
            0 if first is None else cast("int", first),
            2**62 if last is None else cast("int", last),
        )
        for n, at, busy, workload, activity, steps, *amounts in rows:
            yield Sample(n, at, busy, workload, Activity(activity), steps, *map(_int, amounts))

    # -- the chain ---------------------------------------------------------------------------------------------------

    def head(self) -> tuple[int, str]:
        """Return the next sequence and the digest of the statement before it (64 zeros for the first)."""
        rows = self._rows("SELECT sequence, digest FROM statement ORDER BY sequence DESC LIMIT 1")
        return (rows[0][0] + 1, rows[0][1]) if rows else (0, ZERO_DIGEST)

    def digest_at(self, sequence: int) -> str:
        """Return the digest of the statement reserved or signed at *sequence*; 64 zeros where there is none."""
        found = self._value("SELECT digest FROM statement WHERE sequence=?", sequence)
        return ZERO_DIGEST if found is None else cast("str", found)

    def reserve(self, item: Reserved, claim: Claim = Claim()) -> None:
        """Make *item* the only payload that may be signed at its position, durably, with what *claim* settles.

        Raises:
            JournalError: ``journal-position`` (taken, or not the next), ``journal-claimed`` (the period is booked, or
                the order acknowledged), ``journal-io``; nothing was changed.
        """
        with self._change():
            expected = self.head()[0]
            if item.sequence != expected:
                raise JournalError(
                    code="journal-position",
                    message="this chain position is not the next one",
                    expected=str(expected),
                    found=str(item.sequence),
                )
            self._db.execute("INSERT INTO statement VALUES(?,?,?,0)", (item.sequence, item.digest, item.payload))
            if claim.disclosure:  # before anything is signed: salts that are lost can never be found again
                self._db.execute("INSERT INTO disclosure VALUES(?,?)", (item.digest, claim.disclosure))
            self._claim(item.sequence, claim)

    def disclosure(self, digest: str) -> bytes:
        """Return what opens the sealed values of the statement *digest*, empty where nothing of it is sealed."""
        rows = self._rows("SELECT data FROM disclosure WHERE digest=?", digest)
        return cast("bytes", rows[0][0]) if rows else b""

    def disclosed(self) -> list[tuple[int, str, int | None]]:
        """Return (sequence, digest, period of books) of every statement with sealed values, in order."""
        return self._rows(
            "SELECT s.sequence, s.digest, u.period FROM disclosure d JOIN statement s ON s.digest = d.digest "
            "LEFT JOIN usage u ON u.sequence = s.sequence ORDER BY s.sequence"
        )

    def deliver_again(self, digests: Iterable[str]) -> None:
        """Let the envelopes of the statements *digests* be sent once more to every verifier that has received them."""
        with self._change():
            self._db.executemany(
                "UPDATE delivery SET state='open' WHERE state='received' AND id=(SELECT id FROM outbox WHERE digest=?)",
                [(digest,) for digest in digests],
            )

    def _claim(self, sequence: int, claim: Claim) -> None:
        try:
            if claim.period is not None:
                if claim.replaces:
                    self._replace(claim.period, sequence, claim.replaces)
                else:
                    self._db.execute("INSERT INTO usage VALUES(?,?)", (claim.period, sequence))
                self._db.execute("DELETE FROM due WHERE period=?", (claim.period,))
                if claim.own:
                    self._db.execute("INSERT OR IGNORE INTO own VALUES(?,?)", (claim.period, claim.own))
                rows = [(claim.period, n, row) for n, row in enumerate(claim.rows)]
                self._db.executemany("INSERT INTO line VALUES(?,?,?)", rows)
            if claim.corrected is not None:
                self._db.execute("DELETE FROM owed WHERE period=?", (claim.corrected,))
            if claim.order is not None:
                self._db.execute("DELETE FROM acknowledged WHERE digest=? AND said<>?", (claim.order, claim.said))
                self._db.execute("INSERT INTO acknowledged VALUES(?,?,?)", (claim.order, sequence, claim.said))
            if claim.request is not None:
                self._db.execute("INSERT INTO request VALUES(?,?)", (claim.request, sequence))
        except apsw.ConstraintError:
            raise JournalError(
                code="journal-claimed",
                message="the period is booked, the order acknowledged, or the request answered, already",
                found=f"period {claim.period}, order {claim.order}, request {claim.request}",
            ) from None
        for b in claim.booked:
            values = (b.busy_ms, str(b.flop), str(b.tokens), b.session)
            self._db.execute("UPDATE session SET busy=?, flop=?, tokens=? WHERE id=?", values)

    def unsigned(self) -> list[Reserved]:
        """Return what was reserved but not signed before a crash, in order: sign these bytes, and no others."""
        rows = self._rows("SELECT sequence, digest, payload FROM statement WHERE signed=0 ORDER BY sequence")
        return [Reserved(*row) for row in rows]

    def adopt(self, chain: Iterable[Adopted], site: str) -> None:
        """Take over what another host of *site* signed, in order, and put all of it into the outbox, in one commit.

        Raises:
            JournalError: ``journal-position``: it does not go on from here.
        """
        with self._change():
            for item in chain:
                out = item.outgoing
                self._spool(out)
                if out.author != site or self.digest_at(out.sequence) == out.digest:
                    continue
                if out.sequence != self.head()[0]:
                    raise JournalError(
                        code="journal-position",
                        message="what is taken over does not go on from here",
                        expected=str(self.head()[0]),
                        found=str(out.sequence),
                    )
                self._db.execute("INSERT INTO statement VALUES(?,?,?,1)", (out.sequence, out.digest, item.payload))
                if item.period is not None:
                    self._db.execute("INSERT OR IGNORE INTO usage VALUES(?,?)", (item.period, out.sequence))
                if item.order is not None:
                    self._db.execute("INSERT OR REPLACE INTO acknowledged VALUES(?,?,'')", (item.order, out.sequence))

    def signed(self, outgoing: Outgoing) -> None:
        """Note that a reserved statement is signed, and put its envelope into the outbox, in one commit."""
        with self._change():
            self._db.execute("UPDATE statement SET signed=1 WHERE sequence=?", (outgoing.sequence,))
            self._spool(outgoing)

    def spool(self, outgoing: Outgoing) -> None:
        """Put an envelope that is not of the site's chain (an enrolment, an order) into the outbox."""
        with self._change():
            self._spool(outgoing)

    def _spool(self, o: Outgoing) -> None:
        self._db.execute(
            "INSERT OR IGNORE INTO outbox(digest, name, author, sequence, body) VALUES(?,?,?,?,?)",
            (o.digest, o.name, o.author, o.sequence, o.body),
        )

    def answered(self, request: str) -> tuple[int, str] | None:
        """Return sequence and digest of the statement that says what *request* asked for, None while none does."""
        joined = "SELECT sequence, digest FROM request JOIN statement USING(sequence) WHERE id=?"
        rows = self._rows(joined, request)
        return (rows[0][0], rows[0][1]) if rows else None

    def last_period(self) -> int | None:
        """Return the last period whose books are reserved, None when there is none."""
        return cast("int | None", self._value("SELECT max(period) FROM usage"))

    def usage(self, period: int) -> str | None:
        """Return the digest of the books of *period*, None while none are reserved."""
        joined = "SELECT digest FROM usage JOIN statement USING(sequence) WHERE period=?"
        return next((row[0] for row in self._rows(joined, period)), None)

    def books_with_fewer(self, receipts: int, limit: int) -> list[tuple[int, str, int]]:
        """Return (period, digest, receipts held) of the oldest books that fewer than so many receipts prove."""
        found = self._rows(
            "SELECT u.period, s.digest, count(d.verifier) FROM usage u JOIN statement s USING(sequence) "
            "LEFT JOIN outbox o ON o.digest = s.digest LEFT JOIN delivery d ON d.id = o.id AND d.state = 'received' "
            "GROUP BY u.period HAVING count(d.verifier) < ? ORDER BY u.period LIMIT ?",
            receipts,
            limit,
        )
        return [(row[0], row[1], row[2]) for row in found]

    def rows(self, period: int) -> list[bytes]:
        """Return the chip x slot rows behind the books of *period*, in the order of their commitment."""
        return [row[0] for row in self._rows("SELECT data FROM line WHERE period=? ORDER BY n", period)]

    # -- the outbox --------------------------------------------------------------------------------------------------

    def envelopes(self) -> Iterator[Outgoing]:
        """Yield every envelope of the outbox, oldest first."""
        for row in self._rows("SELECT id, digest, name, author, sequence, body FROM outbox ORDER BY id"):
            yield Outgoing(*row)

    def outline(self, without: tuple[str, ...]) -> Iterator[Outgoing]:
        """Yield every envelope of the outbox, oldest first; of the predicates *without*, with an empty body."""
        marks = ",".join("?" * len(without))
        chosen = f"iif(name IN ({marks}), x'', body)"
        for row in self._rows(f"SELECT id, digest, name, author, sequence, {chosen} FROM outbox ORDER BY id", *without):  # noqa: S608
            yield Outgoing(*row)

    def named(self, name: str) -> Iterator[Outgoing]:
        """Yield the envelopes of the predicate *name*, oldest first."""
        for row in self._rows(
            "SELECT id, digest, name, author, sequence, body FROM outbox WHERE name = ? ORDER BY id", name
        ):
            yield Outgoing(*row)

    def undelivered(self, verifier: str, limit: int = 512) -> list[Outgoing]:
        """Return the oldest envelopes whose delivery to *verifier* is neither received nor refused."""
        rows = self._rows(
            "SELECT o.id, o.digest, o.name, o.author, o.sequence, o.body, coalesce(d.state, 'open') FROM outbox o "
            "LEFT JOIN delivery d ON d.id = o.id AND d.verifier = ? "
            "WHERE coalesce(d.state, 'open') IN ('open', 'pending') ORDER BY o.id LIMIT ?",
            verifier,
            limit,
        )
        return [Outgoing(r[0], r[1], r[2], r[3], r[4], r[5], Delivery(r[6])) for r in rows]

    def delivered(self, verifier: str, results: Iterable[tuple[int, Delivery, str]]) -> None:
        """Note (outbox id, state, receipt path or reason) of several envelopes with one verifier."""
        with self._change():
            self._db.executemany(
                "INSERT INTO delivery VALUES(?,?,?,?) "
                "ON CONFLICT DO UPDATE SET state=excluded.state, detail=excluded.detail",
                [(verifier, key, state.value, detail) for key, state, detail in results],
            )

    def progress(self, verifier: str) -> dict[Delivery, int]:
        """Count the envelopes of the outbox by how far they have come with *verifier*."""
        rows = self._rows(
            "SELECT coalesce(d.state, 'open'), count(*) FROM outbox o LEFT JOIN delivery d ON d.id = o.id "
            "AND d.verifier = ? GROUP BY 1",
            verifier,
        )
        return dict.fromkeys(Delivery, 0) | {Delivery(state): count for state, count in rows}

    def delivery(self, verifier: str, digest: str) -> tuple[Delivery, str]:
        """Return how far the envelope of a statement has come with *verifier*, and the receipt's path or the reason."""
        rows = self._rows(
            "SELECT d.state, d.detail FROM delivery d JOIN outbox o ON o.id = d.id WHERE d.verifier=? AND o.digest=?",
            verifier,
            digest,
        )
        return (Delivery(rows[0][0]), rows[0][1]) if rows else (Delivery.OPEN, "")

    def receipts(self) -> dict[str, int]:
        """Return by statement digest how many verifiers' verified receipts are held."""
        return dict(
            self._rows(
                "SELECT o.digest, count(d.verifier) FROM outbox o LEFT JOIN delivery d ON d.id = o.id "
                "AND d.state = 'received' GROUP BY o.id ORDER BY o.id"
            )
        )


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)


def _int(value: str | None) -> int | None:
    return None if value is None else int(value)
