"""The verifier's own keys in its directory, and the treaty it runs under. Files only; no network, no clock."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brakeline.ledger import keyfile
from brakeline.ledger.ed25519 import Signer
from brakeline.ledger.vkey import VKey
from brakeline.treaty.admission import Admitted, Register, admit, check_treaty_statement
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.statements import parse_statement
from brakeline.treaty.terms import VerifierTerms
from brakeline.verifier.config import AMENDMENTS, TREATY_NAME, Config
from brakeline.verifier.errors import ConfigError
from brakeline.verifier.vault import read_key
from nacl.public import PrivateKey


@dataclass(frozen=True, slots=True)
class Terms:
    """The pinned treaty: its statement, its document, and this verifier's lines in it.

    Attributes:
        envelope, document: version 1, which every log begins with.
        own: this verifier's lines, in the first version that has them.
        amendments: the statements of the later versions that are installed, in order of version.
    """

    envelope: Envelope
    document: TreatyDocument
    own: VerifierTerms
    amendments: tuple[Envelope, ...] = ()

    @property
    def versions(self) -> tuple[TreatyDocument, ...]:
        """The later versions that are installed."""
        return tuple(_document_of(envelope) for envelope in self.amendments)


@dataclass(frozen=True, slots=True)
class Signers:
    """Who signs the log's checkpoints, who cosigns as a witness, what opens disclosures (None: nobody discloses)."""

    log: Signer
    witness: Signer
    disclosure: PrivateKey | None = None


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
    later = [item.read_bytes() for item in sorted(directory.glob(AMENDMENTS))]
    return check_terms(path.read_bytes(), config.pin, config.name, later)


def check_terms(data: bytes, pin: str, name: str, later: Sequence[bytes] = ()) -> Terms:
    """Check the DSSE JSON *data* of version 1 and of *later* versions against *pin*, for the verifier *name*.

    The pin is that of any of them: each version names the digest of the one before, so one pin holds all before it, and
    those after it are held by the signatures that admission asks for.
    """
    envelope = Envelope.from_dsse_json(data)
    amendments = sorted(map(Envelope.from_dsse_json, later), key=lambda item: _document_of(item).version)
    chained = any(_document_of(item).digest == pin for item in amendments)
    _, document = check_treaty_statement(envelope, _document_of(envelope).digest if chained else pin)
    register = Register(document)
    for index, item in enumerate(amendments):
        outcome = admit(register, item, now_ms=0)
        if not isinstance(outcome, Admitted):
            raise ConfigError(
                code=outcome.code,
                message=outcome.message,
                expected=outcome.expected,
                found=outcome.found,
                fix=outcome.fix,
            )
        register.record(outcome.statement, index)
    own = next((found for item in (document, *register.amendments()) if (found := item.verifier(name))), None)
    if own is None:
        raise ConfigError(
            code="config-not-in-treaty",
            message="the treaty does not name this verifier",
            expected=", ".join(item.name for item in document.verifiers)[:200],
            found=name,
            fix="check the name in verifier.toml, or have the treaty name this verifier",
        )
    return Terms(envelope, document, own, tuple(amendments))


def _document_of(envelope: Envelope) -> TreatyDocument:
    document = parse_statement(envelope.payload).predicate
    if not isinstance(document, TreatyDocument):
        raise ConfigError(
            code="config-not-a-treaty",
            message="this file is not a version of a treaty",
            expected="a signed amendment",
            found=type(document).__name__.lower(),
        )
    return document


def keep_amendment(directory: Path, envelope: Envelope) -> Path:
    """Write an amendment beside the treaty, where the next start reads it; return the file."""
    document = _document_of(envelope)
    path = directory / AMENDMENTS.replace("*", f"{document.version:04}-{document.digest[:16]}")
    if not path.exists():
        replace_file(path, envelope.to_dsse_json())
    return path


def replace_file(path: Path, data: bytes) -> None:
    """Replace a file whole: a crash leaves the old one or the new one."""
    beside = path.with_suffix(path.suffix + ".new")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


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
    return Signers(signers[0], signers[1], _read_disclosure(directory / config.keys.disclosure, own, passphrase))


def _read_disclosure(path: Path, own: VerifierTerms, passphrase: bytes | None) -> PrivateKey | None:
    if own.disclosure_key is None:
        return None
    key = read_key(path, passphrase)
    public = base64.b64encode(bytes(key.public_key)).decode("ascii")
    if public != own.disclosure_key:
        raise ConfigError(
            code="config-key-differs",
            message="the disclosure key on disk is not the one the treaty names",
            expected=own.disclosure_key,
            found=public,
            fix=f"restore {path.name} from the backup of the key that the treaty names",
        )
    return key
