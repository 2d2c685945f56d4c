"""Signed notes: a text and signatures under it (C2SP signed-note).

    <text, ending in a newline>
    <empty line>
    — <key name> <base64(4-byte key id || signature)>          (em dash U+2014; one or more lines)

The text is valid UTF-8 without control characters below U+0020 other than newline. A verifier ignores signatures of
keys it does not know and rejects the note when a key it does know fails. Source: https://c2sp.org/signed-note.
Reading is canonical: bound, parse, re-render, compare.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from brakeline.ledger import ed25519
from brakeline.ledger.errors import NoteError
from brakeline.ledger.vkey import TYPE_LOG, VKey, is_key_name

MAX_NOTE = 128 * 1024
"""Bytes of a note: room for 16 signatures of nearly 5 kB each, as the specification asks."""

MAX_SIGNATURES = 64
"""Signature lines of a note (the specification asks for at least 16)."""

_DASH = "— "


@dataclass(frozen=True)
class NoteSignature:
    """One signature line: key name, 4-byte key id, and the signature blob as its type defines it."""

    name: str
    id: bytes
    signature: bytes

    def render(self) -> str:
        """Return the line, with its newline."""
        return f"{_DASH}{self.name} {base64.b64encode(self.id + self.signature).decode()}\n"


@dataclass(frozen=True)
class Note:
    """A text (ending in a newline) and its signatures, not verified."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def render(self) -> bytes:
        """Return the note's bytes."""
        return (self.text + "\n" + "".join(item.render() for item in self.signatures)).encode()


def parse(data: bytes) -> Note:
    """Read a note (:class:`NoteError` ``note-too-large``, ``note-malformed``)."""
    if len(data) > MAX_NOTE:
        raise NoteError(
            code="note-too-large",
            message="the note is too large",
            expected=f"at most {MAX_NOTE} bytes",
            found=str(len(data)),
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise _malformed("UTF-8", "other bytes") from None
    if any(c < " " and c != "\n" for c in text):
        raise _malformed("no control characters other than newline", "one")
    body, separator, rest = text.rpartition("\n\n")
    lines = rest.split("\n")
    if not separator or lines.pop() or not 1 <= len(lines) <= MAX_SIGNATURES:
        raise _malformed(f"a text, an empty line, and 1 to {MAX_SIGNATURES} signature lines", f"{len(lines)} lines")
    note = Note(body + "\n", tuple(_signature(line) for line in lines))
    if note.render() != data:
        raise _malformed("the one rendering of this note", "another spelling")
    return note


def sign(text: str, vkey: VKey, signer: ed25519.Signer) -> NoteSignature:
    """Return the plain Ed25519 signature (type 0x01) over *text*; *vkey* names the signer's key."""
    if vkey.type != TYPE_LOG or signer.public_key != vkey.public_key:
        raise ValueError("a plain note signature needs a key of type 0x01 and its own signer")
    return NoteSignature(vkey.name, vkey.id, signer.sign(text.encode()))


def verify(note: Note, keys: Sequence[VKey]) -> list[VKey]:
    """Return those of *keys* (type 0x01) that signed the note; every signature by one of them is verified.

    Raises:
        NoteError: ``note-signature-invalid`` when a known key's signature fails, ``note-unsigned`` when no known key
            signed.
    """
    message = note.text.encode()
    known = {(key.name, key.id): key for key in keys if key.type == TYPE_LOG}
    signed: list[VKey] = []
    for item in note.signatures:
        key = known.get((item.name, item.id))
        if key is None:
            continue
        if not ed25519.verify(key.public_key, message, item.signature):
            raise invalid(key)
        if key not in signed:
            signed.append(key)
    if not signed:
        raise NoteError(
            code="note-unsigned",
            message="no known key signed this note",
            expected=", ".join(str(key) for key in keys)[:200],
            found=", ".join(ascii(item.name) for item in note.signatures)[:200],
        )
    return signed


def invalid(key: VKey) -> NoteError:
    """Return the error for a known key whose signature fails."""
    return NoteError(
        code="note-signature-invalid",
        message="a signature by a known key does not verify",
        expected=f"a signature of {key.name}",
        found="another text, or damage",
    )


def _signature(line: str) -> NoteSignature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not is_key_name(name):
        raise _malformed("— <key name> <base64>", ascii(line[:80]))
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise _malformed("standard base64", ascii(encoded[:80])) from None
    if len(blob) < 5:
        raise _malformed("a 4-byte key id and a signature", f"{len(blob)} bytes")
    return NoteSignature(name, blob[:4], blob[4:])


def _malformed(expected: str, found: str) -> NoteError:
    return NoteError(code="note-malformed", message="this is not a signed note", expected=expected, found=found)
