"""Key stores behind one narrow protocol: the key in use, and the one that will replace it.

A store makes keys itself; their private halves never leave it. At most two keys matter at a time: the *current* one,
with which the node signs, and the *next* one, made ahead of its enrolment. :meth:`KeyStore.promote` puts the next in
the place of the current, whose retired key stays in the store (nothing is deleted) and is never used again.

Here: encrypted PKCS#8 files. In a hardware token: :mod:`brakeline.node.keys.token`.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from brakeline.ledger import keyfile
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.export import sync_directory

if TYPE_CHECKING:
    from brakeline.ledger.ed25519 import Signer
    from brakeline.node.config import KeyPart

FOLDER = "keys"
CURRENT = "site.pem"
NEXT = "next.pem"


class KeyStoreError(BrakelineError):
    """A key store cannot do what was asked (codes ``key-*``)."""


class KeyStore(Protocol):
    """Where a site's keys live."""

    def make(self) -> Signer:
        """Make the first key (``key-exists``, ``key-file-exists`` where there is one)."""
        ...

    def signer(self) -> Signer:
        """Return the current key (``key-missing``, ``key-*``)."""
        ...

    def make_next(self) -> Signer:
        """Make the key that will replace the current one; where one waits already, return that."""
        ...

    def waiting(self) -> Signer | None:
        """Return the key that waits to replace the current one, None when there is none."""
        ...

    def promote(self) -> None:
        """Let the waiting key be the current one; nothing happens when none waits."""
        ...

    def __str__(self) -> str:
        """Return where it is, for people."""
        ...


class FileStore:
    """Keys as PKCS#8 files in a folder, encrypted where a passphrase is given."""

    def __init__(self, folder: Path, passphrase: bytes | None) -> None:
        """Keep keys in *folder*."""
        self._folder, self._passphrase = folder, passphrase

    def make(self) -> Signer:
        """Make the first key (StoreError ``key-file-exists``)."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return keyfile.write_key(self._folder / CURRENT, keyfile.generate(), self._passphrase)

    def signer(self) -> Signer:
        """Return the current key (StoreError ``key-file-*``)."""
        return keyfile.read_signer(self._folder / CURRENT, self._passphrase)

    def make_next(self) -> Signer:
        """Make the key that will replace the current one, once."""
        return self.waiting() or keyfile.write_key(self._folder / NEXT, keyfile.generate(), self._passphrase)

    def waiting(self) -> Signer | None:
        """Return the key that waits, None when there is none."""
        path = self._folder / NEXT
        return keyfile.read_signer(path, self._passphrase) if path.exists() else None

    def promote(self) -> None:
        """Rename the waiting key over the current one, which stays under its key id. A crash leaves one of the two."""
        if self.waiting() is None:
            return
        current = self._folder / CURRENT
        if current.exists():
            keyid = hashlib.sha256(self.signer().public_key).hexdigest()
            retired = self._folder / f"retired-{keyid[:16]}.pem"
            if not retired.exists():
                os.link(current, retired)
        os.replace(self._folder / NEXT, current)
        sync_directory(self._folder)

    def __str__(self) -> str:
        """Return the file."""
        encrypted = "without a passphrase" if self._passphrase is None else "encrypted"
        return f"file {self._folder / CURRENT} ({encrypted})"


def open_store(folder: Path, part: KeyPart, passphrase: bytes | None) -> KeyStore:
    """Return the store that ``[key]`` of *folder*'s configuration names; *passphrase* is for files."""
    if part.store == "file":
        return FileStore(folder / FOLDER, passphrase)
    try:
        from brakeline.node.keys.token import TokenStore
    except ImportError as error:
        raise KeyStoreError(
            code="key-extra",
            message="keys in a PKCS#11 token need a library that is not installed",
            expected='pip install "brakeline[hsm]"',
            found=str(error),
        ) from None

    return TokenStore(part, folder)
