"""Read a copy of a log and believe nothing but its checkpoint.

A tile is believed when its hash stands in the tile above it, up to the root that the checkpoint commits to; an entry,
when its leaf hash stands in a believed tile; a link, when ``previous`` is the SHA-256 of the entry before. So every
entry is verified *before* it is handed out, in one pass and flat memory, and the first divergence has a name: an
entry's index, a tile's path, or the checkpoint. The caller judges the checkpoint's cosignatures (policy) and its
freshness. What was believed once is not asked for again: a source that answers differently the second time gains
nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

from brakeline.ledger.checkpoint import Checkpoint, OpenCheckpoint, open_checkpoint
from brakeline.ledger.entry import Entry, first_previous
from brakeline.ledger.errors import DivergenceError, LedgerError
from brakeline.ledger.merkle import leaf_hash, root_from
from brakeline.ledger.source import Source, read_checkpoint, read_ref
from brakeline.ledger.tiles import (
    TILE_HEIGHT,
    TILE_WIDTH,
    TileHashReader,
    TileRef,
    bundles,
    decode_bundle,
    decode_tile,
    tree_edge,
)
from brakeline.ledger.treebuilder import TileBuilder, tile_root
from brakeline.ledger.vkey import VKey

Progress = Callable[[int, int], None]
"""Called now and then with (entries done, entries in all)."""

_CACHE = 32


class LogReader:
    """One copy of one log, under the checkpoint it was opened with."""

    def __init__(
        self, source: Source, log_key: VKey, witnesses: Sequence[VKey] = (), note: bytes | None = None
    ) -> None:
        """Read the checkpoint of *source* (or take *note*) and verify its signatures.

        Raises:
            SourceError, NoteError: no checkpoint, or not one of this log.
        """
        self.source = source
        self.note = read_checkpoint(source) if note is None else note
        self.log_key = log_key
        self.opened: OpenCheckpoint = open_checkpoint(self.note, log_key, witnesses)
        self._tiles: OrderedDict[TileRef, list[bytes]] = OrderedDict()
        self._edge: dict[TileRef, list[bytes]] | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint this copy is read under."""
        return self.opened.checkpoint

    @property
    def size(self) -> int:
        """Entries the checkpoint commits to."""
        return self.checkpoint.size

    def entries(
        self,
        start: int = 0,
        *,
        previous: bytes | None = None,
        received_at_ms: int = 0,
        progress: Progress | None = None,
    ) -> Iterator[Entry]:
        """Yield the verified entries from *start* on, in order.

        Args:
            start: first index; when it is not 0, *previous* is the SHA-256 of the entry before it.
            previous: what entry *start* must name as its predecessor.
            received_at_ms: the time of the entry before, which entry *start* may not precede.
            progress: told after every bundle.

        Raises:
            DivergenceError: ``replay-entry``, ``replay-malformed`` or ``replay-chain`` (with ``index``; the latter two
                stand under the checkpoint, so that the log's operator wrote them), ``replay-tile`` (with ``path``),
                ``replay-root``. SourceError: something is missing or unreachable.
        """
        if start and previous is None:
            raise ValueError("reading from the middle needs the digest of the entry before")
        link = first_previous(self.checkpoint.origin) if previous is None else previous
        received = received_at_ms
        self._check_root()
        for ref in bundles(self.size, start):
            first = ref.n * TILE_WIDTH
            for index, data in enumerate(self._bundle(ref), start=first):
                if index < start:
                    continue
                entry = _decode(data, index)
                if entry.index != index or entry.previous != link or entry.received_at_ms < received:
                    raise _chain(index, entry, link)
                link, received = entry.digest, entry.received_at_ms
                yield entry
            if progress is not None:
                progress(first + ref.width, self.size)

    def data_at(self, index: int) -> bytes:
        """Return the bytes of the entry at *index*, which lead to the checkpoint's root; they are not decoded.

        Raises:
            ValueError: there is no such entry. DivergenceError, SourceError: as :meth:`entries`.
        """
        if not 0 <= index < self.size:
            raise ValueError(f"entry {index} is not below this checkpoint's {self.size}")
        self._check_root()
        n, at = divmod(index, TILE_WIDTH)
        return self._bundle(TileRef(None, n, min(TILE_WIDTH, self.size - n * TILE_WIDTH)))[at]

    def entry_at(self, index: int) -> Entry:
        """Return the entry at *index*; its link to the entry before is not checked (errors as :meth:`data_at`)."""
        return _decode(self.data_at(index), index)

    def hash_at(self, level: int, index: int) -> bytes:
        """Return the verified hash of the complete subtree (level, index): a HashReader for proofs."""
        self._check_root()
        reader = TileHashReader(lambda ref: b"".join(self._tile(ref)), self.size)
        return reader(level, index)

    def root_at(self, size: int) -> bytes:
        """Return the root this log had at *size* entries (at most the checkpoint's size), from verified tiles."""
        if not 0 <= size <= self.size:
            raise ValueError(f"size {size} is not within this checkpoint's {self.size}")
        return root_from(size, self.hash_at)

    def _bundle(self, ref: TileRef) -> list[bytes]:
        """Return a bundle whose entries hash to a verified tile."""
        leaves = self._tile(TileRef(0, ref.n, ref.width))
        first = ref.n * TILE_WIDTH
        raw = read_ref(self.source, ref)
        try:
            entries = decode_bundle(raw, ref.width)
        except LedgerError as error:
            entries = _readable(raw)
            for index, (data, leaf) in enumerate(zip(entries, leaves, strict=False), start=first):
                if leaf_hash(data) != leaf:
                    raise _entry(index) from None
            raise DivergenceError(
                code="replay-entry",
                message=f"bundle {ref.path} is damaged: {error.message}",
                expected=error.expected,
                found=error.found,
                fix=error.fix,
                index=min(first + len(entries), first + ref.width - 1),
                path=ref.path,
            ) from None
        for index, (data, leaf) in enumerate(zip(entries, leaves, strict=True), start=first):
            if leaf_hash(data) != leaf:
                raise _entry(index)
        return entries

    def _tile(self, ref: TileRef) -> list[bytes]:
        """Return a verified hash tile: a partial one hangs on the root, a full one on the tile above it."""
        if ref.width < TILE_WIDTH:
            return self._check_root()[ref]
        rows = self._tiles.get(ref)
        if rows is not None:
            self._tiles.move_to_end(ref)
            return rows
        rows = self._raw(ref)
        if self._parent(ref)[ref.n % TILE_WIDTH] != tile_root(rows):
            raise _tile_error(ref.path)
        self._tiles[ref] = rows
        while len(self._tiles) > _CACHE:
            self._tiles.popitem(last=False)
        return rows

    def _parent(self, ref: TileRef) -> list[bytes]:
        level = (ref.level or 0) + 1
        n = ref.n // TILE_WIDTH
        width = min(TILE_WIDTH, (self.size >> (TILE_HEIGHT * level)) - n * TILE_WIDTH)
        return self._tile(TileRef(level, n, width))

    def _raw(self, ref: TileRef) -> list[bytes]:
        data = read_ref(self.source, ref)
        try:
            return decode_tile(data, ref.width)
        except LedgerError as error:
            raise DivergenceError(
                code="replay-tile",
                message=f"tile {ref.path} is damaged: {error.message}",
                expected=error.expected,
                found=error.found,
                fix=error.fix,
                path=ref.path,
            ) from None

    def _check_root(self) -> dict[TileRef, list[bytes]]:
        """Return the partial tiles, which are the tree's right edge: they make the checkpoint's root.

        They are kept, and never read again: nothing but the root vouches for them.
        """
        if self._edge is None:
            edge = {ref: self._raw(ref) for ref in tree_edge(self.size)}
            if root_from(self.size, TileHashReader(lambda ref: b"".join(edge[ref]), self.size)) != self.checkpoint.root:
                raise self._diagnose()
            self._edge = edge
        return self._edge

    def _diagnose(self) -> DivergenceError:
        """Rebuild the tree from the entries to say which tile is wrong, or that it is the entries or the checkpoint."""
        builder = TileBuilder()
        wrong: list[str] = []
        for ref in bundles(self.size):
            try:
                leaves = [leaf_hash(item) for item in decode_bundle(read_ref(self.source, ref), ref.width)]
            except LedgerError:
                return _entry(ref.n * TILE_WIDTH)
            full = {tile: data for tile, data in builder.extend(leaves).items() if tile.width == TILE_WIDTH}
            wrong += [tile.path for tile, data in full.items() if b"".join(self._raw(tile)) != data]
        wrong += [tile.path for tile, data in builder.partial().items() if b"".join(self._raw(tile)) != data]
        if wrong and builder.root() == self.checkpoint.root:
            return _tile_error(wrong[0])
        return DivergenceError(
            code="replay-root",
            message="the log does not lead to the root its checkpoint commits to",
            expected=self.checkpoint.root.hex(),
            found=builder.root().hex(),
            fix="the copy is damaged or forged: fetch it again from two places and compare",
            path=wrong[0] if wrong else "",
        )


