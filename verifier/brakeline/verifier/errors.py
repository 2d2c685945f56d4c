"""What can go wrong at a verifier, as one root error with stable codes.

Two families are kept apart. A :class:`VerifierError` is the operator's: a wrong file, a port, a log that must not be
signed. A :class:`CallError` is the caller's: it crosses gRPC as a ``google.rpc.Status`` and never stops the server.
"""

from __future__ import annotations

from enum import Enum

from brakeline.ledger.errors import BrakelineError


class VerifierError(BrakelineError):
    """The verifier cannot do what its operator asked.

    Codes ``config-*``, ``tls-*``, ``boot-*``, ``recover-*``, ``listen-*``, ``witness-store``.
    """


class ConfigError(VerifierError):
    """A mistake in ``verifier.toml`` or in the directory around it (codes ``config-*``)."""


class TlsError(VerifierError):
    """A certificate or key file that cannot serve (codes ``tls-*``)."""


class BootError(VerifierError):
    """The log must not be signed as it is found at boot (codes ``boot-*``)."""


class Status(Enum):
    """How a :class:`CallError` crosses gRPC. Values are the names of gRPC status codes."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    UNAVAILABLE = "UNAVAILABLE"
    NOT_FOUND = "NOT_FOUND"


class CallError(BrakelineError):
    """A call is answered with an error; ``retry_after_ms`` above 0 becomes ``google.rpc.RetryInfo``."""

    def __init__(
        self,
        status: Status,
        *,
        code: str,
        message: str,
        expected: str = "",
        found: str = "",
        fix: str = "",
        retry_after_ms: int = 0,
    ) -> None:
        """Describe the error; the arguments after *status* are those of every error of this project."""
        super().__init__(code=code, message=message, expected=expected, found=found, fix=fix)
        self.status = status
        self.retry_after_ms = retry_after_ms
