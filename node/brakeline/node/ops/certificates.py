"""What a node's TLS files are worth: whose name they bear, of which kind the key is, how long they hold.

Read by the doctor before a node runs and by the running node afterwards, which warns at 30, 7 and 1 days. Nothing is
fetched: no revocation list, no chain beyond the files. Times are passed in.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from brakeline.node.tls import TlsError, TlsFiles, read_pem
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

DAY_MS = 86_400_000
WARN_DAYS = (30, 7, 1)
"""Days left at which an operator is warned, once each."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """The client certificate of a node.

    Attributes:
        names: its DNS SANs; a verifier knows the caller by the one that the treaty names.
        not_before_ms, not_after_ms: validity, Unix milliseconds.
        stamp: SHA-256 over the three files, lowercase hex: another stamp means that they were replaced.
    """

    names: tuple[str, ...]
    not_before_ms: int
    not_after_ms: int
    stamp: str

    def days_left(self, now_ms: int) -> int:
        """Return whole days until it expires, negative afterwards."""
        return (self.not_after_ms - now_ms) // DAY_MS


def read(files: TlsFiles) -> Certificate:
    """Read the files and see that they belong together.

    Raises:
        TlsError: ``tls-file`` (unreadable, or not PEM), ``tls-key-type`` (gRPC cannot use it), ``tls-key-other`` (the
            key is not the certificate's), ``tls-ca-other`` (no CA in ``ca.pem``, or none that is one).
    """
    chain_pem, key_pem, ca_pem = (read_pem(path) for path in (files.certificate, files.key, files.ca))
    try:
        leaf = x509.load_pem_x509_certificates(chain_pem)[0]
        key = load_pem_private_key(key_pem, password=None)
        authorities = x509.load_pem_x509_certificates(ca_pem)
    except (ValueError, TypeError) as error:
        raise TlsError(
            code="tls-file",
            message="a TLS file is not what it should be",
            expected="PEM: certificate chain, unencrypted key, CA certificates",
            found=str(error)[:120],
            fix="put tls.pem, tls.key and ca.pem into the folder that [tls] in node.toml names",
        ) from None
    _check_key(leaf, key, files)
    if not any(_is_authority(item) for item in authorities):
        raise TlsError(
            code="tls-ca-other",
            message=f"{files.ca} holds no certificate authority",
            expected="the CA that vouches for the verifiers",
            found=", ".join(item.subject.rfc4514_string() for item in authorities)[:120],
            fix="ask your party for the file",
        )
    return Certificate(
        _names(leaf),
        int(leaf.not_valid_before_utc.timestamp() * 1000),
        int(leaf.not_valid_after_utc.timestamp() * 1000),
        hashlib.sha256(b"\0".join((chain_pem, key_pem, ca_pem))).hexdigest(),
    )


def issued_by_known(files: TlsFiles) -> bool:
    """Say whether a CA of ``ca.pem`` issued the certificate; verifiers may trust another CA, so it is only a hint."""
    chain = x509.load_pem_x509_certificates(read_pem(files.certificate))
    authorities = x509.load_pem_x509_certificates(read_pem(files.ca))
    return any(_issued(authority, item) for authority in authorities for item in chain)


def due(days_left: int, warned: int | None) -> int | None:
    """Return the threshold of :data:`WARN_DAYS` to warn at now, None when *warned* has said it already.

    >>> due(12, None), due(12, 30), due(6, 30), due(-3, 1), due(90, None)
    (30, None, 7, None, None)
    """
    passed = [days for days in WARN_DAYS if days_left < days]
    smallest = min(passed, default=None)
    return None if smallest is None or (warned is not None and warned <= smallest) else smallest


def _check_key(leaf: x509.Certificate, key: object, files: TlsFiles) -> None:
    public = leaf.public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TlsError(
            code="tls-key-type",
            message=f"{files.certificate} holds a key that gRPC's TLS cannot use here",
            expected="an ECDSA P-256 certificate and its key",
            found=f"{type(public).__name__}, {type(key).__name__}",
            fix="ask your party for an ECDSA P-256 certificate",
        )
    if public.public_numbers() != key.public_key().public_numbers():
        raise TlsError(
            code="tls-key-other",
            message=f"{files.key} is not the key of {files.certificate}",
            expected="the key that the certificate was issued for",
            found="another one",
            fix="put back the pair that belongs together; when renewing, replace both files",
        )


def _is_authority(item: x509.Certificate) -> bool:
    try:
        return item.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _issued(authority: x509.Certificate, item: x509.Certificate) -> bool:
    try:
        item.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(found.value.get_values_for_type(x509.DNSName))
