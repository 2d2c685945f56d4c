"""Making a verifier's directory and installing the treaty in it: what ``brakeline verifier init`` does."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path

from brakeline.ledger import keyfile
from brakeline.ledger.vkey import TYPE_LOG, TYPE_WITNESS, VKey
from brakeline.treaty.names import NameKind, check_name
from brakeline.verifier.config import CONFIG_NAME, TREATY_NAME, Keys, load_config
from brakeline.verifier.errors import ConfigError
from brakeline.verifier.keys import check_terms, keep_amendment, replace_file
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)


def make_directory(directory: Path, name: str, *, url: str, grpc: str, party: str, passphrase: bytes | None) -> str:
    """Make keys and ``verifier.toml``; return the TOML table for the treaty.

    Raises:
        ConfigError: ``config-exists``; NameError_: ``name-malformed``.
    """
    check_name(name, NameKind.VERIFIER)
    if (directory / CONFIG_NAME).exists():
        raise ConfigError(
            code="config-exists",
            message="this directory holds a verifier already; its keys are never overwritten",
            expected="a new directory",
            found=str(directory / CONFIG_NAME),
            fix="choose another --dir",
        )
    files = Keys()
    (directory / "keys").mkdir(parents=True, exist_ok=True, mode=0o700)
    log_key = _make_key(directory / files.log, name, TYPE_LOG, passphrase)
    witness_key = _make_key(directory / files.witness, f"{name}/witness", TYPE_WITNESS, passphrase)
    disclosure = _make_disclosure(directory / files.disclosure, passphrase)
    (directory / CONFIG_NAME).write_text(_toml([("name", name), ("pin", "")]), "utf-8")
    table = [
        ("name", name),
        ("party", party or "PARTY"),
        ("log_key", str(log_key)),
        ("witness_key", str(witness_key)),
        ("disclosure_key", disclosure),
        ("url", url),
        ("grpc", grpc),
    ]
    return "[[verifier]]\n" + _toml(table).rstrip("\n")


def install_treaty(directory: Path, data: bytes, pin: str, later: Sequence[bytes] = ()) -> str:
    """Check the treaty statement *data* and *later* versions against *pin* and install all; return the pin."""
    config = load_config(directory)
    terms = check_terms(data, pin, config.name, later)
    for envelope in terms.amendments:
        keep_amendment(directory, envelope)
    replace_file(directory / TREATY_NAME, data)
    path = directory / CONFIG_NAME
    lines = path.read_text("utf-8").splitlines()
    kept = [line for line in lines if line.partition("=")[0].strip() != "pin"]
    at = next((i for i, line in enumerate(kept) if line.startswith("[")), len(kept))
    kept.insert(at, f"pin = {json.dumps(pin)}")
    replace_file(path, ("\n".join(kept) + "\n").encode())
    return pin


def _make_key(path: Path, name: str, kind: int, passphrase: bytes | None) -> VKey:
    signer = keyfile.write_key(path, keyfile.generate(), passphrase)
    vkey = VKey(name, kind, signer.public_key)
    keyfile.write_vkey(path, vkey)
    return vkey


def _make_disclosure(path: Path, passphrase: bytes | None) -> str:
    key = X25519PrivateKey.generate()
    lock = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    keyfile.write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
    return base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def _toml(pairs: list[tuple[str, str]]) -> str:
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in pairs)
