"""One author's statements as a tree of digests: 40 bytes a statement, however long the chain.

An honest author has one branch, which is packed; further branches, the evidence of equivocation, lie beside it. Used by
the register (is this parent here?) and by the rule ``equivocation`` (has this parent another child?). It holds digests
and log indices only, never payloads.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

ROOT = bytes(32)
"""The parent of a first statement."""


class Node(NamedTuple):
    """A statement in its author's tree: its digest, its parent's (32 bytes each), its place (index) in the log."""

    digest: bytes
    parent: bytes
    place: int


@dataclass(slots=True)
class AuthorTree:
    """The tree of one author. The caller adds a statement only when its parent is here."""

    main: bytearray = field(default_factory=bytearray)
    main_index: array[int] = field(default_factory=lambda: array("Q"))
    forks: dict[int, list[Node]] = field(default_factory=dict[int, list[Node]])

    def length(self) -> int:
        """Return how many statements the packed branch holds."""
        return len(self.main) // 32

    def at(self, sequence: int) -> Iterator[Node]:
        """Yield every statement at a position."""
        if 0 <= sequence < self.length():
            yield Node(self._main_at(sequence), self._main_at(sequence - 1), self.main_index[sequence])
        yield from self.forks.get(sequence, ())

    def find(self, sequence: int, digest: bytes) -> int | None:
        """Return the place in the log of the statement *digest* at *sequence*, None when it is not here."""
        if 0 <= sequence < self.length() and self._main_at(sequence) == digest:
            return self.main_index[sequence]
        return next((node.place for node in self.forks.get(sequence, ()) if node.digest == digest), None)

    def children(self, sequence: int, parent: bytes) -> list[bytes]:
        """Return the digests of the statements at *sequence* whose parent is *parent*."""
        if sequence >= self.length() and sequence not in self.forks:
            return []
        return [node.digest for node in self.at(sequence) if node.parent == parent]

    def add(self, sequence: int, node: Node) -> None:
        """Take a statement in."""
        if sequence == self.length() and node.parent == self._main_at(sequence - 1):
            self.main += node.digest
            self.main_index.append(node.place)
        else:
            self.forks.setdefault(sequence, []).append(node)

    def _main_at(self, sequence: int) -> bytes:
        return bytes(self.main[32 * sequence : 32 * sequence + 32]) if sequence >= 0 else ROOT
