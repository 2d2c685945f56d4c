"""Client credentials from files, and channels to verifiers.

The certificate bears the lab's name as DNS SAN (that is who a verifier sees), ECDSA P-256 because gRPC's TLS cannot
use Ed25519. The server must show a certificate with the verifier's name as DNS SAN, issued by a CA in ``ca.pem``: the
name is checked whatever address the treaty gives. TLS only guards the transport; what a verifier says is checked by
signatures all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.terms import VerifierTerms

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 3_000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.enable_http_proxy", 0),
)
"""512 receipts of 65 KB each bound what is received; proxies in the environment are not for this traffic."""


class TlsError(BrakelineError):
    """The TLS files cannot be used (code ``tls-file``)."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: our certificate chain and key, and the CAs that vouch for verifiers."""

    certificate: Path
    key: Path
    ca: Path

    @classmethod
    def within(cls, folder: Path) -> TlsFiles:
        """Return the files of a folder that holds ``tls.pem``, ``tls.key`` and ``ca.pem``."""
        return cls(folder / "tls.pem", folder / "tls.key", folder / "ca.pem")

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files.

        Raises:
            TlsError: ``tls-file``.
        """
        return grpc.ssl_channel_credentials(read_pem(self.ca), read_pem(self.key), read_pem(self.certificate))


def open_channel(
    verifier: VerifierTerms,
    credentials: grpc.ChannelCredentials,
    address: str | None = None,
    *,
    proxy: str | None = None,
) -> grpc.aio.Channel:
    """Return a channel to *verifier* (at *address*, where it differs from the treaty's); connects when it is used.

    *proxy*: ``http://host:port`` of a proxy that is asked to CONNECT; it sees addresses and sizes, and no content.
    """
    options: dict[str, int | str] = {**dict(OPTIONS), "grpc.ssl_target_name_override": verifier.name}
    if proxy is not None:
        options |= {"grpc.enable_http_proxy": 1, "grpc.http_proxy": proxy}
    return grpc.aio.secure_channel(address or verifier.grpc, credentials, options=list(options.items()))


def read_pem(path: Path) -> bytes:
    """Return the bytes of one of the TLS files (TlsError ``tls-file``)."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsError(
            code="tls-file",
            message="a TLS file cannot be read",
            expected="a PEM file",
            found=f"{path}: {error.strerror}",
            fix="put tls.pem, tls.key and ca.pem into the folder that [tls] in node.toml names",
        ) from None
