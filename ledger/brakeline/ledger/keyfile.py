"""Key files: Ed25519 private keys as PKCS#8 PEM, encrypted with a passphrase, with the public vkey beside.

``<path>`` holds the private key (mode 0600, never overwritten), ``<path>.vkey`` the public verifier key, one line.
Encryption is ``cryptography``'s best available for PKCS#8 (PBES2). A key without a passphrase is for demonstrations.
The private bytes stay inside the returned :class:`~brakeline.ledger.ed25519.Signer`.
"""

from __future__ import annotations

import os
from pathlib import Path

from brakeline.ledger.ed25519 import SeedSigner, Signer
from brakeline.ledger.errors import StoreError
from brakeline.ledger.export import sync_directory
from brakeline.ledger.vkey import VKey
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

MAX_FILE = 16 * 1024


def generate() -> bytes:
    """Return a fresh 32-byte Ed25519 seed from the operating system."""
    return Ed25519PrivateKey.generate().private_bytes_raw()


def write_key(path: Path, seed: bytes, passphrase: bytes | None) -> Signer:
    """Write the key of *seed* to *path*, encrypted unless *passphrase* is None; return its signer.

    Raises:
        StoreError: ``key-file-exists`` (nothing is overwritten), ``key-file-passphrase`` (it is empty: that would not
            encrypt, which only None may ask for).
    """
    if passphrase == b"":
        raise StoreError(
            code="key-file-passphrase",
            message="an empty passphrase does not protect a key",
            expected="at least one character",
            found="none",
            fix="choose one; a key without a passphrase must be asked for as such",
        )
    encryption = (
        serialization.NoEncryption() if passphrase is None else serialization.BestAvailableEncryption(passphrase)
    )
    data = Ed25519PrivateKey.from_private_bytes(seed).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    write_private(path, data)
    return SeedSigner(seed)


def write_private(path: Path, data: bytes) -> None:
    """Write *data* to a new file that only its owner may read, durably (StoreError ``key-file-exists``).

    When writing fails (OSError), no half-written file is left behind.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise StoreError(
            code="key-file-exists",
            message="a key file is never overwritten",
            expected="a new path",
            found=str(path),
            fix="choose another path, or move the old key away if you are sure",
        ) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        sync_directory(path.parent)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def read_signer(path: Path, passphrase: bytes | None) -> Signer:
    """Read the key in *path*.

    Raises:
        StoreError: ``key-file-unreadable``, ``key-file-passphrase``, ``key-file-permissions``.
    """
    key = _read(path, passphrase)
    if not isinstance(key, Ed25519PrivateKey):
        raise _unreadable(path, "another kind of key")
    return SeedSigner(key.private_bytes_raw())


def read_exchange(path: Path, passphrase: bytes | None) -> bytes:
    """Return the 32 private bytes of the X25519 key in *path*: what opens sealed boxes.

    Raises:
        StoreError: as :func:`read_signer`.
    """
    key = _read(path, passphrase)
    if not isinstance(key, X25519PrivateKey):
        raise _unreadable(path, "another kind of key")
    return key.private_bytes_raw()


def _read(path: Path, passphrase: bytes | None) -> PrivateKeyTypes:
    try:
        if path.stat().st_mode & 0o077:
            raise StoreError(
                code="key-file-permissions",
                message="a private key file can be read by others",
                expected="mode 0600",
                found=f"{path}: {path.stat().st_mode & 0o777:o}",
                fix=f"chmod 600 {path}",
            )
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise _unreadable(path, error.strerror or "an error") from None
    if len(data) > MAX_FILE:
        raise _unreadable(path, f"more than {MAX_FILE} bytes")
    try:
        return serialization.load_pem_private_key(data, passphrase)
    except TypeError:
        raise StoreError(
            code="key-file-passphrase",
            message="the key file is encrypted and no passphrase was given, or the other way round",
            found=str(path),
            fix="give --passphrase-file, or leave it out for a key without one",
        ) from None
    except ValueError:
        raise StoreError(
            code="key-file-passphrase",
            message="the key file cannot be decrypted",
            expected="the right passphrase and an intact PKCS#8 PEM file",
            found=str(path),
        ) from None
    except UnsupportedAlgorithm:
        raise _unreadable(path, "a kind of key that is not known here") from None


def vkey_path(path: Path) -> Path:
    """Return where the public key of the key file *path* stands."""
    return path.with_name(path.name + ".vkey")


def write_vkey(path: Path, vkey: VKey) -> None:
    """Write the public key beside the key file *path*."""
    vkey_path(path).write_text(f"{vkey}\n", encoding="ascii")


def read_vkey(path: Path) -> VKey:
    """Read the public key beside the key file *path* (StoreError ``key-file-unreadable``, VKeyError)."""
    try:
        return VKey.parse(vkey_path(path).read_text(encoding="ascii").rstrip("\n"))
    except (OSError, UnicodeDecodeError):
        raise _unreadable(vkey_path(path), "no readable file") from None


def _unreadable(path: Path, found: str) -> StoreError:
    return StoreError(
        code="key-file-unreadable",
        message="not a readable Ed25519 key file",
        expected="PKCS#8 PEM, as `brakeline key new` writes it",
        found=f"{path}: {found}",
    )
