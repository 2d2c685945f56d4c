"""The file under the journal: one SQLite database, one process at a time, every commit synced. No meaning here.

Through APSW (its own SQLite; Python's bundled one has a WAL bug), WAL, ``synchronous=FULL``. Versions of the schema are
brought forward when the file is opened; a file of a newer version is refused.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any, Self, cast

import apsw
from brakeline.ledger.errors import BrakelineError

SCHEMA = 6
_TABLES = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE session(id TEXT PRIMARY KEY, workload TEXT NOT NULL, activity TEXT NOT NULL, opened_at INTEGER NOT NULL,
  ended_at INTEGER, lost INTEGER NOT NULL DEFAULT 0,
  busy INTEGER NOT NULL DEFAULT 0, flop TEXT NOT NULL DEFAULT '0', tokens TEXT NOT NULL DEFAULT '0') STRICT;
CREATE TABLE sample(session TEXT NOT NULL, n INTEGER NOT NULL, at INTEGER NOT NULL, busy INTEGER NOT NULL,
  steps INTEGER, flop TEXT, tokens TEXT, workload TEXT NOT NULL, activity TEXT NOT NULL,
  PRIMARY KEY(session, n)) STRICT, WITHOUT ROWID;
CREATE TABLE statement(sequence INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, payload BLOB NOT NULL,
  signed INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE usage(period INTEGER PRIMARY KEY, sequence INTEGER NOT NULL UNIQUE) STRICT;
CREATE TABLE line(period INTEGER NOT NULL, n INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY(period, n))
  STRICT, WITHOUT ROWID;
CREATE TABLE outbox(id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, name TEXT NOT NULL, author TEXT NOT NULL,
  sequence INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE delivery(verifier TEXT NOT NULL, id INTEGER NOT NULL, state TEXT NOT NULL, detail TEXT NOT NULL,
  PRIMARY KEY(verifier, id)) STRICT, WITHOUT ROWID;
CREATE TABLE seen_order(digest TEXT PRIMARY KEY, body BLOB NOT NULL, seen_at INTEGER NOT NULL, source TEXT NOT NULL)
  STRICT;
CREATE TABLE acknowledged(digest TEXT PRIMARY KEY, sequence INTEGER NOT NULL UNIQUE) STRICT;
CREATE TABLE stopped(digest TEXT NOT NULL, session TEXT NOT NULL, workload TEXT NOT NULL, step INTEGER NOT NULL,
  freeze TEXT, at INTEGER NOT NULL, PRIMARY KEY(digest, session)) STRICT, WITHOUT ROWID;
"""
_NEWER = {
    2: """
ALTER TABLE stopped ADD COLUMN agreed INTEGER;
ALTER TABLE stopped ADD COLUMN durable INTEGER;
ALTER TABLE stopped ADD COLUMN final INTEGER NOT NULL DEFAULT 0;
ALTER TABLE acknowledged ADD COLUMN said TEXT NOT NULL DEFAULT '';
CREATE TABLE resumed(digest TEXT NOT NULL, session TEXT NOT NULL, workload TEXT NOT NULL, stopped_by TEXT NOT NULL,
  stopped_session TEXT NOT NULL, step INTEGER NOT NULL, freeze TEXT, at INTEGER NOT NULL,
  PRIMARY KEY(digest, stopped_by, stopped_session)) STRICT, WITHOUT ROWID;
""",
    3: """
CREATE TABLE request(id TEXT PRIMARY KEY, sequence INTEGER NOT NULL UNIQUE) STRICT, WITHOUT ROWID;
""",
    4: """
ALTER TABLE sample ADD COLUMN recomputed TEXT;
""",
    5: """
CREATE TABLE record(id TEXT PRIMARY KEY, data BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE due(period INTEGER PRIMARY KEY) STRICT;
CREATE TABLE own(period INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
CREATE TABLE owed(period INTEGER PRIMARY KEY, corrects TEXT NOT NULL, replacement TEXT NOT NULL, reason TEXT NOT NULL)
  STRICT;
CREATE TABLE old_line(usage TEXT NOT NULL, n INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY(usage, n))
  STRICT, WITHOUT ROWID;
""",
    6: """
CREATE TABLE disclosure(digest TEXT PRIMARY KEY, data BLOB NOT NULL) STRICT, WITHOUT ROWID;
""",
}
"""What each version of the schema adds to the one before."""


