"""What a crash may leave: the files of a tape at an instant, with unsynced changes dropped, kept, torn or spoilt.

A state is made per file independently: what was synced is there; of what was written since, any subset may be, by
sectors of 512 bytes; a sector that was being written may also hold zeros or junk. Names likewise: a directory is as it
was synced, or a prefix of its changes further.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.ledger.crash.disk import Link, Sync, SyncDirectory, Tape, Truncate, Write

SECTOR = 512
MODES = ("none", "all", "prefix", "writes", "sectors", "spoilt")

Image = dict[Path, bytes]


@dataclass
class _Inode:
    """One file: what is durable, and what came since, with whether each change has become durable."""

    durable: bytearray
    tail: list[Write | Truncate] = field(default_factory=list)
    settled: list[bool] = field(default_factory=list)
    limbo: list[bool] = field(default_factory=list)
    still: bytes | None = None
    """The bytes while nothing is unsynced."""

    def add(self, change: Write | Truncate) -> None:
        self.still = None
        self.tail.append(change)
        self.settled.append(False)
        self.limbo.append(False)

    def sync(self, ok: bool) -> None:
        if not ok:
            self.limbo = [not settled for settled in self.settled]
            return
        self.settled = [settled or not limbo for settled, limbo in zip(self.settled, self.limbo, strict=True)]
        if all(self.settled):
            for change in self.tail:
                _apply(self.durable, change)
            self.tail, self.settled, self.limbo = [], [], []

    def image(self, mode: str, random: Random) -> bytes:
        """Return the bytes that a crash leaves."""
        if not self.tail and self.still is not None:
            return self.still
        image = bytearray(self.durable)
        unsettled = self.settled.count(False)
        kept = random.randint(0, unsettled) if mode == "prefix" else 0
        for change, settled in zip(self.tail, self.settled, strict=True):
            if settled or mode == "all" or (mode == "prefix" and kept > 0):
                _apply(image, change)
            elif mode == "prefix" and kept == 0:
                _tear(image, change, random, spoil=False)
            elif mode == "writes" and random.random() < 0.5:
                _apply(image, change)
            elif mode in ("sectors", "spoilt"):
                _tear(image, change, random, spoil=mode == "spoilt")
            kept -= not settled
        if not self.tail:
            self.still = bytes(image)
            return self.still
        return bytes(image)


@dataclass
class _Directory:
    """The names of one directory: durable ones, and changes since."""

    durable: dict[Path, int] = field(default_factory=dict)
    tail: list[Link] = field(default_factory=list)

    def sync(self) -> None:
        self.durable = self.names(len(self.tail))
        self.tail = []

    def names(self, changes: int) -> dict[Path, int]:
        names = dict(self.durable)
        for link in self.tail[:changes]:
            names.pop(link.path, None)
            if link.inode is not None:
                names[link.path] = link.inode
        return names


class Disk:
    """Plays a tape operation by operation; at each instant gives the states a crash could leave."""

    def __init__(self, tape: Tape) -> None:
        """Begin before the first operation of *tape*."""
        self._tape = tape
        self._inodes: dict[int, _Inode] = defaultdict(lambda: _Inode(bytearray()))
        self._directories: dict[Path, _Directory] = defaultdict(_Directory)
        for number, (path, data) in enumerate(tape.base.items()):
            self._inodes[number] = _Inode(bytearray(data))
            self._directories[path.parent].durable[path] = number
        self.instant = 0

    def step(self) -> None:
        """Play one operation."""
        operation = self._tape.operations[self.instant]
        self.instant += 1
        match operation:
            case Write() | Truncate():
                self._inodes[operation.inode].add(operation)
            case Sync(inode, ok):
                self._inodes[inode].sync(ok)
            case Link(path):
                self._directories[path.parent].tail.append(operation)
            case SyncDirectory(directory):
                self._directories[directory].sync()

    def play_to(self, instant: int) -> None:
        """Play up to *instant* (operations done), or the end."""
        while self.instant < min(instant, len(self._tape)):
            self.step()

    def image(self, random: Random) -> Image:
        """Return the files as one crash at this instant leaves them; every file draws its own mode."""
        image: Image = {}
        for directory in self._directories.values():
            for path, inode in directory.names(random.randint(0, len(directory.tail))).items():
                image[path] = self._inodes[inode].image(random.choice(MODES), random)
        return image


def crash_states(tape: Tape, random: Random, count: int, *, after: int = 0) -> Iterator[tuple[int, Image]]:
    """Yield *count* different (instant, files), spread over the instants of *tape* from *after* on.

    Different by content. Fewer when a whole pass over the tape found none that is new.
    """
    seen: set[int] = set()
    before = -1
    while before < len(seen):
        before = len(seen)
        disk = Disk(tape)
        disk.play_to(after)
        share = max(1, (count - len(seen)) // max(1, len(tape) - after))
        while True:
            for _ in range(share):
                image = disk.image(random)
                key = hash(tuple(sorted(image.items())))
                if key not in seen:
                    seen.add(key)
                    yield disk.instant, image
                    if len(seen) == count:
                        return
            if disk.instant == len(tape):
                break
            disk.step()


def _apply(image: bytearray, change: Write | Truncate) -> None:
    size = change.size if isinstance(change, Truncate) else change.offset
    if len(image) < size:
        image.extend(bytes(size - len(image)))
    if isinstance(change, Truncate):
        del image[size:]
    else:
        image[change.offset : change.offset + len(change.data)] = change.data


def _tear(image: bytearray, change: Write | Truncate, random: Random, *, spoil: bool) -> None:
    """Let some sectors of a change reach the disk; others keep their bytes, or are spoilt."""
    if isinstance(change, Truncate):
        if random.random() < 0.5:
            _apply(image, change)
        return
    at, end = change.offset, change.offset + len(change.data)
    while at < end:
        stop = min(end, at - at % SECTOR + SECTOR)
        fate = random.random()
        if fate < 0.5:
            _apply(image, Write(change.inode, at, change.data[at - change.offset : stop - change.offset]))
        elif spoil and fate < 0.6:
            _apply(image, Write(change.inode, at, bytes(stop - at)))
        elif spoil and fate < 0.7:
            _apply(image, Write(change.inode, at, random.randbytes(stop - at)))
        at = stop
