"""``verifier.toml``: where a verifier listens, which files it reads, how much it lets one caller do.

What it is not: terms. Deadlines, quorums, keys of others and addresses of peers come from the treaty document; a number
here only protects this machine. Relative paths are relative to the directory of the file.

    name = "verifier.party-a.example"
    pin = "5f3c..."                    # digest of the treaty; written by `brakeline verifier init --treaty`

    [listen]                           # default: host and port of this verifier's `grpc` and `url` in the treaty
    grpc = "127.0.0.1:7443"
    http = "127.0.0.1:7480"

    [tls]
    certificate = "tls/server.pem"     # PEM chain, ECDSA P-256 (gRPC cannot use Ed25519 certificates)
    key = "tls/server.key"
    client_ca = "tls/ca.pem"           # who may connect at all; re-read when it changes

    [peers]                            # only where an address differs from the treaty's
    "verifier.party-b.example" = "http://10.0.0.2:7480"
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

from brakeline.verifier.errors import ConfigError
from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError

CONFIG_NAME = "verifier.toml"
TREATY_NAME = "treaty.dsse.json"
AMENDMENTS = "amendment-*.dsse.json"
"""Later versions of the treaty, beside it; a running verifier writes those that its log takes."""

Positive = Annotated[int, Field(strict=True, ge=1, le=86_400_000)]
Address = Annotated[StrictStr, Field(pattern=r"^[^\s/]+:[0-9]{1,5}$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Listen(_Section):
    """Addresses to bind, ``host:port``; port 0 takes a free one, which the ready line then names."""

    grpc: Address | None = None
    http: Address | None = None


class Tls(_Section):
    """PEM files of the gRPC server."""

    certificate: StrictStr = "tls/server.pem"
    key: StrictStr = "tls/server.key"
    client_ca: StrictStr = "tls/ca.pem"


class Keys(_Section):
    """Key files (encrypted or plain PKCS#8 PEM), made by ``brakeline verifier init``."""

    log: StrictStr = "keys/log.pem"
    witness: StrictStr = "keys/witness.pem"
    disclosure: StrictStr = "keys/disclosure.pem"


class Limits(_Section):
    """What protects this machine. Times in milliseconds; counts per certificate identity unless said otherwise."""

    calls: Positive = 16
    """Unary calls in flight."""
    streams: Positive = 4
    """Open ``Watch`` streams."""
    call_ms: Positive = 20_000
    """Longest a unary call may take, whatever deadline the client sets."""
    receipt_wait_ms: Positive = 4_000
    """How long a batch waits for a quorum-cosigned checkpoint before its items are answered ``pending``."""
    gather_ms: Positive = 15
    """How long the writer gathers further batches into one commit."""
    commit_items: Positive = 4_096
    """Statements in one commit, all callers together."""
    cosign_timeout_ms: Positive = 2_000
    """Longest wait for one witness."""
    cosign_grace_ms: Positive = 100
    """After the quorum is met, how long a checkpoint waits for the witnesses that answered last time."""
    poll_ms: Positive = 500
    """Between two looks at a peer's checkpoint."""
    keepalive_ms: Positive = 20_000
    """Between two pings on an idle connection."""
    connection_age_ms: Positive = 600_000
    """A connection is ended after this long, so that no connection outlives a changed CA for long."""
    drain_ms: Positive = 3_000
    """How long calls in flight may finish after SIGTERM."""


class Config(_Section):
    """The whole file."""

    name: StrictStr
    pin: Annotated[StrictStr, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    listen: Listen = Listen()
    tls: Tls = Tls()
    keys: Keys = Keys()
    limits: Limits = Limits()
    peers: dict[str, StrictStr] = {}


def load_config(directory: Path) -> Config:
    """Read ``verifier.toml`` of a verifier's directory.

    Raises:
        ConfigError: ``config-missing``, ``config-malformed``.
    """
    path = directory / CONFIG_NAME
    try:
        value = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            code="config-missing",
            message="this directory holds no verifier",
            expected=str(path),
            found="no such file",
            fix="run `brakeline verifier init --dir D --name NAME`",
        ) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            code="config-malformed", message=f"{path} is not TOML", expected="TOML 1.0", found=str(error), fix="edit it"
        ) from None
    try:
        return Config.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigError(
            code="config-malformed",
            message=f"a mistake in {path}, at {'.'.join(str(part) for part in first['loc'])}",
            expected=first["msg"],
            found=repr(first.get("input"))[:80],
            fix="see the commented example in brakeline.verifier.config",
        ) from None


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of ``host:port``.

    Raises:
        ConfigError: ``config-address``.

    >>> split_address("127.0.0.1:7443")
    ('127.0.0.1', 7443)
    """
    host, _, port = address.rpartition(":")
    if host and port.isascii() and port.isdigit() and int(port) < 65_536:
        return host, int(port)
    raise ConfigError(
        code="config-address",
        message="this is not an address to listen on",
        expected="host:port",
        found=repr(address)[:80],
        fix="set listen.grpc and listen.http in verifier.toml, or the verifier's url and grpc in the treaty",
    )
