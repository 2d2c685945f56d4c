"""Who is calling: server credentials from files, and an identity from the client's certificate, for every call.

The handshake proves that some CA in ``client_ca`` vouches for the client. It happens once per connection; a connection
outlives a rotated CA and an expired certificate. So :meth:`IdentityCheck.identify` looks again at every call: inside
its validity, issued by a CA that is *now* in the file, and exactly one DNS SAN that the treaty names (a party, a lab, a
third party or a verifier; a site uses its lab's name). The subject's common name is never looked at.

Credentials are static. gRPC's dynamic server credentials are not used: in grpcio 1.85.1 they crashed the process in 11
of 150 runs. A rotated server certificate is taken up at the next start.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from brakeline.verifier.errors import CallError, Status, TlsError
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from brakeline.treaty.document import TreatyDocument

_CACHE = 1024
_CHAIN_LIMIT = 4


class Role(StrEnum):
    """As what the treaty names a caller."""

    PARTY = "party"
    LAB = "lab"
    THIRD_PARTY = "third party"
    VERIFIER = "verifier"


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller that the treaty names."""

    name: str
    role: Role


def roles_of(*versions: TreatyDocument) -> dict[str, Role]:
    """Return every name that any of these versions of the treaty lets call, with its role."""
    found: dict[str, Role] = {}
    for document in versions:
        found |= {party.name: Role.PARTY for party in document.parties}
        found |= {lab.name: Role.LAB for lab in document.labs}
        found |= {third.name: Role.THIRD_PARTY for third in document.third_parties}
        found |= {verifier.name: Role.VERIFIER for verifier in document.verifiers}
    return found


def server_credentials(certificate: Path, key: Path, client_ca: Path) -> grpc.ServerCredentials:
    """Return static gRPC server credentials that demand a client certificate.

    Raises:
        TlsError: ``tls-file`` (unreadable), ``tls-key-type`` (not ECDSA), ``tls-certificate`` (not PEM).
    """
    chain = _read(certificate)
    leaf = _certificates(chain, certificate)[0]
    if not isinstance(leaf.public_key(), ec.EllipticCurvePublicKey):
        raise TlsError(
            code="tls-key-type",
            message=f"{certificate} holds a key that gRPC's TLS cannot use here",
            expected="an ECDSA P-256 certificate",
            found=type(leaf.public_key()).__name__,
            fix="issue an ECDSA P-256 certificate for this server",
        )
    authorities = _read(client_ca)
    _certificates(authorities, client_ca)
    return grpc.ssl_server_credentials([(_read(key), chain)], root_certificates=authorities, require_client_auth=True)


