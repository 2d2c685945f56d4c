"""Read a whole log from its store and believe none of it: every entry hashed, every link followed, every tile compared.

What a writer does before it signs anything after a start or an error, and what is done before a lost checkpoint is put
back. It writes nothing and repairs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from brakeline.ledger.checkpoint import Checkpoint
from brakeline.ledger.entry import Entry, first_previous
from brakeline.ledger.errors import LedgerError, StoreError
from brakeline.ledger.merkle import leaf_hash
from brakeline.ledger.store import LogView
from brakeline.ledger.treebuilder import TileBuilder

_STEP = 1024


@dataclass(frozen=True, slots=True)
class Rehashed:
    """A log that was read: its tree, the SHA-256 that the next entry names, the instant of the last one (Unix ms)."""

    builder: TileBuilder
    previous: bytes
    received_at_ms: int


def rehash(store: LogView, origin: str, signed: Checkpoint | None) -> Rehashed:
    """Read all of the log *origin* in *store*, which must hold what *signed* commits to.

    Raises:
        StoreError: ``store-behind`` (fewer entries than *signed*), ``store-forked`` (another root at its size),
            ``store-corrupt``, those of the store.
    """
    size = store.size()
    if signed and size < signed.size:
        raise StoreError(
            code="store-behind",
            message="this log holds fewer entries than it has signed; signing it again would fork it",
            expected=f"at least {signed.size} entries",
            found=str(size),
            fix="restore the newest copy of the log (a peer's mirror holds one); never delete the checkpoint store",
        )
    builder = TileBuilder()
    previous, received = first_previous(origin), 0
    for start in range(0, size, _STEP):
        stop = min(start + _STEP, size)
        leaves: list[bytes] = []
        for index, data in enumerate(store.read_entries(start, stop), start=start):
            entry = _decoded(data, index)
            if entry.index != index or entry.previous != previous or entry.received_at_ms < received:
                raise corrupt(f"entry {index}", "an entry that follows the one before it")
            previous, received = entry.digest, entry.received_at_ms
            leaves.append(leaf_hash(data))
            if signed and index + 1 == signed.size:
                _extend(store, builder, leaves)
                leaves = []
                compare_root(signed, builder.root())
        _extend(store, builder, leaves)
    return Rehashed(builder, previous, received)


def compare_root(signed: Checkpoint, root: bytes) -> None:
    """Hold the log's *root* at the size of *signed* against it (StoreError ``store-forked``)."""
    if root != signed.root:
        raise StoreError(
            code="store-forked",
            message="this log does not lead to the checkpoint it signed last",
            expected=f"root {signed.root.hex()} at size {signed.size}",
            found=root.hex(),
            fix="find the copy that was published (a peer's mirror holds one); never sign with this one",
        )


def corrupt(where: str, expected: str) -> StoreError:
    """Return the error for bytes that are not what they must be."""
    return StoreError(
        code="store-corrupt",
        message=f"the store returns other bytes than it should: {where}",
        expected=expected,
        found="other bytes",
        fix="do not sign; restore the log from a peer's mirror onto a sound disk",
    )


def _extend(store: LogView, builder: TileBuilder, leaves: list[bytes]) -> None:
    """Extend *builder*; compare the tiles that it completes, and the newest ones, with the store's."""
    for ref, data in builder.extend(leaves).items():
        if store.read_tile(ref) != data:
            raise corrupt(ref.path, "the hashes of the entries below it")


def _decoded(data: bytes, index: int) -> Entry:
    try:
        return Entry.decode(data)
    except LedgerError as error:
        raise corrupt(f"entry {index}", error.message) from None
