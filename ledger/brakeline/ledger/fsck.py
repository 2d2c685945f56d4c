"""Check a log for damage: a store with its checkpoint, or a directory in tlog-tiles layout.

Everything is hashed: entries, links, tiles, root. It says what it found and where; it repairs nothing, because a log is
repaired from a peer's mirror and not by guessing.
"""

from __future__ import annotations

from dataclasses import dataclass

from brakeline.ledger.checkpoint import open_checkpoint
from brakeline.ledger.entry import Entry, first_previous
from brakeline.ledger.errors import LedgerError, SourceError
from brakeline.ledger.merkle import leaf_hash
from brakeline.ledger.reader import LogReader, Progress
from brakeline.ledger.source import Source
from brakeline.ledger.sqlite_store import SqliteReader
from brakeline.ledger.treebuilder import TileBuilder
from brakeline.ledger.vkey import VKey

_STEP = 1024


@dataclass(frozen=True, slots=True)
class Health:
    """What a check found: entries checked, the root over them, and the first problem or None."""

    size: int
    root: bytes
    problem: LedgerError | None


def check_store(store: SqliteReader, note: bytes | None, log_key: VKey, progress: Progress | None = None) -> Health:
    """Check a store: every entry, link and tile, and the last checkpoint *note* the log has signed (None: none yet)."""
    size = store.size()
    builder = TileBuilder()
    try:
        signed = open_checkpoint(note, log_key).checkpoint if note else None
        if signed is not None and signed.size > size:
            raise _problem("the store holds less than the log has signed", f"{signed.size} entries", f"{size} entries")
        previous, received = first_previous(log_key.name), 0
        leaves: list[bytes] = []
        for index, data in enumerate(store.read_entries(0, size)):
            entry = Entry.decode(data)
            if entry.index != index or entry.previous != previous or entry.received_at_ms < received:
                raise _problem(f"entry {index} does not follow the one before it", previous.hex(), entry.previous.hex())
            previous, received = entry.digest, entry.received_at_ms
            leaves.append(leaf_hash(data))
            boundary = signed is not None and index + 1 == signed.size
            if len(leaves) == _STEP or boundary or index + 1 == size:
                _compare_tiles(store, builder, leaves)
                leaves = []
                if signed is not None and boundary and builder.root() != signed.root:
                    raise _problem("the log does not lead to its signed root", signed.root.hex(), builder.root().hex())
                if progress is not None:
                    progress(index + 1, size)
    except LedgerError as error:
        return Health(builder.size, builder.root(), error)
    return Health(size, builder.root(), None)


def check_source(source: Source, log_key: VKey, progress: Progress | None = None) -> Health:
    """Check a copy of a log: checkpoint signature, tiles, entries, links.

    Raises:
        SourceError: there is no checkpoint, or the source cannot be reached: that says nothing about the log.
    """
    size = 0
    try:
        reader = LogReader(source, log_key)
        for entry in reader.entries(progress=progress):
            size = entry.index + 1
    except SourceError as error:
        if error.code in ("source-no-checkpoint", "source-unreachable"):
            raise
        return Health(size, b"", error)
    except LedgerError as error:
        return Health(size, b"", error)
    return Health(size, reader.checkpoint.root, None)


def _compare_tiles(store: SqliteReader, builder: TileBuilder, leaves: list[bytes]) -> None:
    for ref, data in builder.extend(leaves).items():
        if store.read_tile(ref) != data:
            raise _problem(f"{ref.path} differs from the entries below it", "their hashes", "other hashes")


def _problem(message: str, expected: str, found: str) -> LedgerError:
    return LedgerError(
        code="fsck-damaged",
        message=message,
        expected=expected,
        found=found,
        fix="do not sign; restore the log from a peer's mirror onto a sound disk",
    )
