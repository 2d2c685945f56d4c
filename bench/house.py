"""A treaty with one verifier and eight labs on this machine, and that verifier as a process of its own.

One verifier is what the figure is about: its witness quorum is its own witness, and no peer competes for the cores.
Everything else is as in production: the verifier's defaults, full sync, mutual TLS, every rule in force.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from brakeline.ledger import keyfile
from brakeline.ledger.ed25519 import Signer
from brakeline.testnet import terms
from brakeline.testnet.ca import Identity, ThrowawayCA
from brakeline.treaty.document import TreatyDocument, load_toml
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.signing import add_signature
from brakeline.treaty.statements import encode_statement
from brakeline.verifier.setup import install_treaty, make_directory

from bench.payloads import signer, statement_key

PARTIES = ("party-a.example", "party-b.example")
METER = "meter.example"
LABS = tuple(f"lab-{i}.party-{'ab'[i % 2]}.example" for i in range(8))
VERIFIER = "verifier.party-a.example"
COMMAND = (sys.executable, "-c", "from brakeline.cli import main; main()")
DAYS = 20
"""How far back period 0 lies: far enough for every period that is booked to be over."""

REPORT = "report_ms = 8_640_000_000"


@dataclass(frozen=True)
class House:
    """What was made: the verifier's folder, the treaty, and a certificate for each lab."""

    folder: Path
    document: TreatyDocument
    certificates: Mapping[str, Identity]

    @property
    def verifier(self) -> Path:
        """The verifier's folder."""
        return self.folder / "verifier"

    @property
    def treaty(self) -> Path:
        """The signed treaty."""
        return self.folder / "treaty.dsse.json"

    def export(self, out: Path) -> Path:
        """Write the verifier's log as a static directory, as an auditor would get it; return *out*."""
        command = [*COMMAND, "ledger", "export", "--dir", str(self.verifier), "--out", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return out


def build(folder: Path) -> House:
    """Make keys, certificates, the signed treaty and the verifier's folder below *folder*."""
    now = time.time_ns() // 1_000_000
    ca = ThrowawayCA(datetime.fromtimestamp(now / 1000, UTC))
    directory = folder / "verifier"
    table = make_directory(
        directory, VERIFIER, url="http://127.0.0.1:0", grpc="127.0.0.1:0", party=PARTIES[0], passphrase=None
    )
    ca.issue(VERIFIER, directory / "tls", stem="server")
    keys = dict(re.findall(r'^(\w+_key) = "(.*)"$', table, re.MULTILINE))
    document = _document(keys["log_key"], keys["witness_key"], now - DAYS * 86_400_000)
    signers = [signer(name) for name in (*PARTIES, *LABS, METER)]
    signers += [keyfile.read_signer(directory / "keys" / f"{name}.pem", None) for name in ("log", "witness")]
    data = sign_treaty(document, signers).to_dsse_json()
    (folder / "treaty.dsse.json").write_bytes(data)
    install_treaty(directory, data, document.digest)
    with (directory / "verifier.toml").open("a") as file:
        file.write('[listen]\ngrpc = "127.0.0.1:0"\nhttp = "127.0.0.1:0"\n')
    return House(folder, document, {lab: ca.issue(lab, folder / "tls" / lab) for lab in LABS})


@contextmanager
def serving(house: House) -> Iterator[dict[str, str]]:
    """Run the verifier until the block ends; the value is its ready line."""
    with (house.folder / "verifier.log").open("ab") as errors:
        command = [*COMMAND, "verifier", "serve", "--dir", str(house.verifier), "--log-level", "warning"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError((house.folder / "verifier.log").read_text("utf-8")[-2_000:])
        yield json.loads(line)["ready"]
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def _document(log_key: str, witness_key: str, start_ms: int) -> TreatyDocument:
    cast = terms.Cast(
        parties=[(name, str(statement_key(name))) for name in PARTIES],
        labs=[(lab, lab.partition(".")[2], str(statement_key(lab))) for lab in LABS],
        third_parties=[(METER, "meter", str(statement_key(METER)))],
        verifiers=[
            terms.VerifierAddress(VERIFIER, PARTIES[0], log_key, witness_key, "http://127.0.0.1:1", "127.0.0.1:1")
        ],
    )
    return load_toml(far_terms(terms.render(cast, start_ms))).require()


def far_terms(text: str) -> str:
    """Return the testnet's terms with a line that nobody passes and a deadline that is far: accounting is measured, and
    not the writing of findings.
    """
    for pattern, new in ((r'^flop = ".*"', f'flop = "1{"0" * 30}"'), (r"^report_ms = [0-9_]+", REPORT)):
        text, count = re.subn(pattern, new, text, flags=re.MULTILINE)
        if not count:
            raise RuntimeError(f"the testnet's terms have changed: nothing like {pattern!r} to replace")
    return text


def sign_treaty(document: TreatyDocument, signers: Sequence[Signer]) -> Envelope:
    """Return the treaty statement, signed by *signers*."""
    payload = encode_statement(document)
    envelope: Envelope | None = None
    for key in signers:
        envelope = add_signature(payload, envelope, key)
    assert envelope is not None
    return envelope
