"""Write a log as static files: a C2SP tlog-tiles directory that any web server or mirror can carry.

``checkpoint``, ``tile/<level>/...`` and ``tile/entries/...``; the checkpoint goes last, so that an interrupted export
is an older log and not a broken one. Works on any :class:`~brakeline.ledger.store.LogView`.
"""

from __future__ import annotations

import os
from pathlib import Path

from brakeline.ledger.checkpoint import Checkpoint
from brakeline.ledger.note import parse
from brakeline.ledger.reader import Progress
from brakeline.ledger.source import CHECKPOINT
from brakeline.ledger.store import LogView
from brakeline.ledger.tiles import TILE_WIDTH, bundles, encode_bundle, tree_tiles


def export(store: LogView, note: bytes, directory: Path, progress: Progress | None = None) -> int:
    """Write the log under the checkpoint *note* into *directory*; return its size in entries.

    Files that are there already are replaced; full tiles never change, so a second export only adds.
    """
    size = Checkpoint.parse_text(parse(note).text).size
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
