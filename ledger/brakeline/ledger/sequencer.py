"""The sequencer: the one writer of a log, and the only code that signs its checkpoints.

Order of things in :meth:`Sequencer.append`: entries and tiles committed with full sync; read back and hashed; the
checkpoint of the new tree signed; persisted by compare-and-swap in a store apart from the log. Only then is anything
acknowledged. Any error on the way leaves the sequencer *unloaded*: it reads and hashes the whole log again before its
next write, because after a failed sync nobody knows what is on the disk.

:meth:`Sequencer.reload` is also the boot check: every entry is hashed, links and tiles are compared, and the log is
held against the last checkpoint it signed. A log that is behind that checkpoint (a restored backup) is never signed
again.

No clock: the caller passes each batch's instant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from brakeline.ledger.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from brakeline.ledger.ed25519 import Signer
from brakeline.ledger.entry import Entry, Kind
from brakeline.ledger.errors import StoreError
from brakeline.ledger.merkle import consistency_proof, inclusion_proof, leaf_hash, root_from
from brakeline.ledger.rehash import corrupt, rehash
from brakeline.ledger.store import CheckpointSlots, LogStore
from brakeline.ledger.tiles import TileHashReader, TileRef
from brakeline.ledger.treebuilder import TileBuilder
from brakeline.ledger.vkey import VKey

SIGNED = "signed"


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is to become an entry: its kind, who brought it, its body."""

    kind: Kind
    source: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Appended:
    """A commit that is durable: the entries, the new size, and the checkpoint note signed over it."""

    entries: tuple[Entry, ...]
    size: int
    note: bytes


@dataclass(slots=True)
class _State:
    builder: TileBuilder
    previous: bytes
    received_at_ms: int
    note: bytes | None


class Sequencer:
    """One log's writer. Not thread-safe: one thread calls it."""

    def __init__(self, store: LogStore, checkpoints: CheckpointSlots, vkey: VKey, signer: Signer) -> None:
        """Write *store*, remembering in *checkpoints*, signing as *vkey* (its name is the origin)."""
        self.store = store
        self._checkpoints = checkpoints
        self._vkey = vkey
        self._signer = signer
        self._state: _State | None = None

    @property
    def origin(self) -> str:
        """The log's origin line."""
        return self._vkey.name

    @property
    def size(self) -> int:
        """Entries in the log (loads it when needed)."""
        return self._loaded().builder.size

    @property
    def note(self) -> bytes | None:
        """The newest checkpoint note this log has signed, without cosignatures; None before the first."""
        return self._loaded().note

    def reload(self) -> None:
        """Read and hash the whole log, and hold it against the last signed checkpoint.

        Raises:
            StoreError: ``store-behind``, ``store-forked``, ``store-forgotten``, ``store-corrupt``, those of the store.
        """
        self._state = None
        note = self._checkpoints.read(SIGNED)
        signed = open_checkpoint(note, self._vkey).checkpoint if note else None
        if not signed and self.store.size():
            raise StoreError(
                code="store-forgotten",
                message="this log holds entries, and its checkpoint store knows of none that was signed",
                expected="the checkpoint store that was written beside this log",
                found="an empty or damaged one",
                fix="put it back, or run `brakeline verifier recover-checkpoint`, which asks the witnesses",
            )
        read = rehash(self.store, self.origin, signed)
        self._state = _State(read.builder, read.previous, read.received_at_ms, note)

    def append(self, candidates: Sequence[Candidate], received_at_ms: int) -> Appended:
        """Make entries of *candidates* received at this instant (Unix ms; raised to the last one's when it is earlier).

        Durable, read back and signed on return. With no candidates, only what is not yet signed is signed.

        Raises:
            LedgerError: nothing may be acknowledged; the next call reads the whole log first.
        """
        state = self._loaded()
        self._state = None
        if candidates and state.note is None:  # the empty tree is signed first: entries without a note are a store lost
            state.note = self._sign(state.builder, None)
        instant = max(received_at_ms, state.received_at_ms)
        entries: list[Entry] = []
        first, previous = state.builder.size, state.previous
        for index, item in enumerate(candidates, start=first):
            entry = Entry(index, previous, instant, item.kind, item.source, item.body)
            previous = entry.digest
            entries.append(entry)
        builder = state.builder.copy()
        tiles = builder.extend([entry.leaf_hash for entry in entries])
        if entries:
            self.store.append(first, [entry.encode() for entry in entries], tiles)
            self._read_back(entries, tiles)
        note = self._sign(builder, state.note)
        self._state = _State(builder, previous, instant if entries else state.received_at_ms, note)
        return Appended(tuple(entries), builder.size, note)

    def root_at(self, size: int) -> bytes:
        """Return the root hash the tree had at *size* entries."""
        return root_from(size, self._hashes())

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Return the inclusion proof of entry *index* in the tree of *size* entries."""
        return inclusion_proof(index, size, self._hashes())

    def consistency(self, size1: int, size2: int) -> list[bytes]:
        """Return the consistency proof between two sizes of the tree."""
        return consistency_proof(size1, size2, self._hashes())

    def close(self) -> None:
        """Close both stores."""
        self.store.close()
        self._checkpoints.close()

    def _hashes(self) -> TileHashReader:
        return TileHashReader(self.store.read_tile, self._loaded().builder.size)

    def _loaded(self) -> _State:
        if self._state is None:
            self.reload()
        if self._state is None:
            raise AssertionError("reload leaves a state or raises")
        return self._state

    def _sign(self, builder: TileBuilder, old: bytes | None) -> bytes:
        checkpoint = Checkpoint(self.origin, builder.size, builder.root())
        note = sign_checkpoint(checkpoint, self._vkey, self._signer)
        if note != old:
            self._checkpoints.compare_and_swap(SIGNED, old, note)
        return note

    def _read_back(self, entries: Sequence[Entry], tiles: dict[TileRef, bytes]) -> None:
        stored = self.store.read_entries(entries[0].index, entries[-1].index + 1)
        for entry, data in zip(entries, stored, strict=True):
            if leaf_hash(data) != entry.leaf_hash:
                raise corrupt(f"entry {entry.index}", "the bytes that were written")
        for ref, data in tiles.items():
            if self.store.read_tile(ref) != data:
                raise corrupt(ref.path, "the hashes that were written")
