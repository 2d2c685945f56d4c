"""Where a log's entries and tiles live: one narrow protocol, declared by its consumer, the sequencer.

What a store promises: :meth:`LogStore.append` is atomic, and durable when it returns (a power cut afterwards loses
nothing). What the sequencer does *not* trust it with: that the bytes it returns are those that were written. They are
read back and hashed before anything is signed, and the whole log is hashed again when it is opened.

Errors are :class:`~brakeline.ledger.errors.StoreError`: ``store-disk-full`` (nothing was written), ``store-io`` (the
outcome is unknown: close, open again), ``store-position`` (somebody else appended), ``store-locked``,
``store-corrupt``. After any of them the caller reloads before its next write.

Every engine runs the same conformance suite (tests/ledger/store_conformance.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from brakeline.ledger.tiles import TileRef


class LogView(Protocol):
    """What a reader may ask of a store, also while another process writes it."""

    def size(self) -> int:
        """Return the number of entries."""
        ...

    def read_entries(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the entries [start, stop), as read from the medium."""
        ...

    def read_tile(self, ref: TileRef) -> bytes:
        """Return the first ``ref.width`` hashes of a hash tile (32 bytes each), or as many as there are."""
        ...

    def close(self) -> None:
        """Release the store; further calls fail."""
        ...


class LogStore(LogView, Protocol):
    """Append-only storage of one log. One writer; any number of readers."""

    def append(self, first: int, entries: Sequence[bytes], tiles: Mapping[TileRef, bytes]) -> None:
        """Append *entries*, the first at index *first* (== size), and replace *tiles* (their newest, widest bytes).

        Atomic, and durable on return.
        """
        ...
