"""The newest checkpoint a log has signed, in a file apart from the log: its memory of what it promised.

A log restored from yesterday's backup is a fork in waiting. Because this store is not part of the log's file (nor of
its backup), the restored log finds that more was signed than it holds, and refuses to sign. The only write is
compare-and-swap, durable on return; so two writers, or a stale one, cannot both sign.
"""

from __future__ import annotations

from pathlib import Path

import apsw
from brakeline.ledger.errors import StoreError
from brakeline.ledger.sqlite_store import SMALL_PAGE, FileLock, connect, connect_writer, translated

_SCHEMA = """
CREATE TABLE IF NOT EXISTS checkpoint (slot TEXT PRIMARY KEY, note BLOB NOT NULL) STRICT;
"""


class CheckpointStore:
    """Slots of checkpoint notes: ``signed`` (by the log) and ``published`` (with cosignatures)."""

    def __init__(self, path: Path) -> None:
        """Open or create the store (StoreError ``store-*``)."""
        self._path = path
        self._lock = FileLock(path)
        try:
            self._db = connect_writer(path, _SCHEMA, page=SMALL_PAGE)
        except BaseException:
            self._lock.release()
            raise

    def read(self, slot: str) -> bytes | None:
        """Return the note in *slot*, or None."""
        with translated(self._path):
            return _note(self._db, slot, self._path)

    def compare_and_swap(self, slot: str, old: bytes | None, new: bytes) -> None:
        """Replace *old* (None: nothing) by *new* in *slot*; atomic, durable on return.

        Raises:
            StoreError: ``store-swap`` when something else stands there.
        """
        with translated(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                found = _note(self._db, slot, self._path)
                if found != old:
                    raise StoreError(
                        code="store-swap",
                        message="the checkpoint store holds another checkpoint than its writer believes",
                        expected="what this process signed last",
                        found=repr(found)[:120],
                        fix="reload; make sure that only one process signs this log",
                    )
                self._db.execute(
                    "INSERT INTO checkpoint VALUES (?, ?) ON CONFLICT DO UPDATE SET note = excluded.note", (slot, new)
                )
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the store and give its lock back, the lock in any case."""
        try:
            with translated(self._path):
                self._db.close()
        finally:
            self._lock.release()


def read_slot(path: Path, slot: str) -> bytes | None:
    """Return the note in *slot* of the store at *path* without taking it from its writer; None when it is empty.

    Raises:
        StoreError: ``store-io`` when there is no such store.
    """
    db = connect(path, readonly=True)
    try:
        with translated(path):
            return _note(db, slot, path)
    finally:
        db.close()


def _note(db: apsw.Connection, slot: str, path: Path) -> bytes | None:
    """Return the note in *slot*, if any: a damaged one may be of any type, and is not "nothing signed"."""
    row: tuple[object, ...]
    for row in db.execute("SELECT note FROM checkpoint WHERE slot = ?", (slot,)):
        (note,) = row
        if isinstance(note, bytes):
            return note
        raise StoreError(
            code="store-corrupt",
            message="the checkpoint store's file is damaged",
            expected="a note",
            found=f"{path}: {type(note).__name__}",
            fix="do not sign; take the last checkpoint from a witness or a peer's mirror",
        )
    return None
