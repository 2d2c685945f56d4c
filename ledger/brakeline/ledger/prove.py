"""Make proofs from a copy of a log, without its operator: a receipt, or that an old checkpoint still holds.

A copy is believed only so far as its hashes lead to its checkpoint. What comes out stands alone: a receipt is checked
by :func:`~brakeline.ledger.proof.verify_receipt`, a consistency proof by
:func:`~brakeline.ledger.merkle.verify_consistency`, and neither asks for the copy again.
"""

from __future__ import annotations

from dataclasses import dataclass

from brakeline.ledger.checkpoint import Checkpoint, open_checkpoint
from brakeline.ledger.entry import Entry
from brakeline.ledger.errors import DivergenceError, ForkError, ProofError, SourceError
from brakeline.ledger.merkle import consistency_proof, inclusion_proof, leaf_hash, verify_consistency, verify_inclusion
from brakeline.ledger.note import parse
from brakeline.ledger.proof import Receipt
from brakeline.ledger.reader import LogReader
from brakeline.ledger.source import Source, read_checkpoint, read_ref
from brakeline.ledger.tiles import TILE_WIDTH, TileHashReader, TileRef, decode_bundle
from brakeline.ledger.vkey import VKey


def make_receipt(source: Source, index: int, log_key: VKey | None = None) -> bytes:
    """Return the receipt of entry *index* under the checkpoint of *source*.

    With *log_key* the checkpoint's signature is checked too; without, only that the entry leads to it. Cosignatures
    are carried as they are: whether they are enough is for who checks the receipt.

    Raises:
        ProofError: ``proof-no-such-entry``. DivergenceError: ``replay-entry``, the copy does not lead to its
            checkpoint. SourceError, NoteError, TileError, EntryError: the copy cannot be read.
    """
    note = read_checkpoint(source)
    parsed = open_checkpoint(note, log_key).note if log_key else parse(note)
    checkpoint = Checkpoint.parse_text(parsed.text)
    size = checkpoint.size
    if not 0 <= index < size:
        raise ProofError(
            code="proof-no-such-entry",
            message=f"the checkpoint of {checkpoint.origin} covers no such entry",
            expected=f"an index of 0 to {size - 1}" if size else "a log that is not empty",
            found=str(index),
            fix="take a newer copy of the log, if it is there to be taken",
        )
    n, at = divmod(index, TILE_WIDTH)
    ref = TileRef(None, n, min(TILE_WIDTH, size - n * TILE_WIDTH))
    entry = Entry.decode(decode_bundle(read_ref(source, ref), ref.width)[at])
    proof = tuple(inclusion_proof(index, size, TileHashReader(lambda tile: read_ref(source, tile), size)))
    try:
        verify_inclusion(index, size, entry.leaf_hash, proof, checkpoint.root)
    except ProofError as error:
        raise DivergenceError(
            code="replay-entry",
            message=f"entry {index} of this copy does not lead to its checkpoint",
            expected=error.expected,
            found=error.found,
            fix="the copy is damaged or forged: `brakeline ledger fsck` says where; fetch it again",
            index=index,
        ) from None
    return Receipt(index, entry.encode(), proof, note).render()


def receipt_from(reader: LogReader, index: int, note: bytes | None = None) -> bytes:
    """Return the receipt of entry *index* of a verified copy under *note*, a checkpoint of the same history.

    Args:
        reader: the copy; its own checkpoint is taken when *note* is None.
        index: of the entry, below the note's size.
        note: a checkpoint note of at most the copy's size; its signatures are carried, and for who reads the receipt.

    Raises:
        ProofError: the note is of another history, or covers no such entry. DivergenceError, SourceError: the copy.
    """
    note = reader.note if note is None else note
    checkpoint = Checkpoint.parse_text(parse(note).text)
    data = reader.data_at(index)
    proof = tuple(inclusion_proof(index, checkpoint.size, reader.hash_at))
    verify_inclusion(index, checkpoint.size, leaf_hash(data), proof, checkpoint.root)
    return Receipt(index, data, proof, note).render()


@dataclass(frozen=True, slots=True)
class Consistent:
    """The log still contains what an old checkpoint committed to.

    Attributes:
        old, new: the two checkpoints, both signed by the log.
        proof: 32-byte hashes of the RFC 9162 consistency proof between them.
    """

    old: Checkpoint
    new: Checkpoint
    proof: tuple[bytes, ...]


def check_consistency(old_note: bytes, source: Source, log_key: VKey) -> Consistent:
    """Prove that the log at *source* contains the one that *old_note* committed to.

    Raises:
        ForkError: both checkpoints are signed by the log, and no history leads from one to the other.
        SourceError: ``source-behind``, the copy is older than the checkpoint, which proves nothing against anyone.
        NoteError: one of them is not a checkpoint of this log. DivergenceError and others: the copy is unreadable.
    """
    old = open_checkpoint(old_note, log_key).checkpoint
    reader = LogReader(source, log_key)
    new = reader.checkpoint
    if new.size < old.size:
        raise SourceError(
            code="source-behind",
            message=f"this copy of {old.origin} is older than the checkpoint",
            expected=f"at least {old.size} entries",
            found=f"{new.size} entries in {source.name}",
            fix="read the log itself or a newer mirror; a log that never catches up is hiding what it signed",
        )
    if old == new:
        return Consistent(old, new, ())
    if reader.root_at(old.size) != old.root:
        raise ForkError(old.origin, old_note, reader.note)
    proof = tuple(consistency_proof(old.size, new.size, reader.hash_at))
    verify_consistency(old.size, new.size, proof, old.root, new.root)
    return Consistent(old, new, proof)
