"""A throw-away certificate authority for a treaty on one machine.

gRPC's TLS cannot use Ed25519 certificates, so these are ECDSA P-256. Every certificate names one party by a DNS SAN
(``lab-1.party-a.example``), which is the identity a verifier checks for every RPC; servers also bear ``localhost`` and
127.0.0.1. The CA's private key is never written: it is gone when :class:`ThrowawayCA` is.

Not for production: a treaty's parties run their own authorities (docs/verifiers.md).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = timedelta(days=30)
"""How long certificates hold: long enough to come back to a kept testnet, too short to be mistaken for a real one."""


@dataclass(frozen=True)
class Identity:
    """Paths of one party's PEM files: its certificate, its private key, and the CA that vouches for the others."""

    certificate: Path
    key: Path
    ca: Path


class ThrowawayCA:
    """A CA that lives as long as this object; times are passed in."""

    def __init__(self, now: datetime) -> None:
        """Make the CA's key and self-signed certificate, valid from an hour before *now* (an aware datetime)."""
        self._now = now
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "brakeline throw-away testnet CA")])
        self._certificate = (
            self._builder(name, name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(ca=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def issue(self, name: str, directory: Path, stem: str = "tls") -> Identity:
        """Write ``<stem>.pem``, ``<stem>.key`` (mode 0600) and ``ca.pem`` for the party *name* into *directory*."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
        alternative = x509.SubjectAlternativeName(
            [x509.DNSName(name), x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        certificate = (
            self._builder(subject, self._certificate.subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(ca=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(alternative, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        directory.mkdir(parents=True, exist_ok=True)
        identity = Identity(directory / f"{stem}.pem", directory / f"{stem}.key", directory / "ca.pem")
        identity.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        identity.ca.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        identity.key.touch(mode=0o600)
        identity.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return identity

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - timedelta(hours=1))
            .not_valid_after(self._now + LIFETIME)
        )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
