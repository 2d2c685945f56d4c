"""Tiles: how a log is laid out as static files (C2SP tlog-tiles).

    tile/<L>/<N>[.p/<W>]            256 (or W) hashes of level 8L, 32 bytes each
    tile/entries/<N>[.p/<W>]        256 (or W) entries, each u16 length || bytes (big-endian): a bundle

N is written in groups of three digits, all but the last with an ``x``: 1234067 is ``x001/x234/067``. A tile of fewer
than 256 is partial. Source: https://c2sp.org/tlog-tiles. Paths are read canonically: parse, re-render, compare.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from brakeline.ledger.errors import TileError
from brakeline.ledger.merkle import HASH_SIZE, node_hash

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
MAX_LEVEL = 7
"""Highest tile level of a tree of at most 2^63 leaves (levels 0 to 7; the specification allows 63)."""

MAX_BUNDLE = TILE_WIDTH * (2 + 65_535)
_PATH = re.compile(r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([0-9]{1,3}))?", re.ASCII)


@dataclass(frozen=True, order=True)
class TileRef:
    """Which tile: *level* 0 to 63 or None for a bundle of entries, its number, its width 1 to 256."""

    level: int | None
    n: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """The path below the log's prefix."""
        digits = f"{self.n:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
        number = "/".join([f"x{group}" for group in groups[:-1]] + groups[-1:])
        level = "entries" if self.level is None else str(self.level)
        return f"tile/{level}/{number}" + ("" if self.width == TILE_WIDTH else f".p/{self.width}")

    @property
    def full(self) -> TileRef:
        """The full tile of the same level and number."""
        return TileRef(self.level, self.n)


def tile_path(level: int, n: int, width: int = TILE_WIDTH) -> str:
    """Return the path of a hash tile."""
    return TileRef(level, n, width).path


def entries_path(n: int, width: int = TILE_WIDTH) -> str:
    """Return the path of a bundle of entries."""
    return TileRef(None, n, width).path


def parse_path(path: str) -> TileRef:
    """Read a tile's path (:class:`TileError` ``tile-path``)."""
    match = _PATH.fullmatch(path) if len(path) <= 100 else None
    if match:
        level, number, width = match.groups()
        ref = TileRef(
            None if level == "entries" else int(level),
            int(number.replace("/", "").replace("x", "")),
            int(width) if width else TILE_WIDTH,
        )
        if ref.path == path and ref.width >= 1 and (ref.level or 0) <= 63 and (not width or ref.width < TILE_WIDTH):
            return ref
    raise TileError(
        code="tile-path",
        message="this is not the path of a tile",
        expected="tile/<level>/<n>[.p/<width>]",
        found=path[:100],
    )


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Return the bundle of 1 to 256 entries of at most 65,535 bytes each."""
    if not 1 <= len(entries) <= TILE_WIDTH or any(len(item) > 65_535 for item in entries):
        raise ValueError("a bundle holds 1 to 256 entries of at most 65,535 bytes")
    return b"".join(len(item).to_bytes(2, "big") + item for item in entries)


def decode_bundle(data: bytes, width: int) -> list[bytes]:
    """Read a bundle of exactly *width* entries (:class:`TileError` ``tile-bundle``)."""
    entries: list[bytes] = []
    at = 0
    while at < len(data) and len(entries) < width:
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if at + 2 > len(data) or end > len(data):
            break
        entries.append(data[at + 2 : end])
        at = end
    if at != len(data) or len(entries) != width:
        raise TileError(
            code="tile-bundle",
            message="a bundle does not hold the entries it should",
            expected=f"exactly {width} entries",
            found=f"{len(entries)} whole entries, then {len(data) - at} further bytes",
            fix="fetch it again; a truncated download looks like this",
        )
    return entries


def decode_tile(data: bytes, width: int) -> list[bytes]:
    """Read a hash tile of exactly *width* hashes (:class:`TileError` ``tile-size``)."""
    if len(data) != width * HASH_SIZE:
        raise TileError(
            code="tile-size",
            message="a hash tile has the wrong size",
            expected=f"{width * HASH_SIZE} bytes",
            found=f"{len(data)} bytes",
            fix="fetch it again; a truncated download looks like this",
        )
    return [data[i : i + HASH_SIZE] for i in range(0, len(data), HASH_SIZE)]


def tree_tiles(size: int, start: int = 0) -> Iterator[TileRef]:
    """Yield the hash tiles of a tree of *size* leaves, level by level.

    With *start*, only those that differ from a tree of *start* leaves (new, or grown).
    """
    level, count, before = 0, size, start
    while count:
        for n in range(before // TILE_WIDTH, -(-count // TILE_WIDTH)):
            width = min(TILE_WIDTH, count - n * TILE_WIDTH)
            if n * TILE_WIDTH + width > before:
                yield TileRef(level, n, width)
        level, count, before = level + 1, count >> TILE_HEIGHT, before >> TILE_HEIGHT


def tree_edge(size: int) -> Iterator[TileRef]:
    """Yield the partial hash tiles of a tree of *size* leaves; together they make its root."""
    level, count = 0, size
    while count:
        if count % TILE_WIDTH:
            yield TileRef(level, count // TILE_WIDTH, count % TILE_WIDTH)
        level, count = level + 1, count >> TILE_HEIGHT


def bundles(size: int, start: int = 0) -> Iterator[TileRef]:
    """Yield the bundles of a log of *size* entries, from the one that holds entry *start* on."""
    for n in range(start // TILE_WIDTH, -(-size // TILE_WIDTH)):
        yield TileRef(None, n, min(TILE_WIDTH, size - n * TILE_WIDTH))


Rows: TypeAlias = "list[list[bytes]]"
"""A tile's hashes, and above them those of the complete subtrees they make, row by row."""


