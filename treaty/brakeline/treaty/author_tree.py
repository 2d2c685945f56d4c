"""One author's statements as a tree of digests: 40 bytes a statement, of which memory holds only the newest.

An honest author has one branch, which is packed; further branches, the evidence of equivocation, lie beside it. Used by
the register (is this parent here?) and by the rule ``equivocation`` (has this parent another child?). It holds digests
and log indices only, never payloads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from brakeline.treaty.rules.columns import Archive
from brakeline.treaty.tape import Tape

ROOT = bytes(32)
"""The parent of a first statement."""


class Node(NamedTuple):
    """A statement in its author's tree: its digest, its parent's (32 bytes each), its place (index) in the log."""

    digest: bytes
    parent: bytes
    place: int


class AuthorTree:
    """The tree of one author. The caller adds a statement only when its parent is here.

    Attributes:
        forks: sequence -> what stands beside the packed branch there.
    """

    __slots__ = ("_before", "_last", "_length", "_main", "forks")

    def __init__(self, archive: Archive | None = None) -> None:
        """Start empty; what is old of the packed branch goes to *archive*, by default memory."""
        self._main = Tape(40, archive)
        self._length, self._before, self._last = 0, ROOT, ROOT
        self.forks: dict[int, list[Node]] = {}

    def length(self) -> int:
        """Return how many statements the packed branch holds."""
        return self._length

    def at(self, sequence: int) -> Iterator[Node]:
        """Yield every statement at a position."""
        if 0 <= sequence < self._length:
            record = self._main[sequence]
            yield Node(record[:32], self._main_at(sequence - 1), int.from_bytes(record[32:], "big"))
        yield from self.forks.get(sequence, ())

    def find(self, sequence: int, digest: bytes) -> int | None:
        """Return the place in the log of the statement *digest* at *sequence*, None when it is not here."""
        if 0 <= sequence < self._length:
            record = self._main[sequence]
            if record[:32] == digest:
                return int.from_bytes(record[32:], "big")
        return next((node.place for node in self.forks.get(sequence, ()) if node.digest == digest), None)

    def children(self, sequence: int, parent: bytes) -> list[bytes]:
        """Return the digests of the statements at *sequence* whose parent is *parent*."""
        if sequence not in self.forks:
            if sequence >= self._length:
                return []
            if sequence == self._length - 1:  # nearly always: the newest statement of an honest author
                return [self._last] if parent == self._before else []
        return [node.digest for node in self.at(sequence) if node.parent == parent]

    def add(self, sequence: int, node: Node) -> None:
        """Take a statement in."""
        if sequence == self._length and node.parent == self._last:
            self._main.append(node.digest + node.place.to_bytes(8, "big"))
            self._length, self._before, self._last = sequence + 1, self._last, node.digest
        else:
            self.forks.setdefault(sequence, []).append(node)

    def _main_at(self, sequence: int) -> bytes:
        return self._main[sequence][:32] if sequence >= 0 else ROOT
