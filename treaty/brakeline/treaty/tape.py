"""What must be remembered of every statement of a log, in memory that does not grow with it.

What it is: two containers over an :class:`~brakeline.treaty.rules.columns.Archive`. A :class:`Tape` is a list of small
records of one width that only grows, and is nearly always asked for its end. :class:`Arrivals` says of any statement
digest when it arrived, and where it stands. What is old goes to the archive in blocks; 16 bytes a block stay. What it
is not: durable, or aware of what the records mean.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

from brakeline.treaty.rules.columns import Archive, MemoryArchive

BLOCK = 256
"""Records that go to the archive together."""
_CACHE = 8
"""Blocks and buckets that are kept once they were read."""
_BUCKETS = 256
_RECORD = 48
_FULL = 64 * _RECORD


class Tape:
    """Records of *width* bytes, by number."""

    __slots__ = ("_archive", "_blocks", "_cache", "_tail", "_width")

    def __init__(self, width: int, archive: Archive | None = None) -> None:
        """Start empty; what is old goes to *archive*, by default memory."""
        self._width = width
        self._archive: Archive = MemoryArchive() if archive is None else archive
        self._blocks: list[int] = []
        self._tail = bytearray()
        self._cache: OrderedDict[int, bytes] = OrderedDict()

    def __len__(self) -> int:
        """Return how many records there are."""
        return len(self._blocks) * BLOCK + len(self._tail) // self._width

    def append(self, record: bytes) -> None:
        """Add a record at the end."""
        self._tail += record
        if len(self._tail) >= 2 * BLOCK * self._width:  # the newest block stays, whole
            cut = BLOCK * self._width
            self._blocks.append(self._archive.put(bytes(self._tail[:cut])))
            del self._tail[:cut]

    def __getitem__(self, number: int) -> bytes:
        """Return the record *number*, from 0 (IndexError: there is none)."""
        if number < 0:
            raise IndexError(number)
        block, at = divmod(number, BLOCK)
        held = len(self._blocks)
        if block < held:
            start = at * self._width
            return self._block(block)[start : start + self._width]
        start = (number - held * BLOCK) * self._width
        if start >= len(self._tail):
            raise IndexError(number)
        return bytes(self._tail[start : start + self._width])

    def _block(self, block: int) -> bytes:
        data = self._cache.get(block)
        if data is None:
            data = self._cache[block] = self._archive.get(self._blocks[block])
            if len(self._cache) > _CACHE:
                self._cache.popitem(last=False)
        return data


class Arrival(NamedTuple):
    """When a statement arrived (ms), and the number of its entry."""

    at_ms: int
    entry: int


class Arrivals:
    """When each statement of a log arrived, by the 32 bytes of its digest: like a dictionary to :class:`Arrival`."""

    def __init__(self, archive: Archive | None = None) -> None:
        """Start empty; what is old goes to *archive*, by default memory."""
        self._archive: Archive = MemoryArchive() if archive is None else archive
        self._tails = [bytearray() for _ in range(_BUCKETS)]
        self._blocks: list[list[int]] = [[] for _ in range(_BUCKETS)]
        self._read: OrderedDict[int, dict[bytes, Arrival]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        """Return how many statements there are."""
        return self._size

    def add(self, digest: bytes, at_ms: int, entry: int) -> None:
        """Note that the statement *digest* stands at *entry*, and arrived at *at_ms*."""
        bucket = digest[0]
        tail = self._tails[bucket]
        tail += digest + at_ms.to_bytes(8, "big") + entry.to_bytes(8, "big")
        self._size += 1
        if self._read:
            self._read.pop(bucket, None)
        if len(tail) >= _FULL:
            self._blocks[bucket].append(self._archive.put(bytes(tail)))
            tail.clear()

    def get(self, digest: bytes) -> Arrival | None:
        """Return when *digest* arrived, None when it is not here."""
        return self.bucket(digest[0]).get(digest)

    def __contains__(self, digest: bytes) -> bool:
        """Say whether *digest* is here."""
        return digest in self.bucket(digest[0])

    def __iter__(self) -> Iterator[bytes]:
        """Yield every digest."""
        for number in range(_BUCKETS):
            yield from self.bucket(number)

    def items(self) -> Iterator[tuple[bytes, Arrival]]:
        """Yield every digest with its arrival, in no particular order."""
        for number in range(_BUCKETS):
            yield from self.bucket(number).items()

    def absent_from(self, other: Arrivals) -> Iterator[tuple[bytes, Arrival]]:
        """Yield what is here and not in *other*, in no particular order."""
        for number in range(_BUCKETS):
            there = other.bucket(number)
            for digest, arrival in self.bucket(number).items():
                if digest not in there:
                    yield digest, arrival

    def bucket(self, number: int) -> dict[bytes, Arrival]:
        """Return the arrivals of all digests that begin with the byte *number*; not to be changed."""
        known = self._read.get(number)
        if known is None:
            parts = [self._archive.get(handle) for handle in self._blocks[number]]
            data = b"".join([*parts, self._tails[number]])
            known = {data[at : at + 32]: _arrival(data, at) for at in range(0, len(data), _RECORD)}
            self._read[number] = known
            if len(self._read) > _CACHE:
                self._read.popitem(last=False)
        return known


def _arrival(data: bytes, at: int) -> Arrival:
    return Arrival(int.from_bytes(data[at + 32 : at + 40], "big"), int.from_bytes(data[at + 40 : at + 48], "big"))
