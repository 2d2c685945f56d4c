"""Checkpoints and cosignatures: what a log commits to, and who has seen it (C2SP tlog-checkpoint, tlog-cosignature v1).

    <origin>
    <size, decimal>
    <root hash, base64>
    [extension lines]

signed as a note by the log's key (type 0x01). A witness's cosignature (type 0x04) is a u64 POSIX timestamp (seconds)
and an Ed25519 signature over

    cosignature/v1
    time <timestamp>
    <the checkpoint's note text>

Sources: https://c2sp.org/tlog-checkpoint, https://c2sp.org/tlog-cosignature.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from brakeline.ledger import ed25519, note
from brakeline.ledger.errors import NoteError
from brakeline.ledger.merkle import HASH_SIZE, MAX_SIZE
from brakeline.ledger.note import Note, NoteSignature
from brakeline.ledger.vkey import TYPE_WITNESS, VKey

MAX_TIMESTAMP = 2**63 - 1
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True)
class Checkpoint:
    """A log's commitment to its first *size* entries.

    Attributes:
        origin: the log's identity (its key's name).
        size: number of entries, at most 2^63.
        root: 32-byte RFC 6962 root hash.
        extensions: further lines, non-empty; this protocol writes none.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def render_text(self) -> str:
        """Return the note text."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return "\n".join(lines) + "\n"

    @classmethod
    def parse_text(cls, text: str) -> Checkpoint:
        """Read a note text (:class:`NoteError` ``checkpoint-malformed``)."""
        lines = text.split("\n")
        if len(lines) < 4 or lines.pop() or not all(lines):
            raise _malformed("three or more non-empty lines", ascii(text[:80]))
        origin, size, root, *extensions = lines
        if not _SIZE.fullmatch(size) or int(size) > MAX_SIZE:
            raise _malformed("a decimal size of at most 2^63", ascii(size[:40]))
        try:
            raw = base64.b64decode(root, validate=True)
        except (binascii.Error, ValueError):
            raise _malformed("a base64 root hash", ascii(root[:80])) from None
        checkpoint = cls(origin, int(size), raw, tuple(extensions))
        if len(raw) != HASH_SIZE or checkpoint.render_text() != text:
            raise _malformed("32 bytes in standard base64", ascii(root[:80]))
        return checkpoint


@dataclass(frozen=True)
class OpenCheckpoint:
    """A checkpoint whose log signature, and whose known cosignatures, were verified.

    Attributes:
        cosignatures: witness key -> timestamp (POSIX seconds); whether they are enough is the policy's to say.
        note: the whole signed note, with signatures of unknown keys too.
    """

    checkpoint: Checkpoint
    cosignatures: Mapping[VKey, int]
    note: Note


def sign_checkpoint(checkpoint: Checkpoint, vkey: VKey, signer: ed25519.Signer) -> bytes:
    """Return the note bytes of *checkpoint* signed by its log (*vkey* of type 0x01, its name the origin)."""
    if vkey.name != checkpoint.origin:
        raise ValueError(f"the log key is {vkey.name!r}, the origin {checkpoint.origin!r}")
    text = checkpoint.render_text()
    return Note(text, (note.sign(text, vkey, signer),)).render()


def cosignature_message(text: str, timestamp_s: int) -> bytes:
    """Return the bytes that a v1 cosignature signs."""
    return f"cosignature/v1\ntime {timestamp_s}\n{text}".encode()


def cosign(data: bytes, vkey: VKey, signer: ed25519.Signer, timestamp_s: int) -> NoteSignature:
    """Return the witness *vkey*'s cosignature of the checkpoint note *data* at *timestamp_s* (POSIX seconds).

    The caller has verified the checkpoint and its consistency with what this witness saw before.
    """
    if vkey.type != TYPE_WITNESS or signer.public_key != vkey.public_key:
        raise ValueError("a cosignature needs a key of type 0x04 and its own signer")
    if not 0 < timestamp_s <= MAX_TIMESTAMP:
        raise ValueError("the timestamp is out of range")
    text = note.parse(data).text
    signature = signer.sign(cosignature_message(text, timestamp_s))
    return NoteSignature(vkey.name, vkey.id, timestamp_s.to_bytes(8, "big") + signature)


def verify_cosignature(text: str, item: NoteSignature, witness: VKey) -> int:
    """Return the timestamp (POSIX seconds) of a cosignature of *witness* on the checkpoint *text*.

    Raises:
        NoteError: ``note-signature-invalid``.
    """
    timestamp = int.from_bytes(item.signature[:8], "big")
    if (
        len(item.signature) != 72
        or timestamp > MAX_TIMESTAMP
        or not ed25519.verify(witness.public_key, cosignature_message(text, timestamp), item.signature[8:])
    ):
        raise note.invalid(witness)
    return timestamp


def cosigned_at(data: bytes, witnesses: Iterable[VKey], *, believed: bool = False) -> dict[VKey, int]:
    """Return when each of *witnesses* cosigned the note *data* (POSIX seconds, its latest): by signatures that verify.

    A signature that does not verify counts as absent; *believed* takes every time as it is claimed, without looking.
    """
    parsed = note.parse(data)
    known = {(key.name, key.id): key for key in witnesses if key.type == TYPE_WITNESS}
    found: dict[VKey, int] = {}
    for item in parsed.signatures:
        witness = known.get((item.name, item.id))
        if witness is None:
            continue
        try:
            told = int.from_bytes(item.signature[:8], "big")
            timestamp = told if believed else verify_cosignature(parsed.text, item, witness)
        except NoteError:
            continue
        found[witness] = max(timestamp, found.get(witness, 0))
    return found


def add_signatures(data: bytes, signatures: Iterable[NoteSignature]) -> bytes:
    """Return the note *data* with further signature lines; lines it has already are not repeated."""
    parsed = note.parse(data)
    lines = dict.fromkeys((*parsed.signatures, *signatures))
    return Note(parsed.text, tuple(lines)).render()


def open_checkpoint(data: bytes, log_key: VKey, witnesses: Sequence[VKey] = ()) -> OpenCheckpoint:
    """Read a checkpoint note and verify it.

    Raises:
        NoteError: ``note-*``, ``checkpoint-malformed``, ``checkpoint-origin``; a known key (the log's or a witness's)
            whose signature fails rejects the whole note.
    """
    parsed = note.parse(data)
    note.verify(parsed, [log_key])
    checkpoint = Checkpoint.parse_text(parsed.text)
    if checkpoint.origin != log_key.name:
        raise NoteError(
            code="checkpoint-origin",
            message="this checkpoint is another log's",
            expected=log_key.name,
            found=ascii(checkpoint.origin[:120]),
        )
    known = {(key.name, key.id): key for key in witnesses if key.type == TYPE_WITNESS}
    cosignatures: dict[VKey, int] = {}
    for item in parsed.signatures:
        witness = known.get((item.name, item.id))
        if witness is not None:
            timestamp = verify_cosignature(parsed.text, item, witness)
            cosignatures[witness] = max(timestamp, cosignatures.get(witness, 0))
    return OpenCheckpoint(checkpoint, cosignatures, parsed)


def _malformed(expected: str, found: str) -> NoteError:
    return NoteError(
        code="checkpoint-malformed", message="this note is not a checkpoint", expected=expected, found=found
    )
