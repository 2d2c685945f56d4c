"""What the witness remembers: for each log, the latest checkpoint it cosigned. A file of its own, apart from the log.

Apart, because a log restored from backup must not take the witness's memory back with it. One row per origin, replaced
by compare-and-swap inside one durable transaction (WAL, ``synchronous=FULL``), so that what was answered was stored
first, and two requests never both start from the same size.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import apsw
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
        """Open or create the file at *path*."""
        self._lock = threading.Lock()
        self._path = path
        self._db = self._open()

    def _open(self) -> apsw.Connection:
        db = apsw.Connection(str(self._path))
        db.set_busy_timeout(5_000)
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            db.execute(f"PRAGMA {pragma}")
        db.execute(_SCHEMA)
        return db

    def get(self, origin: str) -> Witnessed | None:
        """Return what is remembered of the log *origin*."""
        with self._lock:
            return self._get(origin)

    def swap(self, origin: str, decide: Callable[[Witnessed | None], Witnessed | None]) -> Witnessed | None:
        """Let *decide* see the memory and store what it returns, atomically; durable when this returns.

        *decide* returns None to store nothing. Its exceptions roll back and pass through.

        Raises:
            VerifierError: ``witness-store`` when the disk does not take it: nothing may then be answered.
        """
        after: Witnessed | None = None
        with self._lock:
            try:
                with self._db:
                    after = decide(self._get(origin))
                    if after is not None:
                        self._db.execute(
                            "INSERT INTO witnessed VALUES(?, ?, ?, ?) ON CONFLICT(origin) DO UPDATE SET"
                            " size = excluded.size, root = excluded.root, note = excluded.note",
                            (origin, after.size, after.root, after.note),
                        )
            except apsw.Error as error:
                self._reopen()
                raise VerifierError(
                    code="witness-store",
                    message="the witness could not store a checkpoint, so it did not cosign it",
                    expected="a durable write",
                    found=str(error),
                    fix="free space on the disk of witness.sqlite",
                ) from None
        return after

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _get(self, origin: str) -> Witnessed | None:
        row = self._db.execute("SELECT size, root, note FROM witnessed WHERE origin = ?", (origin,)).fetchone()
        return None if row is None else Witnessed(int(row[0]), bytes(row[1]), bytes(row[2]))

    def _reopen(self) -> None:
        """After an I/O error the outcome is unknown: drop the connection, so that the next read sees the disk."""
        self._db.close(True)
        self._db = self._open()
