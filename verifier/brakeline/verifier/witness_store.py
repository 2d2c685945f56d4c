"""What the witness remembers: for each log, the latest checkpoint it cosigned. A file of its own, apart from the log.

Apart, because a log restored from backup must not take the witness's memory back with it. One row per origin, replaced
by compare-and-swap inside one durable transaction, so that what was answered was stored first, and two requests never
both start from the same size. The file is opened and settled as the log's own stores are
(:func:`~brakeline.ledger.sqlite_store.connect_writer`): what a failed sync left unwritten is never built upon.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import apsw
from brakeline.ledger.errors import StoreError
from brakeline.ledger.sqlite_store import SMALL_PAGE, connect_writer, translated
from brakeline.verifier.errors import VerifierError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS witnessed(
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, note BLOB NOT NULL
) STRICT, WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Witnessed:
    """The latest cosigned checkpoint of one log: tree size, root hash, note with the log's and our signature."""

    size: int
    root: bytes
    note: bytes


class WitnessStore:
    """The witness's SQLite file. Any number of threads; one transaction at a time."""

    def __init__(self, path: Path) -> None:
        """Open or create the file at *path* (StoreError ``store-*``)."""
        self._lock = threading.Lock()
        self._path = path
        self._open: apsw.Connection | None = connect_writer(path, _SCHEMA, page=SMALL_PAGE)

    def get(self, origin: str) -> Witnessed | None:
        """Return what is remembered of the log *origin* (StoreError ``store-*``)."""
        with self._lock, translated(self._path):
            return _get(self._connection(), origin)

    def swap(self, origin: str, decide: Callable[[Witnessed | None], Witnessed | None]) -> Witnessed | None:
        """Let *decide* see the memory and store what it returns, atomically; durable when this returns.

        *decide* returns None to store nothing. Its exceptions roll back and pass through.

        Raises:
            VerifierError: ``witness-store`` when the disk does not take it: nothing may then be answered.
        """
        with self._lock:
            try:
                return _swap(self._connection(), origin, decide)
            except (apsw.Error, StoreError) as error:
                self._drop()
                raise VerifierError(
                    code="witness-store",
                    message="the witness could not store a checkpoint, so it did not cosign it",
                    expected="a durable write",
                    found=str(error),
                    fix="free space on the disk of witness.sqlite, or replace it",
                ) from None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._drop()

    def _connection(self) -> apsw.Connection:
        """Return the connection, opened anew after an I/O error, whose outcome is unknown."""
        if self._open is None:
            self._open = connect_writer(self._path, _SCHEMA, page=SMALL_PAGE)
        return self._open

    def _drop(self) -> None:
        if self._open is not None:
            self._open.close(True)
        self._open = None


def _swap(db: apsw.Connection, origin: str, decide: Callable[[Witnessed | None], Witnessed | None]) -> Witnessed | None:
    db.execute("BEGIN IMMEDIATE")  # before the memory is read: another process, too, waits from here on
    try:
        after = decide(_get(db, origin))
        if after is not None:
            db.execute(
                "INSERT INTO witnessed VALUES(?, ?, ?, ?) ON CONFLICT(origin) DO UPDATE SET"
                " size = excluded.size, root = excluded.root, note = excluded.note",
                (origin, after.size, after.root, after.note),
            )
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return after


def _get(db: apsw.Connection, origin: str) -> Witnessed | None:
    row = db.execute("SELECT size, root, note FROM witnessed WHERE origin = ?", (origin,)).fetchone()
    return None if row is None else Witnessed(int(row[0]), bytes(row[1]), bytes(row[2]))
