"""Envelopes: DSSE v1 around the exact payload bytes an author signed.

Source: https://github.com/secure-systems-lab/dsse (protocol.md, envelope.md, v1.0). The signature covers

    PAE = "DSSEv1" SP LEN(type) SP type SP LEN(payload) SP payload        (LEN: decimal bytes, SP: one 0x20)

of the bytes as received; nothing is ever re-encoded between verifying and storing. One payload type exists here,
``application/vnd.in-toto+json``. The statement digest is SHA-256(payload), lowercase hex: it names the statement, and
deliberately not the envelope, so that one order signed by {A, B} and by {B, C} is one statement.

This module frames and unframes; it verifies nothing (see :mod:`brakeline.treaty.admission`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from functools import cached_property

from brakeline.ledger.entry import RawSignature, decode_signed, encode_signed
from brakeline.treaty.errors import EnvelopeError
from brakeline.treaty.strictjson import MAX_PAYLOAD, JsonValue, canonical, parse_any

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_SIGNATURES = 255
"""Signatures in one envelope (the entry's count is one byte)."""

MAX_ENVELOPE_JSON = 128 * 1024
"""Bytes of an envelope as DSSE JSON: a full payload in base64, and its signatures."""

_KEYID = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PAE_HEAD = b"DSSEv1 %d %s " % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode("ascii"))


@dataclass(frozen=True)
class Envelope:
    """A payload and its signatures, bounded and well-formed, *not* verified.

    Attributes:
        payload: the bytes that were signed, at most 60 KiB.
        signatures: 1 to 255 of (keyid: 64 lowercase hex digits, sig: 64 bytes), key ids unique.

    Raises (on construction):
        EnvelopeError: ``envelope-too-large``, ``envelope-signatures``, ``envelope-keyid``, ``envelope-signature-size``.
    """

    payload: bytes
    signatures: tuple[RawSignature, ...]

    def __post_init__(self) -> None:
        if len(self.payload) > MAX_PAYLOAD:
            raise EnvelopeError(
                code="envelope-too-large",
                message="the payload is too large",
                expected=f"at most {MAX_PAYLOAD} bytes",
                found=f"{len(self.payload)} bytes",
                fix="commit to detail by digest instead of carrying it",
            )
        if not 1 <= len(self.signatures) <= MAX_SIGNATURES:
            raise EnvelopeError(
                code="envelope-signatures",
                message="wrong number of signatures",
                expected=f"1 to {MAX_SIGNATURES}",
                found=str(len(self.signatures)),
            )
        seen: set[str] = set()
        for keyid, sig in self.signatures:
            if not _KEYID.fullmatch(keyid) or keyid in seen:
                raise EnvelopeError(
                    code="envelope-keyid",
                    message="a signature's keyid is malformed or repeated",
                    expected="the lowercase hex SHA-256 of the key bytes, once each",
                    found=repr(keyid[:70]),
                )
            seen.add(keyid)
            if len(sig) != 64:
                raise EnvelopeError(
                    code="envelope-signature-size",
                    message="a signature has the wrong size",
                    expected="64 bytes (Ed25519)",
                    found=f"{len(sig)} bytes",
                )

    @cached_property
    def digest(self) -> str:
        """The statement digest: lowercase hex SHA-256 of the payload."""
        return hashlib.sha256(self.payload).hexdigest()

    def pae(self) -> bytes:
        """Return the bytes that every signature covers (DSSE pre-authentication encoding)."""
        return pae(self.payload)

    def to_body(self) -> bytes:
        """Return the body of a log entry of kind treaty or statement."""
        return encode_signed(self.signatures, self.payload)

    @classmethod
    def from_body(cls, body: bytes) -> Envelope:
        """Read the body of a log entry of kind treaty or statement (:class:`EntryError`, :class:`EnvelopeError`)."""
        signatures, payload = decode_signed(body)
        return cls(payload, tuple(signatures))

    def to_dsse_json(self) -> bytes:
        """Return the envelope as DSSE JSON, canonical, for files and for tools of others."""
        signatures: list[JsonValue] = [{"keyid": k, "sig": base64.b64encode(s).decode()} for k, s in self.signatures]
        return canonical(
            {
                "payload": base64.b64encode(self.payload).decode(),
                "payloadType": PAYLOAD_TYPE,
                "signatures": signatures,
            }
        )

    @classmethod
    def from_dsse_json(cls, data: bytes) -> Envelope:
        """Read DSSE JSON of at most 128 KiB; standard padded base64 only, no unknown members.

        Raises:
            EnvelopeError: ``envelope-malformed``, ``envelope-payload-type`` and those of the constructor.
            JsonError: ``json-*``.
        """
        value = parse_any(data, max_bytes=MAX_ENVELOPE_JSON, max_depth=4)
        if not isinstance(value, dict) or value.keys() != {"payload", "payloadType", "signatures"}:
            raise _malformed("an object of payload, payloadType, signatures", value)
        if value["payloadType"] != PAYLOAD_TYPE:
            raise EnvelopeError(
                code="envelope-payload-type",
                message="the envelope carries another payload type",
                expected=PAYLOAD_TYPE,
                found=repr(value["payloadType"])[:80],
            )
        items = value["signatures"]
        if not isinstance(items, list):
            raise _malformed("a list of signatures", items)
        signatures: list[RawSignature] = []
        for item in items:
            if not isinstance(item, dict) or item.keys() != {"keyid", "sig"}:
                raise _malformed("an object of keyid and sig", item)
            keyid = item["keyid"]
            if not isinstance(keyid, str):
                raise _malformed("a keyid string", keyid)
            signatures.append(RawSignature(keyid, _base64(item["sig"])))
        return cls(_base64(value["payload"]), tuple(signatures))

    def merged(self, other: Envelope) -> Envelope:
        """Return this envelope with the signatures of *other* added (same payload, key ids not yet present)."""
        if other.payload != self.payload:
            raise EnvelopeError(
                code="envelope-payload-differs",
                message="signatures over different payloads cannot be merged",
                expected=self.digest,
                found=other.digest,
                fix="sign the same file",
            )
        have = {keyid for keyid, _ in self.signatures}
        return Envelope(self.payload, (*self.signatures, *(s for s in other.signatures if s.keyid not in have)))


def pae(payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding of a payload of the one payload type.

    >>> pae(b"hi")
    b'DSSEv1 28 application/vnd.in-toto+json 2 hi'
    """
    return b"%b%d %b" % (_PAE_HEAD, len(payload), payload)


def _base64(value: JsonValue) -> bytes:
    """Standard base64 with padding; decode, re-encode, compare (so no stray trailing bits, no white space)."""
    if isinstance(value, str):
        try:
            data = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            pass
        else:
            if base64.b64encode(data).decode() == value:
                return data
    raise _malformed("canonical standard base64", value)


def _malformed(expected: str, found: JsonValue) -> EnvelopeError:
    return EnvelopeError(
        code="envelope-malformed", message="not a DSSE envelope", expected=expected, found=repr(found)[:80]
    )
