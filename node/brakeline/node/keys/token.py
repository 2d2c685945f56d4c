"""Keys in a PKCS#11 token (an HSM, or SoftHSM): made inside, not extractable, used where they are.

Ed25519 by ``CKM_EC_EDWARDS_KEY_PAIR_GEN`` and ``CKM_EDDSA`` (PKCS#11 3.0) through python-pkcs11. The private key has
``CKA_SENSITIVE``, ``CKA_TOKEN`` and ``CKA_PRIVATE`` set and ``CKA_EXTRACTABLE`` not, and a store refuses a key of which
the token says otherwise. The PIN comes from a file or a variable of the environment, never from the configuration.

Labels: ``<label>`` is the current key, ``<label>.next`` the one that waits; a retired key bears its key id. A session
is kept open for as long as the process lives; where it has died, it is opened anew, once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pkcs11
from brakeline.ledger import ed25519
from brakeline.node.keys.store import KeyStoreError
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.util.ec import encode_named_curve_parameters

if TYPE_CHECKING:
    from brakeline.node.config import KeyPart

ED25519_OID = "1.3.101.112"
_OCTET_STRING = b"\x04\x20"
_T = TypeVar("_T")


class TokenKey:
    """A signer whose private key stays in its token."""

    def __init__(self, store: TokenStore, label: str) -> None:
        """Find the key *label* (KeyStoreError ``key-missing``, ``key-extractable``)."""
        self._store, self._label = store, label
        self._public = store.public_key(label)

    @property
    def public_key(self) -> bytes:
        """The 32 key bytes."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """Return the signature of *message*, made in the token and verified here.

        Raises:
            KeyStoreError: ``key-token`` (it does not answer), ``key-token-signature`` (what it returns does not
                verify: nothing of it is used).
        """
        signature = self._store.sign(self._label, message)
        if not ed25519.verify(self._public, message, signature):
            raise KeyStoreError(
                code="key-token-signature",
                message="the token returned a signature that does not verify",
                expected="64 bytes, Ed25519 over the message (CKM_EDDSA)",
                found=f"{len(signature)} bytes",
                fix="check that the token makes pure Ed25519; do not use it until it does",
            )
        return signature


class TokenStore:
    """The keys of one site in one token."""

    def __init__(self, part: KeyPart, folder: Path, environ: Mapping[str, str] = os.environ) -> None:
        """Use what *part* names; a PIN file is relative to *folder*. Opens nothing yet."""
        self._part, self._folder, self._environ = part, folder, environ
        self._label = part.label or "brakeline"
        # Any: the library's classes are generated, and their attributes typed as such
        self._session: Any = None

    def make(self) -> TokenKey:
        """Make the first key (``key-exists``)."""
        if self._find(self._label) is not None:
            raise KeyStoreError(
                code="key-exists",
                message="the token holds a key of this label already; keys are never overwritten",
                expected="another label",
                found=self._label,
                fix="choose another label, or take the node that uses it",
            )
        return self._generate(self._label)

    def signer(self) -> TokenKey:
        """Return the current key (``key-missing``)."""
        return TokenKey(self, self._label)

    def make_next(self) -> TokenKey:
        """Make the key that will replace the current one, once."""
        return self.waiting() or self._generate(f"{self._label}.next")

    def waiting(self) -> TokenKey | None:
        """Return the key that waits, None when there is none."""
        label = f"{self._label}.next"
        return None if self._find(label) is None else TokenKey(self, label)

    def promote(self) -> None:
        """Relabel: the current key gets its key id for a label, the waiting one the current one's."""
        if self.waiting() is None:
            return
        if self._find(self._label) is not None:
            keyid = hashlib.sha256(self.public_key(self._label)).hexdigest()
            self._relabel(self._label, f"{self._label}.retired-{keyid[:16]}")
        self._relabel(f"{self._label}.next", self._label)

    def __str__(self) -> str:
        """Return the token and the label."""
        return f"PKCS#11 token {self._part.token!r}, key {self._label!r} ({self._part.module})"

    # -- the token ---------------------------------------------------------------------------------------------------

    def public_key(self, label: str) -> bytes:
        """Return the 32 bytes of the public key *label* (``key-missing``, ``key-extractable``)."""
        private = self._find(label)
        if private is None:
            raise KeyStoreError(
                code="key-missing",
                message="the token holds no such key",
                expected=f"an Ed25519 key of label {label!r}",
                found=str(self),
                fix="check [key] in node.toml; a node's key is made by `brakeline node init`",
            )
        if private[Attribute.EXTRACTABLE] or not private[Attribute.SENSITIVE]:
            raise KeyStoreError(
                code="key-extractable",
                message="the private key could be taken out of the token",
                expected="CKA_SENSITIVE and not CKA_EXTRACTABLE, as `brakeline node init` makes it",
                found=label,
                fix="make a new key in the token, and replace this one (brakeline node key rotate)",
            )
        twins = self._twins(private)
        point = bytes(twins[0][Attribute.EC_POINT]) if twins else b""
        return point.removeprefix(_OCTET_STRING) if len(point) == 34 else point

    def sign(self, label: str, message: bytes) -> bytes:
        """Sign in the token; a session that has died is opened anew, once."""

        def attempt() -> bytes:
            key = self._find(label)
            if key is None:
                raise KeyStoreError(code="key-missing", message="the token holds no such key any more", found=label)
            return bytes(key.sign(message, mechanism=Mechanism.EDDSA))

        try:
            return self._reported(attempt)
        except KeyStoreError as error:
            if error.code != "key-token":
                raise
            self._session = None
            self._reported(pkcs11.lib(str(self._part.module)).reinitialize)
            return self._reported(attempt)

    def _generate(self, label: str) -> TokenKey:
        def make() -> None:
            curve = {Attribute.EC_PARAMS: encode_named_curve_parameters(ED25519_OID)}
            parameters = self._open().create_domain_parameters(KeyType.EC_EDWARDS, curve, local=True)
            private = {Attribute.EXTRACTABLE: False, Attribute.SENSITIVE: True, Attribute.PRIVATE: True}
            identity = os.urandom(16)  # shared by the two halves
            parameters.generate_keypair(store=True, label=label, id=identity, private_template=private)

        self._reported(make)
        return TokenKey(self, label)

    def _relabel(self, old: str, new: str) -> None:
        """Relabel a key. The private half decides: its public half is found by their common id, whatever its label."""

        def change() -> None:
            private = self._find(old)
            private[Attribute.LABEL] = new
            for public in self._twins(private):
                public[Attribute.LABEL] = new

        self._reported(change)

    def _twins(self, private: Any) -> list[Any]:
        wanted = {Attribute.ID: private[Attribute.ID], Attribute.CLASS: ObjectClass.PUBLIC_KEY}
        return self._reported(lambda: list(self._open().get_objects(wanted)))

    def _find(self, label: str) -> Any:
        wanted = {
            Attribute.LABEL: label,
            Attribute.CLASS: ObjectClass.PRIVATE_KEY,
            Attribute.KEY_TYPE: KeyType.EC_EDWARDS,
        }
        found = self._reported(lambda: list(self._open().get_objects(wanted)))
        if len(found) > 1:
            raise KeyStoreError(
                code="key-ambiguous", message="the token holds several keys of one label", expected="one", found=label
            )
        return found[0] if found else None

    def _open(self) -> Any:
        if self._session is None:
            token = pkcs11.lib(str(self._part.module)).get_token(token_label=self._part.token)
            try:
                self._session = token.open(rw=True, user_pin=self._pin())
            except pkcs11.UserAlreadyLoggedIn:  # by another session of this process
                self._session = token.open(rw=True)
        return self._session

    def _reported(self, work: Callable[[], _T]) -> _T:
        try:
            return work()
        except (pkcs11.PKCS11Error, RuntimeError) as error:
            raise KeyStoreError(
                code="key-token",
                message="the PKCS#11 token does not do what was asked",
                expected=f"module {self._part.module}, token {self._part.token!r}, the right PIN, CKM_EDDSA",
                found=f"{type(error).__name__} {error}".strip()[:200],
                fix="check [key] in node.toml, the module's own configuration, and that the token is plugged in",
            ) from error

    def _pin(self) -> str:
        pin = self._part.pin
        if pin is not None and pin.file is not None:
            try:
                return (self._folder / pin.file).read_text(encoding="utf-8").rstrip("\r\n")
            except OSError as error:
                raise _no_pin(f"{pin.file}: {error.strerror}") from None
        if pin is not None and pin.env is not None and pin.env in self._environ:
            return self._environ[pin.env]
        raise _no_pin(f"variable {pin.env}" if pin is not None else "no pin in [key]")


def _no_pin(found: str) -> KeyStoreError:
    return KeyStoreError(
        code="key-pin",
        message="the token's PIN cannot be read",
        expected='pin = {file = "..."} or pin = {env = "..."} in [key], and that file or variable',
        found=found,
        fix="the PIN itself never stands in node.toml",
    )
