"""Backups of a log that cannot fork it, and bringing a restored log forward from a mirror of itself.

A log that is restored from yesterday's backup and signed again has two histories, and its operator has no excuse. So:

- a backup holds the log only, never the checkpoint store, which remembers what was signed and lives on apart;
- a restore never touches that store, and never a log that is there; what it leaves, the sequencer holds against the
  store (``store-behind``) and a verifier's boot against what witnesses remember (``boot-log-behind``) before signing;
- nothing here signs, or has a key that could.

What was appended after the backup is in other hands: every peer's mirror holds the tiles that were published. A log is
brought forward by appending its own entries from such a copy, byte for byte. They stand under a checkpoint that this
log's key has signed; and success is declared only when everything on this disk was hashed again and leads both to the
mirror's checkpoint and to the newest one in the checkpoint store.

A backup is a directory: ``log.sqlite``, and ``published.note``, the checkpoint published last when it was taken (for
people; a restore checks the log against it, and nothing is ever signed because of it).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import apsw
from brakeline.ledger.checkpoint import Checkpoint, open_checkpoint
from brakeline.ledger.checkpoint_store import read_slot
from brakeline.ledger.entry import Entry, first_previous
from brakeline.ledger.errors import StoreError
from brakeline.ledger.export import sync_directory, write_file
from brakeline.ledger.fsck import check_store
from brakeline.ledger.merkle import root_from
from brakeline.ledger.reader import LogReader, Progress
from brakeline.ledger.source import Source
from brakeline.ledger.sqlite_store import FileLock, SqliteReader, SqliteStore, connect, translated
from brakeline.ledger.tiles import TileHashReader
from brakeline.ledger.treebuilder import TileBuilder
from brakeline.ledger.vkey import VKey

LOG = "log.sqlite"
CHECKPOINTS = "checkpoint.sqlite"
PUBLISHED = "published.note"
_PAGES = 256
_BATCH = 1024


@dataclass(frozen=True, slots=True)
class Restored:
    """How a log stands after a restore or a catch-up.

    Attributes:
        size: entries on this disk, all of them hashed.
        added: how many of them came from the mirror.
        signed: the newest checkpoint that the checkpoint store remembers, or None when it remembers none.
    """

    size: int
    added: int
    signed: Checkpoint | None

    @property
    def ready(self) -> bool:
        """Whether all that the checkpoint store remembers is here; otherwise the log refuses to be signed."""
        return self.size >= self.signed.size if self.signed is not None else not self.size


def backup(directory: Path, out: Path, log_key: VKey, progress: Progress | None = None) -> int:
    """Copy the log of the verifier in *directory*, which may be running, to *out*; return the entries in the copy.

    The copy is one consistent state, at least as new as what was signed before the call, and is hashed whole before
    it is called a backup. *progress* counts pages, then entries.

    Raises:
        StoreError: ``backup-occupied``, ``store-missing``, ``store-*``. LedgerError ``fsck-damaged``: the log itself
            is damaged.
    """
    if out.exists():
        raise StoreError(
            code="backup-occupied",
            message="a backup is never written over something else",
            expected="a new directory",
            found=str(out),
            fix="choose another name, with the date in it for example",
        )
    _expect_log(directory / LOG, "give the verifier's directory")
    signed, published = (_note(directory, slot) for slot in ("signed", "published"))
    unfinished = out.with_name(f".{out.name}.unfinished")
    unfinished.mkdir(parents=True, exist_ok=True)
    _copy(directory / LOG, unfinished / LOG, progress)
    size = _check(unfinished / LOG, signed, log_key, progress)
    if published is not None:
        open_checkpoint(published, log_key)
        write_file(unfinished / PUBLISHED, published, durable=True)
    sync_directory(unfinished)
    unfinished.rename(out)
    sync_directory(out.parent)
    return size


def restore(
    copy: Path, directory: Path, log_key: VKey, mirror: Source | None = None, progress: Progress | None = None
) -> Restored:
    """Put the log of the backup *copy* into *directory*, brought forward from *mirror* when one is given.

    Everything is hashed first. What fails leaves no log behind.

    Raises:
        StoreError: ``restore-occupied``, ``store-missing``, ``store-*``, with *mirror* those of :func:`catch_up`.
        LedgerError ``fsck-damaged``: the backup is damaged, or is not the log that was signed here.
    """
    _expect_log(copy / LOG, "give the directory that `brakeline ledger backup` has made")
    directory.mkdir(parents=True, exist_ok=True)
    return _put(copy, directory, log_key, mirror, progress)


def _put(
    copy: Path | None, directory: Path, log_key: VKey, mirror: Source | None, progress: Progress | None
) -> Restored:
    """Make the log in *directory* from the backup *copy* (None: from nothing), then from *mirror*."""
    target = directory / LOG
    unfinished = directory / f".{LOG}.unfinished"
    lock = FileLock(target)
    try:
        _refuse_occupied(target)
        if copy is None:
            _remove(unfinished)
        else:
            published = copy / PUBLISHED
            _check(copy / LOG, published.read_bytes() if published.is_file() else None, log_key, progress)
            _copy(copy / LOG, unfinished, progress)
        restored = _bring_forward(directory, unfinished, log_key, mirror, progress)
        _in_one_file(unfinished)
        unfinished.rename(target)
        _remove(unfinished)
        sync_directory(directory)
        return restored
    finally:
        lock.release()


def catch_up(directory: Path, log_key: VKey, mirror: Source, progress: Progress | None = None) -> Restored:
    """Append to the log in *directory*, byte for byte, the entries it lacks and a mirror of this very log has.

    The log's verifier must not be running. Interrupted, it leaves an older log, and a second run goes on. Where the log
    is gone and its checkpoint store is not, the whole of it is taken from the mirror, or nothing.

    Raises:
        StoreError: ``store-missing``; ``store-locked``; ``mirror-forked``: mirror and disk, or mirror and checkpoint
            store, are not one history; ``mirror-behind``: the mirror has less than was signed; ``store-*``.
        DivergenceError, SourceError, NoteError: the mirror is unreadable.
        LedgerError ``fsck-damaged``: this disk is damaged, or does not hold what was signed here.
    """
    if (directory / CHECKPOINTS).is_file() and not (directory / LOG).exists():
        return _put(None, directory, log_key, mirror, progress)
    _expect_log(directory / LOG, "give the verifier's directory; restore a backup with `brakeline ledger restore`")
    _check(directory / LOG, None, log_key, progress)
    return _bring_forward(directory, directory / LOG, log_key, mirror, progress)


def _bring_forward(
    directory: Path, path: Path, log_key: VKey, mirror: Source | None, progress: Progress | None
) -> Restored:
    """Extend the log at *path*, which was hashed, from *mirror*, and hold it against *directory*'s checkpoint store."""
    note = _note(directory, "signed")
    signed = open_checkpoint(note, log_key).checkpoint if note is not None else None
    added = _extend(path, log_key, mirror, signed, progress) if mirror is not None else 0
    held = SqliteReader(path)
    try:
        size = held.size()
    finally:
        held.close()
    enough = signed is not None and size >= signed.size
    _check(path, note if enough else None, log_key, progress)
    return Restored(size, added, signed)


