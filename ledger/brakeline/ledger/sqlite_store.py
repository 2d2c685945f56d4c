"""A log in one SQLite file, through APSW: WAL, synchronous=FULL, one writer, 64 KiB pages.

Python's own sqlite3 module is not used: versions in the field carry a WAL bug that corrupts, and ``synchronous=NORMAL``
loses acknowledged rows in a power cut. APSW bundles a current SQLite. No index is keyed by digest: random inserts would
dominate at millions of rows. A second process on the same file is refused by a lock file; network file systems, whose
locks and syncs cannot be relied on, are refused too.

Why large pages: an entry of 5.5 KB fits a page of 16 KiB twice, and a third of the page stays empty; a tile of 8 KiB
fits none (docs/decisions/0014). Files made before keep the size they were made with.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import apsw
from brakeline.ledger.errors import StoreError
from brakeline.ledger.merkle import HASH_SIZE
from brakeline.ledger.tiles import TileRef

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph", "glusterfs"}
)
PAGE = 65_536
"""Bytes of a page of a log's file. Stores of a few notes have small ones: what changes is written by the page."""
SMALL_PAGE = 4_096
_WAL_BYTES = 16 * 1024 * 1024
"""The WAL is moved into the file when it is so long."""
_CACHE_KIB = 8 * 1024
"""So much of a transaction waits in memory; what is more is written early."""
_ROWS = 32
"""Entries read at once: at most 2 MiB."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (idx INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS tile (level INTEGER, n INTEGER, data BLOB NOT NULL, PRIMARY KEY (level, n))
    STRICT, WITHOUT ROWID;
"""


class FileLock:
    """An advisory lock on ``<path>.lock`` for as long as this object (and process) lives."""

    def __init__(self, path: Path) -> None:
        """Take the lock, or raise StoreError ``store-locked``, ``store-io`` (no such directory, no right to write)."""
        try:
            self._file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(path, error.strerror or "an error") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise StoreError(
                code="store-locked",
                message="another process has this store open for writing",
                found=str(path),
                fix="stop the other process; two writers on one log would fork it",
            ) from None

    def release(self) -> None:
        """Give the lock back."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def connect(path: Path, *, readonly: bool = False, page: int = PAGE) -> apsw.Connection:
    """Open an SQLite file with the settings every store of ours uses (StoreError ``store-network``, ``store-io``)."""
    refuse_network(path)
    flags = apsw.SQLITE_OPEN_READONLY if readonly else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    with translated(path):
        db = apsw.Connection(os.fspath(path), flags=flags)
        db.set_busy_timeout(5_000)
        if not readonly:
            db.pragma("page_size", page)
            db.pragma("journal_mode", "wal")
            db.wal_autocheckpoint(_WAL_BYTES // db.pragma("page_size"))
        db.pragma("cache_size", -_CACHE_KIB)
        db.pragma("synchronous", "full")
        return db


def connect_writer(path: Path, schema: str, *, page: int = PAGE) -> apsw.Connection:
    """Open an SQLite file for writing, with *schema* in it, and check that what it commits is durable.

    Raises:
        StoreError: ``store-settings`` (no WAL, or no full sync, on this disk), ``store-corrupt`` and those of
            :func:`connect`.
    """
    _settle(path)
    db = connect(path, page=page)
    try:
        with translated(path):
            db.execute(schema)
            sync, mode = db.pragma("synchronous"), db.pragma("journal_mode")
            # After a sync that failed Linux holds the pages for clean, and no later sync writes them. So what the WAL
            # holds is written once more, into the file, and synced there, before it is built upon.
            db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            # Hashes find damage to what is stored; this finds damage to where the next row would go (over another).
            structure = db.execute("PRAGMA quick_check(1)").get
        if sync != 2 or mode != "wal":
            raise StoreError(
                code="store-settings",
                message="the store is not durable",
                expected="wal, 2",
                found=f"{mode}, {sync}",
                fix="keep it on a local disk that supports shared memory files",
            )
        if structure != "ok":
            raise _damaged(f"{path}: {structure}"[:200])
    except BaseException:
        db.close()
        raise
    return db


def _settle(path: Path) -> None:
    """Sync what a writer that died left in the WAL of *path*, before anybody reads it and signs.

    A process that is killed between writing and syncing leaves commits that the kernel has and the disk has not, and
    SQLite recovers them without a sync: signed at boot, they would be gone after a power cut.
    """
    wal = path.with_name(f"{path.name}-wal")
    if not (wal.exists() and path.exists()):
        return
    # With CREATE SQLite syncs the directory too: the WAL's name may be no more durable than its bytes.
    flags = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    with translated(wal):
        file = apsw.VFSFile("", os.fspath(wal), [flags, 0])
        try:
            file.xSync(apsw.SQLITE_SYNC_NORMAL)
        finally:
            file.xClose()


class translated:  # noqa: N801  a context manager, used like a function
    """Turn SQLite's errors into :class:`StoreError`, the outcome of the failed transaction being undone or unknown."""

    def __init__(self, path: Path) -> None:
        """Name *path* in messages."""
        self._path = path

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Translate *error* when it is SQLite's, or comes of text that SQLite read from a damaged record."""
        if isinstance(error, apsw.Error | UnicodeDecodeError):
            raise _translate(self._path, error) from error


def _unusable(path: Path, found: str) -> StoreError:
    return StoreError(
        code="store-io",
        message="the store cannot be opened for writing",
        expected="a directory that this user may write",
        found=f"{path}: {found}",
        fix="check the path and its permissions",
    )