class JournalError(BrakelineError):
    """The journal cannot do what was asked, or not now (codes ``journal-*``)."""


class JournalFile:
    """The database: opened, locked, brought forward; changes in commits, errors of the disk as ours."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open or create the journal at *path* and take its lock; *read_only* looks without either.

        Raises:
            JournalError: ``journal-locked`` (another process has it), ``journal-version``, ``journal-io``.
        """
        self._lock = -1 if read_only else _lock(path)
        try:
            self._open(path, read_only)
        except BaseException:
            self._release()
            raise

    def _open(self, path: Path, read_only: bool) -> None:
        with _errors(path):
            flags = apsw.SQLITE_OPEN_READWRITE | (0 if read_only else apsw.SQLITE_OPEN_CREATE)
            # Any: the types of apsw name typing constructs that pyright cannot follow
            self._db: Any = apsw.Connection(str(path), flags=flags)
            self._db.set_busy_timeout(5000)
            if read_only:
                self._db.execute("PRAGMA query_only=1")
            else:
                self._db.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL")
                self._migrate()
        version = self._value("PRAGMA user_version")
        if version != SCHEMA:
            self._db.close()
            raise JournalError(
                code="journal-version", message="written by another version", expected=str(SCHEMA), found=str(version)
            )

    def _migrate(self) -> None:
        """Make a new file, or bring one of an older version forward, in one commit."""
        version = cast("int", self._value("PRAGMA user_version"))
        if version < SCHEMA:
            with self._db:
                if version == 0:
                    self._db.execute(_TABLES)
                for newer in range(max(2, version + 1), SCHEMA + 1):
                    self._db.execute(_NEWER[newer])
                self._db.execute(f"PRAGMA user_version={SCHEMA}")

    def close(self) -> None:
        """Close the file and give up the lock."""
        self._db.close()
        self._release()

    def _release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()

    def damage(self) -> str:
        """Return what SQLite finds wrong with the file's structure, "" when nothing; flipped values it cannot see."""
        found = str(self._value("PRAGMA quick_check(1)"))
        return "" if found == "ok" else found

    def limit_pages(self, pages: int) -> None:
        """Let the file grow to at most *pages* pages (4 KiB each) while it is open: a quota below the disk's own."""
        with _errors():
            self._db.execute(f"PRAGMA max_page_count={pages:d}")

    def _value(self, sql: str, *arguments: object) -> object:
        with _errors():
            return cast("object", self._db.execute(sql, arguments).get)

    def _rows(self, sql: str, *arguments: object) -> list[tuple[Any, ...]]:
        with _errors():
            return list(self._db.execute(sql, arguments))

    @contextlib.contextmanager
    def _change(self) -> Generator[None]:
        with _errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk makes SQLite roll back by itself
                    self._db.execute("ROLLBACK")
                raise


def _lock(path: Path) -> int:
    handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise JournalError(
            code="journal-locked",
            message="another process has this node's journal open",
            expected="one node process per directory",
            found=str(path),
            fix="stop the other process; never copy a journal to run it twice",
        ) from None
    return handle


@contextlib.contextmanager
def _errors(path: Path | None = None) -> Generator[None]:
    try:
        yield
    except (apsw.FullError, apsw.IOError, apsw.CantOpenError, apsw.CorruptError, apsw.NotADBError) as error:
        raise JournalError(
            code="journal-io",
            message="the journal cannot be read or written; nothing was signed",
            expected="a healthy local disk with space left",
            found=f"{path or ''} {error}".strip(),
            fix="make room or repair the disk, then start the node again",
        ) from error
