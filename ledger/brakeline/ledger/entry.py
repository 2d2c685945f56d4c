"""Entries: the records of a verifier's log, byte for byte.

    entry = u64 index || previous[32] || u64 received_at_ms || u8 kind || u8 length || source || body      (big-endian)

at most 65,535 bytes. ``previous`` is SHA-256 of the entry before (of the log's origin line, without a newline, for
entry 0), so that the entries form a hash chain which needs nothing but SHA-256 to follow. The Merkle tree over the
entries (leaf hash: SHA-256(0x00 || entry), RFC 6962) is authoritative; replay fails where the two disagree.
``received_at_ms`` is the log's append time in Unix ms and never goes back. ``source`` says who brought the entry and
never enters judgement: a name, for a peer followed by NUL and the u64 index there; empty for the log's own entries.

    body of a statement = u8 count, then per signature u8 length || keyid || u16 length || sig, then the payload

The ledger knows no treaty: kinds are numbers with names, bodies are bytes.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

from brakeline.ledger.errors import EntryError

MAX_ENTRY = 65_535
"""Bytes of an encoded entry (a bundle's length prefix is a u16)."""

_HEAD = struct.Struct(">Q32sQBB")


class Kind(IntEnum):
    """What an entry holds. Treaty and statement entries travel between logs; the others stay."""

    TREATY = 1
    STATEMENT = 2
    HEARTBEAT = 3
    FINDING = 4
    OPINION = 5
    CHALLENGE = 6
    QUERY = 7


class RawSignature(NamedTuple):
    """A DSSE signature as stored: the key id (a hint) and the signature bytes."""

    keyid: str
    sig: bytes


@dataclass(frozen=True)
class Entry:
    """One record of a log (layout above)."""

    index: int
    previous: bytes
    received_at_ms: int
    kind: Kind
    source: bytes
    body: bytes

    def encode(self) -> bytes:
        """Return the bytes (:class:`EntryError` ``entry-too-large``, ``entry-malformed``)."""
        return self._encoded

    @cached_property
    def _encoded(self) -> bytes:
        if len(self.previous) != 32 or len(self.source) > 255:
            raise _malformed("previous of 32 bytes, source of at most 255", f"{len(self.previous)}, {len(self.source)}")
        if not 0 <= self.index < 2**63 or not 0 <= self.received_at_ms < 2**63:
            raise _malformed("index and time below 2^63", f"index {self.index}, time {self.received_at_ms}")
        data = (
            _HEAD.pack(self.index, self.previous, self.received_at_ms, self.kind, len(self.source))
            + self.source
            + self.body
        )
        if len(data) > MAX_ENTRY:
            raise _too_large(len(data))
        return data

    @classmethod
    def decode(cls, data: bytes) -> Entry:
        """Read an entry (:class:`EntryError` ``entry-too-large``, ``entry-malformed``)."""
        if len(data) > MAX_ENTRY:
            raise _too_large(len(data))
        if len(data) < _HEAD.size:
            raise _malformed(f"{_HEAD.size} to {MAX_ENTRY} bytes", f"{len(data)} bytes")
        index, previous, received, kind, length = _HEAD.unpack_from(data)
        if not 1 <= kind <= 7 or index >= 2**63 or received >= 2**63:
            raise _malformed("kind 1 to 7, index and time below 2^63", f"kind {kind}, index {index}, time {received}")
        start = _HEAD.size + length
        if start > len(data):
            raise _malformed(f"a source of {length} bytes", "the end of the entry")
        entry = cls(index, previous, received, Kind(kind), data[_HEAD.size : start], data[start:])
        entry.__dict__["_encoded"] = data
        return entry

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the encoding: the next entry's ``previous``."""
        return hashlib.sha256(self.encode()).digest()

    @cached_property
    def leaf_hash(self) -> bytes:
        """RFC 6962 leaf hash of the encoding."""
        return hashlib.sha256(b"\x00" + self.encode()).digest()


def first_previous(origin: str) -> bytes:
    """Return ``previous`` of entry 0: SHA-256 of the origin line, without a newline."""
    return hashlib.sha256(origin.encode()).digest()


def client_source(name: str) -> bytes:
    """Return the source of an entry that the client *name* brought."""
    return name.encode("ascii")


def peer_source(origin: str, index: int) -> bytes:
    """Return the source of an entry taken over from entry *index* of the peer log *origin*."""
    return origin.encode("ascii") + b"\x00" + index.to_bytes(8, "big")


def parse_source(source: bytes) -> tuple[str, int | None]:
    """Return (name, index in the peer's log or None) (:class:`EntryError` ``entry-malformed``)."""
    name, nul, index = source.partition(b"\x00")
    if not name.isascii() or (nul and len(index) != 8):
        raise _malformed("a name, or a name, NUL and 8 bytes", source[:60].hex())
    return name.decode("ascii"), int.from_bytes(index, "big") if nul else None


def encode_signed(signatures: Sequence[RawSignature], payload: bytes) -> bytes:
    """Return the body of a statement entry (1 to 255 signatures; :class:`EntryError` ``entry-malformed``)."""
    if not 1 <= len(signatures) <= 255:
        raise _malformed("1 to 255 signatures", str(len(signatures)))
    parts = [bytes((len(signatures),))]
    for keyid, sig in signatures:
        if not keyid.isascii() or len(keyid) > 255 or len(sig) > 65_535:
            raise _malformed("an ASCII keyid below 256 bytes, a signature below 64 KiB", f"{len(keyid)}, {len(sig)}")
        name = keyid.encode("ascii")
        parts += (bytes((len(name),)), name, len(sig).to_bytes(2, "big"), sig)
    parts.append(payload)
    return b"".join(parts)


def decode_signed(body: bytes) -> tuple[tuple[RawSignature, ...], bytes]:
    """Read the body of a statement entry: (signatures, payload) (:class:`EntryError` ``entry-malformed``)."""
    if not body or not body[0]:
        raise _malformed("1 to 255 signatures", "none")
    at = 1
    signatures: list[RawSignature] = []
    for _ in range(body[0]):
        keyid, at = _take(body, at, 1)
        sig, at = _take(body, at, 2)
        if not keyid.isascii():
            raise _malformed("an ASCII keyid", keyid[:32].hex())
        signatures.append(RawSignature(keyid.decode("ascii"), sig))
    return tuple(signatures), body[at:]


def _take(data: bytes, at: int, width: int) -> tuple[bytes, int]:
    start = at + width
    end = start + int.from_bytes(data[at:start], "big")
    if start > len(data) or end > len(data):
        raise _malformed("a whole signature", "the end of the body")
    return data[start:end], end


def _too_large(size: int) -> EntryError:
    return EntryError(
        code="entry-too-large",
        message="an entry is too large",
        expected=f"at most {MAX_ENTRY} bytes",
        found=str(size),
    )


def _malformed(expected: str, found: str) -> EntryError:
    return EntryError(
        code="entry-malformed", message="this is not an entry of a log", expected=expected, found=found[:120]
    )