def _extend(path: Path, log_key: VKey, mirror: Source, signed: Checkpoint | None, progress: Progress | None) -> int:
    """Append what *mirror* has more than the log at *path*, if both are one history; return how many entries."""
    reader = LogReader(mirror, log_key)
    store = SqliteStore(path)
    try:
        builder, previous = _load(store, log_key)
        before = builder.size
        _compare(reader, TileHashReader(store.read_tile, before), before, signed)
        if reader.size <= before:
            return 0
        batch: list[Entry] = []
        for entry in reader.entries(before, previous=previous, progress=progress):
            batch.append(entry)
            if len(batch) == _BATCH or entry.index + 1 == reader.size:
                tiles = builder.extend([item.leaf_hash for item in batch])
                if entry.index + 1 == reader.size and builder.root() != reader.checkpoint.root:
                    raise _forked("all of the mirror's entries", reader.checkpoint.root, builder.root())
                store.append(batch[0].index, [item.encode() for item in batch], tiles)
                batch = []
        return reader.size - before
    finally:
        store.close()


def _compare(reader: LogReader, mine: TileHashReader, size: int, signed: Checkpoint | None) -> None:
    """Refuse, before anything is written, a mirror that is another history or does not reach what was signed."""
    common = min(size, reader.size)
    if reader.root_at(common) != root_from(common, mine):
        raise _forked(f"the first {common} entries", root_from(common, mine), reader.root_at(common))
    if signed is None or size >= signed.size:
        return
    if reader.size < signed.size:
        raise StoreError(
            code="mirror-behind",
            message="this mirror does not reach what the log has signed",
            expected=f"at least {signed.size} entries",
            found=f"{reader.size} entries in {reader.source.name}",
            fix="ask every peer for its mirror and take the longest; if none is long enough, the log has ended",
        )
    if reader.root_at(signed.size) != signed.root:
        raise _forked(f"the first {signed.size} entries", signed.root, reader.root_at(signed.size))


