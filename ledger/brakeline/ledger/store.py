"""Where a log lives, and where its promises do: narrow protocols, declared by their consumer, the sequencer.

What a store promises: :meth:`LogStore.append` is atomic, and durable when it returns (a power cut afterwards loses
nothing). What the sequencer does *not* trust it with: that the bytes it returns are those that were written. They are
read back and hashed before anything is signed, and the whole log is hashed again when it is opened.

Errors are :class:`~brakeline.ledger.errors.StoreError`: ``store-disk-full`` (nothing was written), ``store-io`` (the
outcome is unknown: close, open again), ``store-position`` (somebody else appended), ``store-swap`` (somebody else
signed), ``store-locked`` (another writer has it, in this process or another; given back when that one closes or dies),
``store-corrupt``. After any of them the caller reloads before its next write.

Every engine runs the same conformance suites (tests/ledger/store_conformance.py).
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
        """Yield the entries [start, stop), as read from the medium; a long range in bounded memory.

        A reader that stops half-way holds nobody up. One that is missing raises ``store-corrupt``.
        """
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


class CheckpointSlots(Protocol):
    """What was signed last: a note by slot, in a store apart from the log's. One writer."""

    def read(self, slot: str) -> bytes | None:
        """Return the note in *slot*, or None; a damaged one raises ``store-corrupt`` and is never None."""
        ...

    def compare_and_swap(self, slot: str, old: bytes | None, new: bytes) -> None:
        """Replace *old* (None: nothing) by *new* in *slot*, or raise ``store-swap`` and change nothing.

        Atomic, and durable on return.
        """
        ...

    def close(self) -> None:
        """Release the store; further calls fail."""
        ...
