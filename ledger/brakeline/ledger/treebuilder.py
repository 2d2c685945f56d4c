"""Tiles of a growing tree: extend by leaf hashes, get the tiles that changed. Pure.

Keeps for every tile level the hashes of its one unfinished tile (at most 255 each), so memory does not grow with the
log.
"""

from __future__ import annotations

from collections.abc import Sequence

from brakeline.ledger.merkle import EMPTY_ROOT, node_hash
from brakeline.ledger.tiles import TILE_WIDTH, TileRef


class TileBuilder:
    """A tree of *size* leaves as its right edge: the unfinished tile of every level."""

    __slots__ = ("_edge", "_size")

    def __init__(self) -> None:
        """Start with the empty tree."""
        self._size = 0
        self._edge: list[list[bytes]] = []

    @property
    def size(self) -> int:
        """Leaves."""
        return self._size

    def copy(self) -> TileBuilder:
        """Return an independent copy."""
        other = TileBuilder()
        other._size = self._size
        other._edge = [list(row) for row in self._edge]
        return other

    def extend(self, leaves: Sequence[bytes]) -> dict[TileRef, bytes]:
        """Append leaf hashes; return every tile that is new or has grown, at its present width."""
        changed: dict[TileRef, bytes] = {}
        count = self._size
        self._size += len(leaves)
        new: list[bytes] = list(leaves)
        level = 0
        while new:
            if level == len(self._edge):
                self._edge.append([])
            edge = self._edge[level]
            n = count // TILE_WIDTH
            edge += new
            new = []
            while len(edge) >= TILE_WIDTH:
                tile, edge = edge[:TILE_WIDTH], edge[TILE_WIDTH:]
                changed[TileRef(level, n)] = b"".join(tile)
                new.append(tile_root(tile))
                n += 1
            if edge:
                changed[TileRef(level, n, len(edge))] = b"".join(edge)
            self._edge[level] = edge
            count //= TILE_WIDTH
            level += 1
        return changed

    def partial(self) -> dict[TileRef, bytes]:
        """Return the unfinished tile of every level that has one."""
        return {
            TileRef(level, self._size // TILE_WIDTH ** (level + 1), len(row)): b"".join(row)
            for level, row in enumerate(self._edge)
            if row
        }

    def root(self) -> bytes:
        """Return the root hash of the tree."""
        node: bytes | None = None
        for row in self._edge:
            node = _fold(row, node)
        return EMPTY_ROOT if node is None else node


def tile_root(hashes: Sequence[bytes]) -> bytes:
    """Return the hash of the complete subtree over 2^k hashes."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[i], row[i + 1]) for i in range(0, len(row), 2)]
    return row[0]


def _fold(row: Sequence[bytes], right: bytes | None) -> bytes | None:
    """Combine a level's unfinished hashes with what lies to their right on the levels below."""
    start = len(row)
    nodes: list[bytes] = []
    at = 0
    for bit in range(8, -1, -1):
        if start >> bit & 1:
            nodes.append(tile_root(row[at : at + (1 << bit)]))
            at += 1 << bit
    for left in reversed(nodes):
        right = left if right is None else node_hash(left, right)
    return right
