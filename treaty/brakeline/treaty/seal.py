"""Sealed values: a commitment in the statement, the value elsewhere.

    digest = SHA-256("brakeline/sealed/v1" || 0x00 || salt[32] || JCS([author, sequence, JSON pointer, value]))

The leaf of the statement is then ``{"sealed": <digest, lowercase hex>}``. Author, sequence and pointer bind the
commitment to one place, so that a seal copied to another place, or by another author, opens nowhere. The salt is 32
bytes from a secure source, new for every leaf; it and the value travel to the named verifiers as a *disclosure*, never
into the log. Source: docs/spec/statements.md.

What it is not: encryption. Without a secret salt, a value from a small set could be found by trying.
"""

from __future__ import annotations

import hashlib
import hmac

from brakeline.treaty.errors import StatementError
from brakeline.treaty.strictjson import JsonObject, JsonValue, canonical

SALT_BYTES = 32
_DOMAIN = b"brakeline/sealed/v1\x00"


def seal_digest(salt: bytes, author: str, sequence: int, pointer: str, value: JsonValue) -> str:
    """Return the lowercase hex digest that commits to *value* at *pointer* of the author's statement *sequence*.

    Args:
        salt: 32 bytes, secret until disclosed, never used twice.
        author: the author's name.
        sequence: the statement's position in the author's chain.
        pointer: JSON pointer (RFC 6901) from the payload's root, such as ``/predicate/lines/0/flop_model``.
        value: the leaf as it would stand open (restricted JSON).

    Raises:
        StatementError: ``seal-salt``, ``seal-pointer``. JsonError: ``json-*``.
    """
    if len(salt) != SALT_BYTES:
        raise StatementError(
            code="seal-salt", message="a salt has the wrong size", expected="32 bytes", found=f"{len(salt)} bytes"
        )
    if not pointer.startswith("/") or not pointer.isascii():
        raise StatementError(
            code="seal-pointer",
            message="not a JSON pointer to a leaf",
            expected="/predicate/...",
            found=repr(pointer[:60]),
        )
    return hashlib.sha256(_DOMAIN + salt + canonical([author, sequence, pointer, value])).hexdigest()


def sealed(digest: str) -> JsonObject:
    """Return the leaf that stands in the statement in place of the value."""
    return {"sealed": digest}


def opens(digest: str, salt: bytes, author: str, sequence: int, pointer: str, value: JsonValue) -> bool:
    """Say whether (salt, value) is what *digest* commits to at this place."""
    return hmac.compare_digest(digest, seal_digest(salt, author, sequence, pointer, value))