def _readable(raw: bytes) -> list[bytes]:
    """The entries that can be cut from a damaged bundle."""
    entries: list[bytes] = []
    at = 0
    while at + 2 <= len(raw):
        end = at + 2 + int.from_bytes(raw[at : at + 2], "big")
        if end > len(raw):
            break
        entries.append(raw[at + 2 : end])
        at = end
    return entries


def _decode(data: bytes, index: int) -> Entry:
    try:
        return Entry.decode(data)
    except LedgerError as error:
        raise DivergenceError(
            code="replay-malformed",
            message=f"entry {index} is not an entry, though the tree holds it: {error.message}",
            expected=error.expected,
            found=error.found,
            fix="the log's own operator wrote this; keep the copy, it is evidence",
            index=index,
        ) from None


def _entry(index: int) -> DivergenceError:
    return DivergenceError(
        code="replay-entry",
        message=f"entry {index} is not what the log committed to",
        expected="an entry whose leaf hash stands in the tree",
        found="other bytes",
        fix="the copy is damaged or forged: fetch it again, or compare with another mirror",
        index=index,
    )


def _chain(index: int, entry: Entry, link: bytes) -> DivergenceError:
    return DivergenceError(
        code="replay-chain",
        message=f"entry {index} does not follow the entry before it, though the tree holds it",
        expected=f"index {index}, previous {link.hex()}, a time that does not go back",
        found=f"index {entry.index}, previous {entry.previous.hex()}, received at {entry.received_at_ms}",
        fix="the log's own operator wrote this; keep the copy, it is evidence",
        index=index,
    )


def _tile_error(path: str) -> DivergenceError:
    return DivergenceError(
        code="replay-tile",
        message=f"tile {path} is not what the log committed to",
        expected="hashes that lead to the checkpoint's root",
        found="other hashes",
        fix="the copy is damaged or forged: fetch it again, or compare with another mirror",
        path=path,
    )
