"""Strict Ed25519: one rule for every signature of the protocol, decided alike by two libraries.

The rule (docs/spec; RFC 8032 narrowed): |A| = 32, |sig| = 64, S < L, A and R canonical (y < p) and not of small order,
cofactorless equation. A is also free of torsion, which is checked once, when a key is registered. Without the guard
OpenSSL and libsodium disagree on published edge cases; with it they agree on all of them. Cofactored batch
verification cannot implement this rule and must not be used.

Deciding a small-order encoding needs only y: with y = int(little-endian bytes) mod 2^255, the eight small-order points
have y in {0, 1, p-1, c, -c}, of which the five values below remain once y < p is demanded.
"""

from __future__ import annotations

from typing import Protocol

from brakeline.ledger.errors import KeyUnfitError
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.bindings import crypto_core_ed25519_is_valid_point, crypto_sign_open
from nacl.exceptions import BadSignatureError

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
_MASK = 2**255 - 1
_SMALL_ORDER = frozenset(
    (
        0,
        1,
        P - 1,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    )
)


class Signer(Protocol):
    """Who can sign with one Ed25519 key, wherever that key lives (file, HSM)."""

    @property
    def public_key(self) -> bytes:
        """The 32 key bytes."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte deterministic signature (RFC 8032) of *message*."""
        ...


class SeedSigner:
    """A signer over a 32-byte seed held in memory."""

    def __init__(self, seed: bytes) -> None:
        """Take the RFC 8032 private key (*seed*, 32 bytes)."""
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def public_key(self) -> bytes:
        """The 32 key bytes."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte deterministic signature of *message*."""
        return self._key.sign(message)


def point_ok(point: bytes) -> bool:
    """Say whether 32 bytes are a canonical encoding (y < p) of a point that is not of small order."""
    y = int.from_bytes(point, "little") & _MASK
    return y < P and y not in _SMALL_ORDER


def _guard(public_key: bytes, signature: bytes) -> bool:
    return (
        len(public_key) == 32
        and len(signature) == 64
        and int.from_bytes(signature[32:], "little") < L
        and point_ok(public_key)
        and point_ok(signature[:32])
    )


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Say whether *signature* is *public_key*'s on *message* under the strict rule (libsodium; releases the GIL)."""
    if not _guard(public_key, signature):
        return False
    try:
        crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        return False
    return True


def verify_openssl(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Decide the same rule with OpenSSL, for whoever trusts neither library alone."""
    if not _guard(public_key, signature):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def check_registrable(public_key: bytes) -> None:
    """Check once that a key may be registered: canonical, on the curve, of large order, free of torsion.

    Raises:
        KeyUnfitError: ``key-unregistrable``.
    """
    if len(public_key) == 32 and point_ok(public_key) and crypto_core_ed25519_is_valid_point(public_key):
        return
    raise KeyUnfitError(
        code="key-unregistrable",
        message="these bytes may not serve as an Ed25519 key",
        expected="32 bytes: a canonical, torsion-free point of the prime-order group",
        found=public_key.hex()[:64],
        fix="make a new key with `brakeline key new`",
    )