def _damaged(found: str) -> StoreError:
    return StoreError(
        code="store-corrupt",
        message="the store's file is damaged",
        found=found,
        fix="run `brakeline ledger fsck`; restore from a peer's mirror; do not sign",
    )


def _translate(path: Path, error: apsw.Error | UnicodeDecodeError) -> StoreError:
    found = f"{path}: {type(error).__name__}: {error}"[:200]
    if isinstance(error, apsw.FullError):
        return StoreError(
            code="store-disk-full",
            message="the disk is full; nothing was written and nothing is acknowledged",
            found=found,
            fix="free space; the store goes on by itself",
        )
    if isinstance(error, apsw.BusyError):
        return StoreError(code="store-locked", message="another process holds this store", found=found, fix="stop it")
    if isinstance(error, apsw.CorruptError | apsw.NotADBError | UnicodeDecodeError):
        return _damaged(found)
    return StoreError(
        code="store-io",
        message="the disk failed; whether the last write arrived is unknown",
        found=found,
        fix="check the disk; the store is read again before the next write",
    )


def refuse_network(path: Path) -> None:
    """Refuse a path on a network file system (StoreError ``store-network``; Linux only, elsewhere unchecked)."""
    mounts = Path("/proc/self/mounts")
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
        target = path.resolve().parent
    except OSError:
        return
    best = ("", "")
    for fields in (line.split(" ") for line in lines):
        if len(fields) > 2 and target.is_relative_to(fields[1]) and len(fields[1]) >= len(best[0]):
            best = (fields[1], fields[2])
    if best[1] in NETWORK_FILE_SYSTEMS:
        raise StoreError(
            code="store-network",
            message="a log on a network file system cannot be kept safe",
            expected="a local disk",
            found=f"{path} on {best[1]}",
            fix="move the directory to a local disk",
        )


def _missing(index: int) -> StoreError:
    return StoreError(
        code="store-corrupt",
        message="an entry is missing from the store",
        expected=f"entry {index}",
        found="none that can be read",
        fix="restore from a peer's mirror; do not sign",
    )


class SqliteReader:
    """Reads a log's file, also while another process writes it."""

    def __init__(self, path: Path) -> None:
        """Open the log at *path* for reading (StoreError ``store-io`` when there is none)."""
        self._path = path
        self._reader = connect(path, readonly=True)

    def size(self) -> int:
        """Return the number of entries."""
        with translated(self._path):
            last = self._reader.execute("SELECT max(idx) FROM entry").get
        return 0 if last is None else int(last) + 1

    def read_entries(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the entries [start, stop) (StoreError ``store-corrupt`` when one is missing)."""
        at = start
        while at < stop:
            # A few rows at a time: a statement left open would keep this reader at an old state, and the WAL from
            # being emptied, for as long as its caller takes.
            rows = self._rows(at, min(at + _ROWS, stop))
            for index, data in rows:
                if index != at or not isinstance(data, bytes):  # a damaged record may turn up as any type
                    raise _missing(at)
                yield data
                at += 1
            if not rows:
                raise _missing(at)

    def _rows(self, start: int, stop: int) -> list[tuple[int, object]]:
        with translated(self._path):
            query = "SELECT idx, data FROM entry WHERE idx >= ? AND idx < ? ORDER BY idx"
            return list(self._reader.execute(query, (start, stop)))

    def read_tile(self, ref: TileRef) -> bytes:
        """Return the hashes of a tile, at most ``ref.width`` of them (empty when there is none)."""
        with translated(self._path):
            data = self._reader.execute("SELECT data FROM tile WHERE level = ? AND n = ?", (ref.level, ref.n)).get
        return data[: ref.width * HASH_SIZE] if isinstance(data, bytes) else b""

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()


class SqliteStore(SqliteReader):
    """A :class:`~brakeline.ledger.store.LogStore` in one SQLite file."""

    def __init__(self, path: Path) -> None:
        """Open or create the log at *path* for writing.

        Raises:
            StoreError: ``store-locked``, ``store-network``, ``store-corrupt``, ``store-io``.
        """
        self._path = path
        self._lock = FileLock(path)
        try:
            self._db = connect_writer(path, _SCHEMA)
            try:
                # A second connection reads back: what is hashed before signing is what another reader would see.
                super().__init__(path)
            except BaseException:
                self._db.close()
                raise
        except BaseException:
            self._lock.release()
            raise

    def append(self, first: int, entries: Sequence[bytes], tiles: Mapping[TileRef, bytes]) -> None:
        """Append atomically and durably (see :class:`~brakeline.ledger.store.LogStore`)."""
        with translated(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                last = self._db.execute("SELECT max(idx) FROM entry").get
                if (0 if last is None else int(last) + 1) != first:
                    raise StoreError(
                        code="store-position",
                        message="the log is not where its writer believes",
                        expected=str(first),
                        found="0" if last is None else str(int(last) + 1),
                        fix="reload before writing again",
                    )
                self._db.executemany("INSERT INTO entry VALUES (?, ?)", enumerate(entries, start=first))
                self._db.executemany(
                    "INSERT INTO tile VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET data = excluded.data",
                    ((ref.level, ref.n, data) for ref, data in tiles.items()),
                )
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close both connections and give the lock back, the lock in any case."""
        try:
            with translated(self._path):
                super().close()
                self._db.close()
        finally:
            self._lock.release()
