"""The stores of one verifier's log, and what readers ask of them: proofs, receipts, tiles.

``log.sqlite`` holds entries and tiles, ``checkpoint.sqlite`` what was signed and published last; they are separate
files so that restoring one does not take the other back. The sequencer writes, in the writer's thread. Readers
(receipts, proofs and tiles, in any thread) have a connection of their own and never ask for more than a published or
signed size, below which nothing changes.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from brakeline.ledger import tiles
from brakeline.ledger.checkpoint import open_checkpoint
from brakeline.ledger.checkpoint_store import CheckpointStore
from brakeline.ledger.ed25519 import Signer
from brakeline.ledger.entry import Entry
from brakeline.ledger.merkle import HASH_SIZE, InclusionProofs, consistency_proof, root_from
from brakeline.ledger.proof import Receipt
from brakeline.ledger.sequencer import Sequencer
from brakeline.ledger.sqlite_store import SqliteStore, connect, translated
from brakeline.ledger.tiles import TILE_HEIGHT, TILE_WIDTH, TileCache, TileHashReader, TileRef
from brakeline.ledger.vkey import VKey
from brakeline.verifier.publish import Signed

PUBLISHED = "published"


class Storage:
    """Both stores of one log. Opening refuses a second process (StoreError ``store-locked``)."""

    def __init__(self, directory: Path, vkey: VKey, signer: Signer) -> None:
        """Open the stores in *directory*, signing as *vkey* (its name is the origin)."""
        self._directory = directory
        self._vkey = vkey
        self._signer = signer
        self.sequencer = self._open()
        self._reader = _Reader(directory / "log.sqlite")
        self._tiles = TileCache()
        self._published: bytes | None = None

    def _open(self) -> Sequencer:
        store = SqliteStore(self._directory / "log.sqlite")
        try:
            self._checkpoints = CheckpointStore(self._directory / "checkpoint.sqlite")
        except BaseException:
            store.close()
            raise
        return Sequencer(store, self._checkpoints, self._vkey, self._signer)

    def reopen(self) -> None:
        """After an I/O error, whose outcome is unknown: close the writer's files and open them again."""
        self.sequencer.close()
        self.sequencer = self._open()

    def close(self) -> None:
        """Close everything."""
        self._reader.close()
        self.sequencer.close()

    # The writer's thread ------------------------------------------------------------------------------------------

    def signed(self) -> Signed:
        """Return the newest signed checkpoint; what is not signed yet (after a crash, say) is signed now."""
        appended = self.sequencer.append([], 0)
        return Signed(appended.size, appended.note, self._received(appended.size))

    def published(self) -> Signed | None:
        """Return what was published last, if it was and still is this log's (NoteError otherwise)."""
        self._published = self._checkpoints.read(PUBLISHED)
        if self._published is None:
            return None
        size = open_checkpoint(self._published, self._vkey).checkpoint.size
        return Signed(size, self._published, self._received(size))

    def keep_published(self, signed: Signed) -> None:
        """Remember a published checkpoint durably."""
        self._checkpoints.compare_and_swap(PUBLISHED, self._published, signed.note)
        self._published = signed.note

    def _received(self, size: int) -> int:
        """Return when the newest of the first *size* entries was received, 0 for none."""
        return Entry.decode(self._reader.entries(size - 1, size)[0]).received_at_ms if size else 0

    # Any thread ---------------------------------------------------------------------------------------------------

    def root_at(self, size: int) -> bytes:
        """Return the root of the first *size* entries."""
        return root_from(size, TileHashReader(self._reader.tile, size, self._tiles))

    def consistency(self, old: int, new: int) -> list[bytes]:
        """Return the consistency proof from *old* to *new* entries."""
        return consistency_proof(old, new, TileHashReader(self._reader.tile, new, self._tiles))

    def receipts(self, indices: Sequence[int], published: Signed) -> list[bytes]:
        """Return the receipts of the entries *indices* under a published checkpoint that covers them."""
        proofs = InclusionProofs(published.size, TileHashReader(self._reader.tile, published.size, self._tiles))
        entries = self._entries(indices)
        return [Receipt(index, entries[index], tuple(proofs.of(index)), published.note).render() for index in indices]

    def _entries(self, indices: Sequence[int]) -> dict[int, bytes]:
        """Return entries by index; a batch's lie beside each other and are read at once."""
        found: dict[int, bytes] = {}
        for _, run in groupby(enumerate(sorted(set(indices))), lambda item: item[1] - item[0]):
            wanted = [index for _, index in run]
            found |= zip(wanted, self._reader.entries(wanted[0], wanted[-1] + 1), strict=True)
        return found

    def tile(self, path: str, size: int) -> bytes | None:
        """Return the tile or bundle at *path* of the tree of *size* entries, None when that tree has none.

        Raises:
            TileError: ``tile-path``.
        """
        ref = tiles.parse_path(path)
        last = ref.n * TILE_WIDTH + ref.width
        if ref.level is None:
            return tiles.encode_bundle(self._reader.entries(last - ref.width, last)) if last <= size else None
        if ref.level > tiles.MAX_LEVEL or last > size >> (TILE_HEIGHT * ref.level):
            return None
        data = self._reader.tile(ref)
        return data if len(data) == ref.width * HASH_SIZE else None


class _Reader:
    """A read-only connection for all threads, one statement at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._db = connect(path, readonly=True)

    def entries(self, start: int, stop: int) -> list[bytes]:
        """Return the entries [start, stop)."""
        with self._lock, translated(self._path):
            rows = self._db.execute("SELECT data FROM entry WHERE idx >= ? AND idx < ? ORDER BY idx", (start, stop))
            return [bytes(data) for (data,) in rows]

    def tile(self, ref: TileRef) -> bytes:
        """Return up to ``ref.width`` hashes of a tile."""
        with self._lock, translated(self._path):
            data = self._db.execute("SELECT data FROM tile WHERE level = ? AND n = ?", (ref.level, ref.n)).get
        return b"" if data is None else bytes(data)[: ref.width * HASH_SIZE]

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._db.close()
