"""Put back what a log has signed last, when the store that remembered it is gone and others still know.

What others hold (witnesses, mirrors) are notes that this log signed once; each is evidence against a copy of the log
that does not lead to it. So the log on this disk is read and hashed whole, held against *every* one of them, and only
then is the newest written, and only where nothing stands. Whether enough others were asked is the caller's to say.

What this cannot know: a checkpoint that was signed and that none of those asked has seen. A log that was never restored
from a copy holds everything it signed, because entries are durable before they are signed; so nothing can be missing.
"""

from __future__ import annotations

from collections.abc import Sequence

from brakeline.ledger.checkpoint import Checkpoint, open_checkpoint
from brakeline.ledger.errors import StoreError
from brakeline.ledger.merkle import root_from
from brakeline.ledger.note import Note
from brakeline.ledger.rehash import compare_root, rehash
from brakeline.ledger.sequencer import SIGNED
from brakeline.ledger.store import CheckpointSlots, LogView
from brakeline.ledger.tiles import TileHashReader
from brakeline.ledger.vkey import VKey


def check_forgotten(checkpoints: CheckpointSlots) -> None:
    """Raise StoreError ``store-remembers`` when the store holds a note: nothing needs to be, nor may be, put back."""
    found = checkpoints.read(SIGNED)
    if found is not None:
        raise StoreError(
            code="store-remembers",
            message="the checkpoint store remembers what this log signed; nothing was changed",
            expected="a store that holds no note",
            found=ascii(found[:120]),
            fix="start the verifier; if it refuses, its message says what to do",
        )


def put_back(store: LogView, checkpoints: CheckpointSlots, log_key: VKey, notes: Sequence[bytes]) -> Checkpoint:
    """Write the newest of *notes* (at least one) into *checkpoints*, which hold none; return that checkpoint.

    The caller holds the writer's locks on both stores.

    Raises:
        StoreError: ``store-remembers``; ``store-behind``, ``store-forked`` (the log does not lead to one of the notes),
            ``store-corrupt``, ``store-swap``. NoteError: one is not this log's. Nothing was written.
    """
    check_forgotten(checkpoints)
    opened = [open_checkpoint(note, log_key) for note in notes]
    newest = max(opened, key=lambda item: item.checkpoint.size)
    rehash(store, log_key.name, newest.checkpoint)
    hashes = TileHashReader(store.read_tile, store.size())
    for item in opened:
        compare_root(item.checkpoint, root_from(item.checkpoint.size, hashes))
    own = [line for line in newest.note.signatures if (line.name, line.id) == (log_key.name, log_key.id)]
    checkpoints.compare_and_swap(SIGNED, None, Note(newest.note.text, tuple(own[:1])).render())
    return newest.checkpoint
