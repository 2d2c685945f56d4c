"""Write a log as static files: a C2SP tlog-tiles directory that any web server or mirror can carry.

``checkpoint``, ``tile/<level>/...`` and ``tile/entries/...``; the checkpoint goes last, so that an interrupted export
is an older log and not a broken one. Works on any :class:`~brakeline.ledger.store.LogView`.
"""

from __future__ import annotations

import os
from pathlib import Path

from brakeline.ledger.checkpoint import Checkpoint
from brakeline.ledger.errors import NoteError, StoreError
from brakeline.ledger.merkle import root_from
from brakeline.ledger.note import MAX_NOTE, parse
from brakeline.ledger.reader import Progress
from brakeline.ledger.source import CHECKPOINT
from brakeline.ledger.store import LogView
from brakeline.ledger.tiles import TILE_WIDTH, TileHashReader, bundles, encode_bundle, tree_tiles


def export(store: LogView, note: bytes, directory: Path, progress: Progress | None = None) -> int:
    """Write the log under the checkpoint *note* into *directory*; return its size in entries.

    Files that are there already are replaced; full tiles never change, so a second export only adds.

    Raises:
        StoreError: ``export-occupied`` when *directory* holds something else than an older export of this log.
    """
    checkpoint = Checkpoint.parse_text(parse(note).text)
    size = checkpoint.size
    _check_target(store, directory, checkpoint)
    for ref in bundles(size):
        path = directory / ref.path
        if ref.width < TILE_WIDTH or not path.is_file():
            first = ref.n * TILE_WIDTH
            write_file(path, encode_bundle(list(store.read_entries(first, first + ref.width))))
        if progress is not None:
            progress(ref.n * TILE_WIDTH + ref.width, size)
    for tile in tree_tiles(size):
        path = directory / tile.path
        if tile.width < TILE_WIDTH or not path.is_file():
            write_file(path, store.read_tile(tile))
    write_file(directory / CHECKPOINT, note)
    return size


def _check_target(store: LogView, directory: Path, new: Checkpoint) -> None:
    """Never mix two logs: the tiles of one under the checkpoint of the other would look like a forgery."""
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return
    try:
        old = Checkpoint.parse_text(parse((directory / CHECKPOINT).read_bytes()[: MAX_NOTE + 1]).text)
        same, found = _is_prefix(store, old, new), f"{old.origin} at size {old.size}"
    except FileNotFoundError:
        same, found = (directory / "tile").is_dir(), "no checkpoint, and files that are no tiles"
    except (OSError, NoteError) as error:
        same, found = False, str(error)[:200]
    if not same:
        raise StoreError(
            code="export-occupied",
            message="there is something else in this directory",
            expected=f"nothing, or an export of {new.origin} with at most {new.size} entries",
            found=f"{directory}: {found}",
            fix="choose a new directory",
        )


def _is_prefix(store: LogView, old: Checkpoint, new: Checkpoint) -> bool:
    if old.origin != new.origin or old.size > new.size:
        return False
    return root_from(old.size, TileHashReader(store.read_tile, new.size)) == old.root


def write_file(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Write *data* to *path* atomically (a temporary file, then a rename); with *durable*, synced before and after."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)
    if durable:
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make a rename in the directory *path* durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
