"""What the journal keeps of imported records: the records, which periods are due for new books, and books replaced.

A replacement takes the period's place in ``usage`` in the same commit that reserves it, and leaves a correction *owed*
until that is reserved too: a crash between the two loses neither. The rows of the table behind the books that are
replaced move aside, and can still be opened. What the node's own meter had made of a period is kept too: new books are
made from it, never from books that records are in already.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from brakeline.node.journal_brake import BrakeJournal


@dataclass(frozen=True, slots=True)
class Owed:
    """A correction that must still be said: of which period, from which books to which, and why."""

    period: int
    corrects: str
    replacement: str
    reason: str


class RecordsJournal(BrakeJournal):
    """The records' part of :class:`brakeline.node.journal.Journal`."""

    def keep_records(self, records: Iterable[tuple[str, bytes]], gone: Iterable[str], due: Iterable[int]) -> None:
        """Keep records (id, bytes; the same id again replaces), forget *gone*, and note which periods are *due*."""
        with self._change():
            self._db.executemany("DELETE FROM record WHERE id=?", [(key,) for key in gone])
            self._db.executemany("INSERT OR REPLACE INTO record VALUES(?,?)", list(records))
            self._db.executemany("INSERT OR IGNORE INTO due VALUES(?)", [(period,) for period in due])

    def records(self) -> list[bytes]:
        """Return all records that are kept, in the order of their digests."""
        return [row[0] for row in self._rows("SELECT data FROM record ORDER BY id")]

    def due(self) -> list[int]:
        """Return the periods whose books may differ from what the records say."""
        return [row[0] for row in self._rows("SELECT period FROM due ORDER BY period")]

    def not_due(self, period: int) -> None:
        """Note that the books of *period* are as the records say."""
        with self._change():
            self._db.execute("DELETE FROM due WHERE period=?", (period,))

    def owed(self) -> list[Owed]:
        """Return the corrections that must still be said."""
        return [Owed(*row) for row in self._rows("SELECT * FROM owed ORDER BY period")]

    def own_books(self, period: int) -> bytes | None:
        """Return what the node's own meter made of *period*, as it was kept when records first changed its books."""
        return cast("bytes | None", self._value("SELECT data FROM own WHERE period=?", period))

    def standing(self, limit: int) -> list[tuple[int, bytes, bytes]]:
        """Return (period, payload, what opens it) of the books that stand of the newest *limit* periods, in order."""
        rows = self._rows(
            "SELECT u.period, s.payload, coalesce(d.data, x'') FROM usage u JOIN statement s USING(sequence) "
            "LEFT JOIN disclosure d ON d.digest = s.digest ORDER BY u.period DESC LIMIT ?",
            limit,
        )
        return [(row[0], row[1], row[2]) for row in reversed(rows)]

    def payload(self, digest: str) -> bytes | None:
        """Return the payload of a statement of the site's chain; None where it is none."""
        return cast("bytes | None", self._value("SELECT payload FROM statement WHERE digest=?", digest))

    def rows_of(self, period: int, usage: str) -> list[bytes]:
        """Return the rows behind the books *usage* of *period*, also where others have replaced them; else none."""
        current = self._value("SELECT digest FROM usage JOIN statement USING(sequence) WHERE period=?", period)
        if current == usage:
            return [row[0] for row in self._rows("SELECT data FROM line WHERE period=? ORDER BY n", period)]
        return [row[0] for row in self._rows("SELECT data FROM old_line WHERE usage=? ORDER BY n", usage)]

    def _replace(self, period: int, sequence: int, reason: str) -> None:
        """Let *sequence* be the books of *period* instead of what is; within a change."""
        before = self._rows("SELECT digest FROM usage JOIN statement USING(sequence) WHERE period=?", period)
        digest = cast("str", before[0][0])
        replacement = self._value("SELECT digest FROM statement WHERE sequence=?", sequence)
        self._db.execute("INSERT INTO old_line SELECT ?, n, data FROM line WHERE period=?", (digest, period))
        self._db.execute("DELETE FROM line WHERE period=?", (period,))
        self._db.execute("UPDATE usage SET sequence=? WHERE period=?", (sequence, period))
        self._db.execute("INSERT INTO owed VALUES(?,?,?,?)", (period, digest, replacement, reason))
