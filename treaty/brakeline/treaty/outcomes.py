"""What admission answers: admitted, not yet, refused, each with a stable code. Values, no logic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from brakeline.treaty.statements import Statement


class Code(StrEnum):
    """Stable reasons of *not yet* and *refused* (documented in docs/spec/admission.md)."""

    KEY_UNKNOWN = "key-unknown"
    PARENT_UNKNOWN = "parent-unknown"
    TREATY_UNKNOWN = "treaty-unknown"
    FUTURE_DATED = "future-dated"
    CHILD_CAP = "child-cap"
    SIGNATURE_INVALID = "signature-invalid"
    SIGNATURES_TOO_FEW = "signatures-too-few"
    SIGNER_NOT_ALLOWED = "signer-not-allowed"
    KEY_UNREGISTRABLE = "key-unregistrable"
    KEY_REUSED = "key-reused"
    ROLE_FORBIDDEN = "role-forbidden"
    OFF_GRID = "off-grid"
    TOO_MANY_LINES = "too-many-lines"
    SEALED_FIELD = "sealed-field"
    LINES_NOT_PADDED = "lines-not-padded"
    ORDER_PERIODS = "order-periods"
    ORDER_SCOPE = "order-scope"
    ORDER_CEILING = "order-ceiling"
    CHAIN_MALFORMED = "chain-malformed"
    TREATY_NOT_PINNED = "treaty-not-pinned"
    TREATY_SUCCESSION = "treaty-succession"


@dataclass(frozen=True, slots=True)
class Admitted:
    """May be appended. ``known``: this log holds the digest already, at ``index``; give its receipt again."""

    statement: Statement
    known: bool = False
    index: int = -1


@dataclass(frozen=True, slots=True)
class NotYet:
    """Cannot be decided here and now; the same bytes may be admitted later."""

    code: str
    message: str
    expected: str = ""
    found: str = ""
    fix: str = "retry later"


@dataclass(frozen=True, slots=True)
class Refused:
    """Never admissible under this treaty; the sequence number may be used again."""

    code: str
    message: str
    expected: str = ""
    found: str = ""
    fix: str = ""


Outcome: TypeAlias = Admitted | NotYet | Refused


Verify: TypeAlias = Callable[[bytes, bytes, bytes], bool]
"""Strict Ed25519: (key, message, signature)."""


def invalid(keyid: str) -> Refused:
    """Return the refusal of an envelope in which the signature by the key *keyid* does not verify."""
    return Refused(
        Code.SIGNATURE_INVALID,
        "a signature does not verify (strict Ed25519 over DSSE's PAE)",
        found=f"keyid {keyid}",
        fix="sign the canonical payload with the key of that id",
    )
