"""The verifier's own keys in its directory, and the treaty it runs under. Files only; no network, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from brakeline.ledger import keyfile
from brakeline.ledger.ed25519 import Signer
from brakeline.ledger.vkey import VKey
from brakeline.treaty.admission import check_treaty_statement
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.terms import VerifierTerms
from brakeline.verifier.config import TREATY_NAME, Config
from brakeline.verifier.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Terms:
    """The pinned treaty: its statement, its document, and this verifier's lines in it."""

    envelope: Envelope
    document: TreatyDocument
    own: VerifierTerms


@dataclass(frozen=True, slots=True)
class Signers:
    """Who signs the log's checkpoints and who cosigns as a witness."""

    log: Signer
    witness: Signer


def load_terms(directory: Path, config: Config) -> Terms:
    """Read and check the installed treaty against the pin.

    Raises:
        ConfigError: ``config-treaty-missing``, ``config-not-in-treaty``.
        BrakelineError: the codes of admission, when the statement is not the pinned one or not fully signed.
    """
    path = directory / TREATY_NAME
    if not config.pin or not path.exists():
        raise ConfigError(
            code="config-treaty-missing",
            message="no treaty is installed in this directory",
            expected=f"{path} and a pin in verifier.toml",
            found="none",
            fix="run `brakeline verifier init --dir D --treaty treaty.dsse.json --pin DIGEST`",
        )
    return check_terms(path.read_bytes(), config.pin, config.name)


def check_terms(data: bytes, pin: str, name: str) -> Terms:
    """Check the DSSE JSON *data* of a treaty statement against *pin*, for the verifier *name*."""
    envelope = Envelope.from_dsse_json(data)
    _, document = check_treaty_statement(envelope, pin)
    own = document.verifier(name)
    if own is None:
        raise ConfigError(
            code="config-not-in-treaty",
            message="the treaty does not name this verifier",
            expected=", ".join(item.name for item in document.verifiers)[:200],
            found=name,
            fix="check the name in verifier.toml, or have the treaty name this verifier",
        )
    return Terms(envelope, document, own)


def load_signers(directory: Path, config: Config, own: VerifierTerms, passphrase: bytes | None) -> Signers:
    """Read the log and witness keys and compare them with the treaty (``config-key-differs``)."""
    pairs = ((config.keys.log, own.log_key, "log"), (config.keys.witness, own.witness_key, "witness"))
    signers: list[Signer] = []
    for file, named, purpose in pairs:
        signer = keyfile.read_signer(directory / file, passphrase)
        if signer.public_key != named.public_key:
            raise ConfigError(
                code="config-key-differs",
                message=f"the {purpose} key on disk is not the one the treaty names",
                expected=named.keyid,
                found=VKey(named.name, named.type, signer.public_key).keyid,
                fix=f"restore {file} from the backup of the key that the treaty names",
            )
        signers.append(signer)
    return Signers(*signers)