def certificate_days_left(certificate: Path, now_ms: int) -> int:
    """Return whole days until the server's certificate expires (operators are warned at 30, 7 and 1)."""
    expiry = _certificates(_read(certificate), certificate)[0].not_valid_after_utc
    return int((expiry.timestamp() * 1000 - now_ms) // 86_400_000)


class IdentityCheck:
    """Decides, per call, which name of the treaty a client certificate stands for."""

    def __init__(self, client_ca: Path, roles: Mapping[str, Role], now_ms: Callable[[], int]) -> None:
        """Keep the path: the file is read again whenever its modification time changes."""
        self._path = client_ca
        self._roles = roles
        self._now_ms = now_ms
        self._stamp: tuple[int, int] = (0, 0)
        self._authorities: list[x509.Certificate] = []
        self._known: OrderedDict[bytes, tuple[Identity, x509.Certificate]] = OrderedDict()

    def identify(self, context: Mapping[str, Iterable[bytes]]) -> Identity:
        """Return the identity of a call from its gRPC authentication context.

        Raises:
            CallError: ``identity-missing``, ``identity-untrusted``, ``identity-expired`` (UNAUTHENTICATED);
                ``identity-unknown``, ``identity-ambiguous`` (PERMISSION_DENIED).
        """
        pem = next(iter(context.get("x509_pem_cert", ())), b"")
        self._refresh()
        held = self._known.get(pem)
        if held is None:
            chain = b"".join(context.get("x509_pem_cert_chain", ()))
            held = self._examine(pem, chain)
            self._known[pem] = held
            if len(self._known) > _CACHE:
                self._known.popitem(last=False)
        identity, leaf = held
        self._check_validity(leaf)
        return identity

    def _refresh(self) -> None:
        stat = self._path.stat()
        stamp = (stat.st_mtime_ns, stat.st_size)
        if stamp != self._stamp:
            self._authorities = _certificates(_read(self._path), self._path)
            self._stamp = stamp
            self._known.clear()

    def _examine(self, pem: bytes, chain: bytes) -> tuple[Identity, x509.Certificate]:
        try:
            leaf = x509.load_pem_x509_certificate(pem)
            between = x509.load_pem_x509_certificates(chain) if chain else []
        except ValueError:
            raise CallError(
                Status.UNAUTHENTICATED,
                code="identity-missing",
                message="the call carries no readable client certificate",
                expected="mutual TLS with a certificate of the verifier's client CA",
                fix="connect with your client certificate and key",
            ) from None
        if not self._issued(leaf, between):
            raise CallError(
                Status.UNAUTHENTICATED,
                code="identity-untrusted",
                message="the client certificate's CA is not trusted here any more",
                expected="a CA in the verifier's client_ca file",
                found=leaf.issuer.rfc4514_string()[:120],
                fix="reconnect with a certificate of the current CA",
            )
        return self._named(leaf), leaf

    def _issued(self, leaf: x509.Certificate, between: list[x509.Certificate]) -> bool:
        """Whether a CA now in the file stands behind *leaf* (the handshake did the whole path validation)."""
        current = leaf
        for _ in range(_CHAIN_LIMIT):
            if any(_is_issuer(authority, current) for authority in self._authorities):
                return True
            above = next((c for c in between if c != current and _is_issuer(c, current)), None)
            if above is None:
                return False
            current = above
        return False

    def _named(self, leaf: x509.Certificate) -> Identity:
        try:
            extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            names = extension.value.get_values_for_type(x509.DNSName)
        except x509.ExtensionNotFound:
            names = []
        named = sorted({name for name in names if name in self._roles})
        if len(named) == 1:
            return Identity(named[0], self._roles[named[0]])
        raise CallError(
            Status.PERMISSION_DENIED,
            code="identity-ambiguous" if named else "identity-unknown",
            message="the client certificate does not stand for exactly one name of the treaty",
            expected="one DNS SAN that is a party, lab, third party or verifier of the treaty",
            found=", ".join(named or names)[:200] or "no DNS SAN",
            fix="ask for a certificate with your treaty name as DNS SAN",
        )

    def _check_validity(self, leaf: x509.Certificate) -> None:
        now = datetime.fromtimestamp(self._now_ms() / 1000, UTC)
        if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
            raise CallError(
                Status.UNAUTHENTICATED,
                code="identity-expired",
                message="the client certificate is not valid at this time",
                expected=f"{leaf.not_valid_before_utc.isoformat()} to {leaf.not_valid_after_utc.isoformat()}",
                found=now.isoformat(),
                fix="renew the certificate, or check both clocks",
            )


def _is_issuer(authority: x509.Certificate, child: x509.Certificate) -> bool:
    try:
        child.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsError(
            code="tls-file",
            message=f"{path} cannot be read",
            expected="a PEM file",
            found=error.strerror or "error",
            fix="set the [tls] paths in verifier.toml",
        ) from None


def _certificates(data: bytes, path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise TlsError(
            code="tls-certificate",
            message=f"{path} holds no certificate",
            expected="PEM certificates",
            found=str(error)[:100],
            fix="put the PEM file there",
        ) from None
