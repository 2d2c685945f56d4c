"""Keep a verified copy of somebody else's log in a directory, growing and never going back.

One :meth:`Mirror.update` looks at the source once: its checkpoint (signature, and the witness quorum when a policy is
given), then only the tiles and bundles that are new. New entries are verified against the new root *together with* the
copy held so far, and only then written: bundles and full hash tiles as they come, partial tiles, and last the
checkpoint, each synced; so a crash leaves an older copy. What an interrupted update left behind is not fetched again:
the next one reads it from disk, verifies it like everything else, and fetches it only when it does not verify. What
this module says it holds, it holds on disk.

A source that shows a history inconsistent with the copy held raises :class:`~brakeline.ledger.errors.ForkError` with
both signed checkpoints. A source that cannot prove what it shows is merely unreadable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from brakeline.ledger.checkpoint import Checkpoint, open_checkpoint
from brakeline.ledger.entry import Entry
from brakeline.ledger.errors import DivergenceError, ForkError, NoteError, SourceError, StoreError
from brakeline.ledger.export import write_file
from brakeline.ledger.note import MAX_NOTE
from brakeline.ledger.policy import Policy
from brakeline.ledger.reader import LogReader, Progress
from brakeline.ledger.source import CHECKPOINT, DirectorySource, Source, read_checkpoint, read_ref
from brakeline.ledger.tiles import TILE_WIDTH, TileRef, bundles, decode_bundle, encode_bundle
from brakeline.ledger.treebuilder import TileBuilder
from brakeline.ledger.vkey import VKey


class Mirror:
    """The copy in one directory. One writer."""

    def __init__(self, directory: Path, log_key: VKey, policy: Policy | None = None) -> None:
        """Open the copy in *directory* (made when absent), verifying all of it.

        Args:
            directory: in tlog-tiles layout.
            log_key: the log's key; its name is the origin.
            policy: the witness policy a checkpoint must satisfy to be taken, or None.

        Raises:
            StoreError: ``store-corrupt`` when the copy on disk does not verify.
        """
        self._directory = directory
        self._key = log_key
        self._policy = policy
        self._builder = TileBuilder()
        self._note: bytes | None = None
        self._previous: bytes | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self._load()

    @property
    def note(self) -> bytes | None:
        """The checkpoint note whose whole log is held here, or None."""
        return self._note

    @property
    def size(self) -> int:
        """Entries held."""
        return self._builder.size

    def update(self, source: Source, progress: Progress | None = None) -> int:
        """Take what *source* has that is new; return how many entries were added.

        Raises:
            ForkError: the source's checkpoint and ours are both signed, and inconsistent.
            NoteError: ``checkpoint-quorum``, ``note-*``. SourceError, DivergenceError: the source is unreadable.
        """
        note = read_checkpoint(source)
        opened = open_checkpoint(note, self._key, tuple(self._policy.witnesses.values()) if self._policy else ())
        if self._policy is not None and not self._policy.satisfied(opened.cosignatures):
            raise NoteError(
                code="checkpoint-quorum",
                message="the log shows a checkpoint that too few witnesses cosigned",
                expected=f"the quorum {self._policy.quorum!r}",
                found=", ".join(sorted(key.name for key in opened.cosignatures)) or "none",
                fix="wait for a cosigned checkpoint",
            )
        new = opened.checkpoint
        if new.size < self.size:
            return self._older(note, new)
        if self._note is not None and new.size == self.size and new.root != self._builder.root():
            raise ForkError(self._key.name, self._note, note)
        reader = LogReader(source, self._key, note=note)
        if self._note is not None and reader.root_at(self.size) != self._builder.root():
            raise ForkError(self._key.name, self._note, note)
        before = self.size
        if new.size > before:
            self._resume(source, reader, before, progress)
        if note != self._note:
            write_file(self._directory / CHECKPOINT, note, durable=True)
            self._note = note
        return new.size - before

    def entries(self, start: int, stop: int) -> Iterator[Entry]:
        """Yield the entries [start, stop) of the copy (verified when they were taken)."""
        source = DirectorySource(self._directory)
        for ref in bundles(self.size, start):
            first = ref.n * TILE_WIDTH
            if first >= stop:
                return
            data = read_ref(source, ref)
            for index, item in enumerate(decode_bundle(data, ref.width), start=first):
                if start <= index < stop:
                    yield Entry.decode(item)

    def _older(self, note: bytes, old: Checkpoint) -> int:
        """A smaller checkpoint is fine when it is a prefix of what we hold, and a fork otherwise."""
        mine = LogReader(DirectorySource(self._directory), self._key)
        if self._note is not None and mine.root_at(old.size) != old.root:
            raise ForkError(self._key.name, self._note, note)
        return 0

    def _resume(self, source: Source, reader: LogReader, before: int, progress: Progress | None) -> None:
        """Extend the copy, beginning with what an interrupted update left on disk."""
        left = _Left(source, self._directory)
        if left.holds(TileRef(None, before // TILE_WIDTH)):
            try:
                self._extend(LogReader(left, self._key, note=reader.note), before, progress)
            except DivergenceError:
                pass  # damaged, or of a history that was never taken: everything is fetched
            else:
                return
        self._extend(reader, before, progress)

    def _extend(self, reader: LogReader, before: int, progress: Progress | None) -> None:
        builder = self._builder.copy()
        previous = self._previous
        pending: list[Entry] = []
        held = self._tail(before)
        for entry in reader.entries(before, previous=previous, progress=progress):
            pending.append(entry)
            if (entry.index + 1) % TILE_WIDTH == 0 or entry.index + 1 == reader.size:
                tiles = builder.extend([item.leaf_hash for item in pending])
                n = entry.index // TILE_WIDTH
                bundle = [*held, *(item.encode() for item in pending)]
                write_file(self._directory / TileRef(None, n, len(bundle)).path, encode_bundle(bundle), durable=True)
                self._write({ref: data for ref, data in tiles.items() if ref.width == TILE_WIDTH})
                previous, pending, held = entry.digest, [], []
        if builder.root() != reader.checkpoint.root:
            raise DivergenceError(
                code="replay-root",
                message="the new entries do not lead to the new checkpoint's root",
                expected=reader.checkpoint.root.hex(),
                found=builder.root().hex(),
            )
        self._write(builder.partial())
        self._builder, self._previous = builder, previous

    def _write(self, tiles: Mapping[TileRef, bytes]) -> None:
        for ref, data in tiles.items():
            write_file(self._directory / ref.path, data, durable=True)

    def _tail(self, size: int) -> list[bytes]:
        """The entries of the unfinished bundle of a log of *size* entries."""
        if size % TILE_WIDTH == 0:
            return []
        ref = TileRef(None, size // TILE_WIDTH, size % TILE_WIDTH)
        return decode_bundle(read_ref(DirectorySource(self._directory), ref), ref.width)

    def _load(self) -> None:
        source = DirectorySource(self._directory)
        note = source.read(CHECKPOINT, MAX_NOTE)
        if note is None:
            return
        try:
            reader = LogReader(source, self._key, note=note)
            leaves: list[bytes] = []
            for entry in reader.entries():
                leaves.append(entry.leaf_hash)
                self._previous = entry.digest
                if len(leaves) == TILE_WIDTH:
                    self._builder.extend(leaves)
                    leaves = []
            self._builder.extend(leaves)
        except (DivergenceError, NoteError, SourceError) as error:
            raise StoreError(
                code="store-corrupt",
                message=f"the copy of {self._key.name} in {self._directory} is damaged: {error.message}",
                expected=error.expected,
                found=error.found,
                fix="delete this directory; it is fetched again",
            ) from None
        self._note = note


class _Left:
    """A source whose full tiles and bundles are read from our own directory where an interrupted update left some."""

    def __init__(self, source: Source, directory: Path) -> None:
        self._source = source
        self._local = DirectorySource(directory)
        self._directory = directory
        self.name = source.name
        self.close = source.close

    def holds(self, ref: TileRef) -> bool:
        """Whether *ref* was left on disk."""
        return (self._directory / ref.path).is_file()

    def read(self, path: str, limit: int) -> bytes | None:
        """Return what was left, or what the source has (see :class:`~brakeline.ledger.source.Source`)."""
        if path.startswith("tile/") and ".p/" not in path:
            with suppress(SourceError):  # it is as good as gone
                data = self._local.read(path, limit)
                if data is not None:
                    return data
        return self._source.read(path, limit)