class TileCache:
    """Rows of full tiles, which never change, for readers of one log in any thread; the oldest give way."""

    def __init__(self, most: int = 256) -> None:
        """Keep at most *most* tiles (some 40 KB each)."""
        self._most = most
        self._rows: dict[tuple[int, int], Rows] = {}
        self._lock = threading.Lock()
        self.get = self._rows.get

    def put(self, key: tuple[int, int], rows: Rows) -> None:
        """Keep the *rows* of the full tile *key*: (level, number)."""
        with self._lock:
            while len(self._rows) >= self._most:
                del self._rows[next(iter(self._rows))]
            self._rows[key] = rows


class TileHashReader:
    """A :data:`~brakeline.ledger.merkle.HashReader` over the hash tiles of a tree of *size* leaves.

    Hashes inside a tile are computed from its leaves. It checks nothing against a root: that is for the caller.
    """

    def __init__(self, read_tile: Callable[[TileRef], bytes], size: int, full: TileCache | None = None) -> None:
        """Read tiles with *read_tile* (bytes of exactly the width asked for), keeping full ones in *full*."""
        self._read = read_tile
        self._size = size
        self._full = TileCache(64) if full is None else full
        self._partial: dict[tuple[int, int], Rows] = {}

    def __call__(self, level: int, index: int) -> bytes:
        """Return the hash of the complete subtree (level, index) (:class:`TileError` ``tile-range``, ``tile-size``)."""
        tile_level, inside = level >> 3, level & 7
        n, offset = index << inside >> TILE_HEIGHT, index << inside & TILE_WIDTH - 1
        if not 0 < (index + 1) << level <= self._size:
            raise TileError(
                code="tile-range",
                message="this tree has no such subtree",
                expected=f"a complete subtree of {self._size} leaves",
                found=f"level {level}, index {index}",
            )
        rows = self._full.get((tile_level, n)) or self._partial.get((tile_level, n))
        if rows is None:
            rows = self._rows(tile_level, n)
        return rows[inside][offset >> inside]

    def _rows(self, level: int, n: int) -> Rows:
        """Return a tile's hashes and the rows above them, as far as they are complete."""
        width = min(TILE_WIDTH, (self._size >> (TILE_HEIGHT * level)) - n * TILE_WIDTH)
        rows = [decode_tile(self._read(TileRef(level, n, width)), width)]
        while len(rows[-1]) > 1:
            row = rows[-1]
            rows.append([node_hash(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)])
        if width == TILE_WIDTH:
            self._full.put((level, n), rows)
        else:
            self._partial[level, n] = rows
        return rows
