"""Make everything a testnet needs on disk: keys, certificates, the treaty with every signature, a folder per process.

    OUT/treaty.toml  treaty.dsse.json  pin        the terms, signed, and their digest
    OUT/keys/                                     the parties' keys and the labs' root keys (no passphrase: a demo)
    OUT/verifiers/<name>/                         `brakeline verifier serve --dir`
    OUT/labs/<name>/                              `brakeline node run --dir`
    OUT/meter/                                    the metering third party

What a treaty's parties would do on many machines by hand happens here in one process; the same library code does it.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from brakeline.ledger import keyfile
from brakeline.ledger.ed25519 import Signer
from brakeline.ledger.vkey import TYPE_STATEMENT, VKey
from brakeline.node.setup import Plan as NodePlan
from brakeline.node.setup import make_node
from brakeline.testnet import terms
from brakeline.testnet.ca import ThrowawayCA
from brakeline.testnet.plan import Plan
from brakeline.treaty.document import TreatyDocument, load_toml
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.signing import add_signature
from brakeline.treaty.statements import encode_statement
from brakeline.verifier.setup import install_treaty, make_directory

PARTIES = ("party-a.example", "party-b.example")
METER = "meter.example"
LEAD_MS = 14_000
"""From building to period 0: time for a dozen processes to start on two cores."""


@dataclass(frozen=True)
class Testnet:
    """What was built, by path and name."""

    out: Path
    document: TreatyDocument
    pin: str
    party_signers: Sequence[Signer]

    @property
    def treaty(self) -> Path:
        """The signed treaty."""
        return self.out / "treaty.dsse.json"

    @property
    def toml(self) -> Path:
        """The treaty as negotiators edit it."""
        return self.out / "treaty.toml"

    @property
    def tls(self) -> Path:
        """TLS files of party a, which submits the order."""
        return self.out / "keys" / PARTIES[0] / "tls"

    def verifier(self, name: str) -> Path:
        """Return a verifier's folder."""
        return self.out / "verifiers" / name

    def lab(self, name: str) -> Path:
        """Return the folder of a lab's node."""
        return self.out / "labs" / name

    @property
    def meter(self) -> Path:
        """The folder of the metering third party."""
        return self.out / "meter"


def build(out: Path, plan: Plan, verifiers: int, now_ms: Callable[[], int]) -> Testnet:
    """Build a testnet for *plan* with *verifiers* verifiers in the empty folder *out*."""
    ca = ThrowawayCA(datetime.fromtimestamp(now_ms() / 1000, UTC))
    signers: list[Signer] = []

    def key(name: str, folder: Path) -> tuple[str, Signer]:
        folder.mkdir(parents=True, exist_ok=True)
        signer = keyfile.write_key(folder / f"{name}.pem", keyfile.generate(), None)
        vkey = VKey(name, TYPE_STATEMENT, signer.public_key)
        keyfile.write_vkey(folder / f"{name}.pem", vkey)
        signers.append(signer)
        return str(vkey), signer

    keys = out / "keys"
    parties = [(name, *key(name, keys)) for name in PARTIES]
    labs = [(lab, *key(lab.name, keys)) for lab in plan.labs]
    third_parties = [(METER, "meter", key(METER, out / "meter")[0])]
    third_parties += [(name, "inspector", key(name, keys)[0]) for name in _hosts(verifiers)[len(PARTIES) :]]
    addresses = _verifiers(out, verifiers, ca, signers)
    cast = terms.Cast(
        parties=[(name, text) for name, text, _ in parties],
        labs=[(lab.name, lab.name.partition(".")[2], text) for lab, text, _ in labs],
        third_parties=third_parties,
        verifiers=addresses,
    )
    text = terms.render(cast, now_ms() + LEAD_MS)
    (out / "treaty.toml").write_text(text, encoding="utf-8")
    document = load_toml(text).require()
    data = _sign(document, signers).to_dsse_json()
    (out / "treaty.dsse.json").write_bytes(data)
    (out / "pin").write_text(document.digest + "\n", encoding="ascii")
    for address in addresses:
        install_treaty(out / "verifiers" / address.name, data, document.digest)
    for lab, _, root in labs:
        ca.issue(lab.name, keys / lab.name / "tls")
        node = NodePlan(lab.site, ((terms.CHIP_CLASS, terms.CHIPS),), {}, keys / lab.name / "tls", effective_period=0)
        site = make_node(out / "labs" / lab.name, node, data, document.digest, root, passphrase=None, now_ms=now_ms)
        site.journal.close()
    ca.issue(METER, out / "meter" / "tls")
    ca.issue(PARTIES[0], keys / PARTIES[0] / "tls")
    return Testnet(out, document, document.digest, [signer for _, _, signer in parties])


def _hosts(verifiers: int) -> list[str]:
    """Who runs the verifiers: each party one, and as many institutes as it takes, so that no hand holds two."""
    institutes = [f"institute-{i}.example" for i in range(1, verifiers - len(PARTIES) + 1)]
    return [*PARTIES, *institutes][:verifiers]


def _verifiers(out: Path, count: int, ca: ThrowawayCA, signers: list[Signer]) -> list[terms.VerifierAddress]:
    ports = free_ports(2 * count)
    found: list[terms.VerifierAddress] = []
    for i, host in enumerate(_hosts(count)):
        name = f"verifier.{host}"
        folder = out / "verifiers" / name
        url, grpc = f"http://127.0.0.1:{ports[2 * i]}", f"127.0.0.1:{ports[2 * i + 1]}"
        table = make_directory(folder, name, url=url, grpc=grpc, party=host, passphrase=None)
        ca.issue(name, folder / "tls", stem="server")
        keys = dict(re.findall(r'^(\w+_key) = "(.*)"$', table, re.MULTILINE))
        found.append(terms.VerifierAddress(name, host, keys["log_key"], keys["witness_key"], url, grpc))
        signers += [keyfile.read_signer(folder / "keys" / f"{purpose}.pem", None) for purpose in ("log", "witness")]
    return found


def _sign(document: TreatyDocument, signers: Sequence[Signer]) -> Envelope:
    payload = encode_statement(document)
    envelope: Envelope | None = None
    for signer in signers:
        envelope = add_signature(payload, envelope, signer)
    if envelope is None:
        raise ValueError("a treaty is signed by somebody")
    return envelope


def free_ports(count: int) -> list[int]:
    """Return *count* loopback ports that are free now; held open together, so that they differ."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [int(item.getsockname()[1]) for item in sockets]