def _forked(what: str, expected: bytes, found: bytes) -> StoreError:
    return StoreError(
        code="mirror-forked",
        message=f"this mirror and what was written or signed here are not one history: {what} differ",
        expected=f"root {expected.hex()}",
        found=found.hex(),
        fix="sign neither; find out which one was published, and keep both",
    )


def _load(store: SqliteReader, log_key: VKey) -> tuple[TileBuilder, bytes]:
    """Return the tree's right edge and the last entry's digest, of a store that was checked."""
    builder, previous = TileBuilder(), first_previous(log_key.name)
    size = store.size()
    for start in range(0, size, _BATCH):
        entries = [Entry.decode(data) for data in store.read_entries(start, min(start + _BATCH, size))]
        builder.extend([entry.leaf_hash for entry in entries])
        previous = entries[-1].digest
    return builder, previous


def _check(path: Path, note: bytes | None, log_key: VKey, progress: Progress | None) -> int:
    """Hash everything in the store at *path*; return its size (LedgerError ``fsck-damaged``)."""
    store = SqliteReader(path)
    try:
        health = check_store(store, note, log_key, progress)
    finally:
        store.close()
    if health.problem is not None:
        raise health.problem
    return health.size


def _note(directory: Path, slot: str) -> bytes | None:
    """Return what the checkpoint store, if there is one, remembers: it is read here and never written."""
    path = directory / CHECKPOINTS
    return read_slot(path, slot) if path.is_file() else None


def _copy(source: Path, target: Path, progress: Progress | None) -> None:
    """Copy an SQLite file, which may be written meanwhile, as of one instant, durably and in one file."""
    _remove(target)
    origin = connect(source, readonly=True)
    try:
        with translated(target):
            copy = apsw.Connection(os.fspath(target))
            try:
                origin.execute("BEGIN")
                origin.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # from here on this state is seen
                with copy.backup("main", origin, "main") as job:
                    while not job.done:
                        job.step(_PAGES)
                        if progress is not None:
                            progress(job.page_count - job.remaining, job.page_count)
            finally:
                copy.close()
    finally:
        origin.close()
    _in_one_file(target)


def _in_one_file(path: Path) -> None:
    """Fold the WAL of an SQLite file that nobody has open into it, and sync it: it may be moved then."""
    with translated(path):
        db = apsw.Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            db.pragma("synchronous", "full")
            mode = db.pragma("journal_mode", "delete")
        finally:
            db.close()
    if mode != "delete" or path.with_name(f"{path.name}-wal").exists():
        raise StoreError(
            code="store-locked",
            message="another process has this file open",
            found=str(path),
            fix="stop it, and begin again",
        )
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _beside(path: Path) -> list[Path]:
    """What SQLite, and our lock, keep beside a file."""
    return [path.with_name(f"{path.name}{end}") for end in ("-wal", "-shm", "-journal", ".lock")]


def _remove(path: Path) -> None:
    for item in (path, *_beside(path)):
        item.unlink(missing_ok=True)


def _expect_log(path: Path, fix: str) -> None:
    if not path.is_file():
        raise StoreError(code="store-missing", message="there is no log here", expected=str(path), fix=fix)


def _refuse_occupied(target: Path) -> None:
    """A journal that was left by another file would be played into this one."""
    found = [str(path) for path in (target, *_beside(target)[:3]) if path.exists()]
    if found:
        raise StoreError(
            code="restore-occupied",
            message="there is a log here, or a part of one; a restore never replaces it",
            expected=f"no {LOG}, {LOG}-wal, {LOG}-shm or {LOG}-journal",
            found=", ".join(found),
            fix="move them to another directory together, and leave the checkpoint store where it is",
        )
