"""Verifier keys: C2SP signed-note vkeys, and the statement keys of this protocol in the same syntax.

    <name>+<8 lowercase hex digits of the key id>+<base64(type || key material)>
    key id = SHA-256(name || 0x0A || type || key material)[:4]

Types: 0x01 Ed25519 (logs), 0x04 timestamped Ed25519 cosignature (witnesses), both with the 32 key bytes as material;
0xff with material ``brakeline/statement/v1`` || 32 key bytes (statements), as the specification provides for types
without an assigned byte. Source: https://c2sp.org/signed-note.

Reading is canonical: parse, re-render, compare.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from functools import cached_property

from brakeline.ledger.errors import VKeyError

TYPE_LOG = 0x01
TYPE_WITNESS = 0x04
TYPE_STATEMENT = 0xFF
STATEMENT_IDENTIFIER = b"brakeline/statement/v1"
MAX_VKEY = 400
"""Characters of a vkey text."""

_NOT_IN_NAMES = re.compile(r"[+\x00-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ud800-\udfff]")
"""Plus sign, ASCII control characters, Unicode's White_Space, and what is not UTF-8."""


@dataclass(frozen=True)
class VKey:
    """A named Ed25519 key of one purpose.

    Attributes:
        name: non-empty, printable, without white space or plus sign (signed-note).
        type: one of TYPE_LOG, TYPE_WITNESS, TYPE_STATEMENT.
        public_key: 32 bytes.
    """

    name: str
    type: int
    public_key: bytes

    def __post_init__(self) -> None:
        """Check the fields (:class:`VKeyError` ``vkey-malformed``)."""
        if not is_key_name(self.name) or not self.name.isprintable():
            raise _malformed("a printable key name without white space or plus sign", ascii(self.name))
        if self.type not in (TYPE_LOG, TYPE_WITNESS, TYPE_STATEMENT):
            raise _malformed("type 0x01, 0x04 or 0xff", f"{self.type:#x}")
        if len(self.public_key) != 32:
            raise _malformed("32 key bytes", f"{len(self.public_key)} bytes")

    @classmethod
    def parse(cls, text: str) -> VKey:
        """Read a vkey (:class:`VKeyError` ``vkey-malformed``)."""
        name, plus, rest = text.partition("+")
        _id, plus2, encoded = rest.partition("+")
        if len(text) > MAX_VKEY or not plus or not plus2:
            raise _malformed("name+hash+base64", ascii(text))
        try:
            material = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise _malformed("standard base64", ascii(encoded)) from None
        if not material:
            raise _malformed("a type byte and key material", encoded)
        kind, key = material[0], material[1:]
        if kind == TYPE_STATEMENT:
            if not key.startswith(STATEMENT_IDENTIFIER):
                raise _malformed(f"type 0xff of {STATEMENT_IDENTIFIER.decode()}", key[:24].hex())
            key = key[len(STATEMENT_IDENTIFIER) :]
        vkey = cls(name, kind, key)
        if str(vkey) != text:
            raise _malformed(str(vkey), text)
        return vkey

    @cached_property
    def material(self) -> bytes:
        """Type byte and key material, as hashed and encoded."""
        identifier = STATEMENT_IDENTIFIER if self.type == TYPE_STATEMENT else b""
        return bytes((self.type,)) + identifier + self.public_key

    @cached_property
    def id(self) -> bytes:
        """The 4-byte key id."""
        return hashlib.sha256(self.name.encode() + b"\n" + self.material).digest()[:4]

    @cached_property
    def keyid(self) -> str:
        """Lowercase hex SHA-256 of the 32 key bytes: the DSSE key id."""
        return hashlib.sha256(self.public_key).hexdigest()

    def __str__(self) -> str:
        """Return the vkey text."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(self.material).decode()}"


def is_key_name(name: str) -> bool:
    """Say whether *name* may name a key in a signed note: not empty, no Unicode space, no plus sign.

    To the letter of signed-note, whatever else stands in the name: a signature line of an unknown key must be ignored,
    and what is printable changes from one version of Unicode to the next.
    """
    return bool(name) and _NOT_IN_NAMES.search(name) is None


def _malformed(expected: str, found: str) -> VKeyError:
    return VKeyError(
        code="vkey-malformed",
        message="this is not a verifier key of this protocol",
        expected=expected[:120],
        found=found[:120],
        fix="copy the whole vkey, as `brakeline key show` prints it",
    )
