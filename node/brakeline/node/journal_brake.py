"""What the journal keeps of the brake: orders seen, where workloads stopped on them, and what they went on from."""

from __future__ import annotations

from typing import Any, cast

from brakeline.node.channel import Resumed, Stopped
from brakeline.node.journal_file import JournalFile

_HEARD = "heard/"


class BrakeJournal(JournalFile):
    """The brake's part of :class:`brakeline.node.journal.Journal`."""

    def hear(self, verifier: str, at: int) -> None:
        """Keep when a verifier answered last (Unix ms)."""
        with self._change():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES(?,?)", (_HEARD + verifier, at))

    def remember(self, key: str, value: str) -> None:
        """Keep one word under *key*, whatever stood there before."""
        with self._change():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES(?,?)", (key, value))

    def recall(self, key: str) -> str | None:
        """Return what is kept under *key*, None where nothing is."""
        return cast("str | None", self._value("SELECT value FROM meta WHERE key=?", key))

    def forget(self, key: str) -> None:
        """Keep nothing under *key* any more."""
        with self._change():
            self._db.execute("DELETE FROM meta WHERE key=?", (key,))

    def heard(self) -> dict[str, int]:
        """Return by verifier when it answered last (Unix ms)."""
        rows = self._rows("SELECT key, value FROM meta WHERE key LIKE ?", f"{_HEARD}%")
        return {str(key).removeprefix(_HEARD): int(value) for key, value in rows}

    def see_order(self, digest: str, body: bytes, seen_at: int, source: str) -> bool:
        """Keep an admitted order with the moment it was first seen; say whether it is new."""
        with self._change():
            values = (digest, body, seen_at, source)
            self._db.execute("INSERT OR IGNORE INTO seen_order VALUES(?,?,?,?)", values)
            return bool(self._db.changes() == 1)

    def orders(self) -> list[tuple[str, bytes, int]]:
        """Return every order seen: (digest, body, first seen at)."""
        return cast(
            "list[tuple[str, bytes, int]]", self._rows("SELECT digest, body, seen_at FROM seen_order ORDER BY 3, 1")
        )

    def acknowledged(self) -> dict[str, str]:
        """Return by the digest of every acknowledged order what was said of it last (``Claim.said``)."""
        return dict(self._rows("SELECT digest, said FROM acknowledged"))

    def stop(self, session: str, workload: str, stopped: Stopped) -> None:
        """Keep where a workload stopped on an order; the first word counts, a freeze digest may follow."""
        s = stopped
        values = (s.order, session, workload, s.step, s.freeze, s.at, s.agreed_at, s.durable_at, int(s.final))
        with self._change():
            self._db.execute(
                "INSERT INTO stopped VALUES(?,?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET final=max(final, "
                "excluded.final), durable=iif(freeze IS NULL, excluded.durable, durable), "
                "freeze=coalesce(freeze, excluded.freeze)",
                values,
            )

    def stops(self, order: str) -> dict[str, tuple[str, Stopped]]:
        """Return by session the workload and where it stopped on *order*."""
        rows = self._rows(
            "SELECT session, workload, digest, step, freeze, at, agreed, durable, final FROM stopped "
            "WHERE digest=? ORDER BY 1",
            order,
        )
        return {row[0]: (row[1], _stop(row[2:])) for row in rows}

    def open_stops(self, session: str, workload: str) -> list[tuple[str, Stopped]]:
        """Return (session, place) of the stops that nothing went on from yet: of *session*, else *workload*'s newest.

        A job that was stopped, ended, and is started again later has another session: its workload's name connects
        them.
        """
        known = self._rows(
            "SELECT 1 FROM stopped WHERE session=? UNION SELECT 1 FROM resumed WHERE session=?", session, session
        )
        if known:
            return self._open_stops(session)
        newest = self._rows(
            "SELECT session FROM stopped WHERE workload=? AND freeze IS NOT NULL ORDER BY at DESC, session LIMIT 1",
            workload,
        )
        return self._open_stops(newest[0][0]) if newest else []

    def _open_stops(self, session: str) -> list[tuple[str, Stopped]]:
        rows = self._rows(
            "SELECT digest, step, freeze, at, agreed, durable, final FROM stopped s WHERE session=? AND NOT EXISTS "
            "(SELECT 1 FROM resumed r WHERE r.stopped_by=s.digest AND r.stopped_session=s.session) ORDER BY at, digest",
            session,
        )
        return [(session, _stop(row)) for row in rows]

    def resume(self, order: str, session: str, workload: str, stop: tuple[str, Stopped], resumed: Resumed) -> None:
        """Keep what a workload went on from, to be acknowledged of *order*, and the *stop* (session, place) before."""
        values = (order, session, workload, stop[1].order, stop[0], resumed.step, resumed.freeze, resumed.at)
        with self._change():
            self._db.execute("INSERT OR IGNORE INTO resumed VALUES(?,?,?,?,?,?,?,?)", values)

    def resumptions(self, order: str) -> dict[tuple[str, str], Resumed]:
        """Return what went on, to be acknowledged of *order*, by (order, session) of the stop before."""
        rows = self._rows("SELECT stopped_by, stopped_session, step, freeze, at FROM resumed WHERE digest=?", order)
        return {(row[0], row[1]): Resumed(*row[2:]) for row in rows}

    def resumed_from(self, order: str) -> set[str]:
        """Return the sessions stopped by *order* from which something went on."""
        return {row[0] for row in self._rows("SELECT stopped_session FROM resumed WHERE stopped_by=?", order)}


def _stop(row: tuple[Any, ...]) -> Stopped:
    order, step, freeze, at, agreed, durable, final = row
    return Stopped(order, step, freeze, at, agreed, durable, bool(final))
