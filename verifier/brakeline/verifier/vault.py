"""What this verifier was told of sealed values: disclosures, in a file of their own, apart from the log.

Apart, because the log is public and this is not: whoever copies the one must not carry the other along. A disclosure
arrives as a PyNaCl sealed box to this verifier's key, beside its attestation; it is opened and held against the
statement's commitments at once (:meth:`Vault.open`), and stored durably (:meth:`Vault.keep`) before the log says that
it is held. It is secret towards everybody but this verifier; the file has mode 0600, and what is in it is not encrypted
again: whoever runs the verifier can read what was disclosed to it.

A verifier that loses this file cannot state its opinions again and does not start (``boot-disclosures-missing``): back
it up with the log.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

import apsw
from brakeline.ledger import keyfile
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.sqlite_store import connect_writer, translated
from brakeline.treaty.disclosure import MAX_DISCLOSURE, Disclosure, open_payload, parse_disclosure
from brakeline.verifier.errors import VerifierError
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox

OVERHEAD = 48
"""Bytes that a sealed box is longer than what is in it: an ephemeral key and an authenticator."""
FILE = "disclosures.sqlite"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS disclosure(statement TEXT PRIMARY KEY, data BLOB NOT NULL) STRICT, WITHOUT ROWID
"""


class Vault:
    """The disclosures of one verifier. Any thread; one transaction at a time."""

    def __init__(self, path: Path, key: PrivateKey) -> None:
        """Open or create the file at *path*; *key* opens what is sent (StoreError ``store-*``)."""
        self._path, self._box = path, SealedBox(key)
        self._lock = threading.Lock()
        path.touch(mode=0o600)
        self._db: apsw.Connection = connect_writer(path, _SCHEMA)

    def open(self, box: bytes, payload: bytes) -> Disclosure:
        """Return the disclosure in *box*, which opens every sealed leaf of the statement in *payload*.

        Raises:
            BrakelineError: ``disclosure-box`` (not sealed to this verifier's key), ``disclosure-*``, ``json-*``, and
                those of a statement that cannot be read.
        """
        if len(box) > MAX_DISCLOSURE + OVERHEAD:
            raise _box("it is too large", f"at most {MAX_DISCLOSURE + OVERHEAD} bytes", f"{len(box)} bytes")
        try:
            data = self._box.decrypt(box)
        except CryptoError:
            raise _box(
                "it does not open with this verifier's key", "a sealed box to the key in the treaty", ""
            ) from None
        disclosure = parse_disclosure(data)
        open_payload(payload, disclosure)
        return disclosure

    def keep(self, disclosures: Iterable[Disclosure]) -> None:
        """Store *disclosures* durably (StoreError ``store-*``: nothing was stored)."""
        rows = [(item.statement, item.encoded) for item in disclosures]
        if rows:
            with self._lock, translated(self._path), self._db:
                self._db.executemany("INSERT OR REPLACE INTO disclosure VALUES(?,?)", rows)

    def find(self, statement: str) -> Disclosure | None:
        """Return what opens *statement*, None where nothing was disclosed (StoreError ``store-*``)."""
        with self._lock, translated(self._path):
            row = self._db.execute("SELECT data FROM disclosure WHERE statement=?", (statement,)).fetchone()
        return None if row is None else parse_disclosure(row[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()


def read_key(path: Path, passphrase: bytes | None) -> PrivateKey:
    """Read this verifier's disclosure key, X25519 in PKCS#8 PEM (StoreError ``key-file-*``)."""
    return PrivateKey(keyfile.read_exchange(path, passphrase))


def _box(message: str, expected: str, found: str) -> BrakelineError:
    return VerifierError(
        code="disclosure-box",
        message=f"a disclosure cannot be opened: {message}",
        expected=expected,
        found=found,
        fix="seal it to the disclosure_key that the treaty names for this verifier",
    )
