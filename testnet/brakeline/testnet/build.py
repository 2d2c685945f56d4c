"""Make everything a testnet needs on disk: keys, certificates, the treaty with every signature, a folder per process.

    OUT/treaty.toml  treaty.dsse.json  pin        the terms, signed, and their digest
    OUT/keys/                                     the parties' keys and the labs' root keys (no passphrase: a demo)
    OUT/verifiers/<name>/                         `brakeline verifier serve --dir`
    OUT/labs/<name>/                              `brakeline node run --dir`
    OUT/meter/                                    `python -m brakeline.testnet.meter --dir`

What a treaty's parties would do on many machines by hand happens here in one process; the same library code does it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from brakeline.ledger import keyfile
from brakeline.ledger.ed25519 import Signer
from brakeline.ledger.vkey import TYPE_STATEMENT, VKey
from brakeline.node.setup import Plan as NodePlan
from brakeline.node.setup import make_node
from brakeline.testnet import terms
from brakeline.testnet.ca import ThrowawayCA
from brakeline.testnet.plan import Plan
from brakeline.testnet.ports import LOOPBACK, Ports
from brakeline.treaty.document import TreatyDocument, load_toml
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.signing import add_signature
from brakeline.treaty.statements import encode_statement
from brakeline.verifier.setup import install_treaty, make_directory

PARTIES = ("party-a.example", "party-b.example")
METER = "meter.example"
LEAD_MS = 14_000
"""From building to period 0, unless the caller knows better: time for a dozen processes to start on two cores."""

METER_SETTINGS = "meter.json"


@dataclass(frozen=True)
class Testnet:
    """What was built, by path and name."""

    __test__: ClassVar[bool] = False  # pytest would take a class of this name for tests
    out: Path
    document: TreatyDocument
    pin: str

    @property
    def treaty(self) -> Path:
        """The signed treaty."""
        return self.out / "treaty.dsse.json"

    @property
    def toml(self) -> Path:
        """The treaty as negotiators edit it."""
        return self.out / "treaty.toml"

    @property
    def keys(self) -> Path:
        """The folder of the parties' and lab roots' keys (``<name>.pem``)."""
        return self.out / "keys"

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


def build(
    out: Path,
    plan: Plan,
    verifiers: int,
    now_ms: Callable[[], int],
    ports: Ports,
    *,
    lead_ms: int = LEAD_MS,
    pace: terms.Pace = terms.BRISK,
) -> Testnet:
    """Build a testnet for *plan* with *verifiers* verifiers in the folder *out*; period 0 begins *lead_ms* after now.

    The servers' ports are taken from *ports* and stay reserved until the caller closes it.
    """
    builder, document = _with_verifiers(out, plan, verifiers, now_ms, ports, lead_ms, pace)
    builder.make_nodes(document)
    builder.make_meter(document)
    builder.issue(PARTIES[0], out / "keys" / PARTIES[0] / "tls")
    return Testnet(out, document, document.digest)


def build_verifiers(
    out: Path,
    plan: Plan,
    verifiers: int,
    now_ms: Callable[[], int],
    ports: Ports,
    *,
    lead_ms: int,
    pace: terms.Pace,
) -> Testnet:
    """Build treaty, verifiers and the labs' TLS files, but no lab's node: somebody else makes it."""
    builder, document = _with_verifiers(out, plan, verifiers, now_ms, ports, lead_ms, pace)
    for lab in plan.labs:
        builder.issue(lab.name, out / "tls")
    return Testnet(out, document, document.digest)


def _with_verifiers(
    out: Path, plan: Plan, verifiers: int, now_ms: Callable[[], int], ports: Ports, lead_ms: int, pace: terms.Pace
) -> tuple[_Builder, TreatyDocument]:
    """Make keys and the signed treaty, and the verifiers' folders with it."""
    builder = _Builder(out, plan, now_ms)
    builder.make_keys(verifiers)
    addresses = builder.make_verifiers(_hosts(verifiers), ports)
    document = builder.make_treaty(addresses, now_ms() + lead_ms, pace)
    for address in addresses:
        install_treaty(out / "verifiers" / address.name, builder.signed, document.digest)
    return builder, document


class _Builder:
    """Gathers every key on the way, since every key that a treaty names signs it."""

    def __init__(self, out: Path, plan: Plan, now_ms: Callable[[], int]) -> None:
        self._out, self._plan, self._now_ms = out, plan, now_ms
        ca = ThrowawayCA(datetime.fromtimestamp(now_ms() / 1000, UTC))
        self.issue = ca.issue
        self._signers: list[Signer] = []
        self._keys: dict[str, str] = {}
        self._roots: dict[str, Signer] = {}
        self._inspectors: list[str] = []
        self.signed = b""

    def make_keys(self, verifiers: int) -> None:
        """Make the statement keys of parties, labs and third parties."""
        keys = self._out / "keys"
        for name in PARTIES:
            self._key(name, keys)
        for lab in self._plan.labs:
            self._roots[lab.name] = self._key(lab.name, keys)
        self._key(METER, self._out / "meter")
        self._inspectors = _hosts(verifiers)[len(PARTIES) :]
        for name in self._inspectors:
            self._key(name, keys)

    def make_verifiers(self, hosts: Sequence[str], ports: Ports) -> list[terms.VerifierAddress]:
        """Make a folder for each verifier; return what the treaty says of it."""
        found: list[terms.VerifierAddress] = []
        for host in hosts:
            name = f"verifier.{host}"
            folder = self._out / "verifiers" / name
            http, rpc = ports.take(2)
            url, grpc = f"http://{LOOPBACK}:{http}", f"{LOOPBACK}:{rpc}"
            table = make_directory(folder, name, url=url, grpc=grpc, party=host, passphrase=None)
            self.issue(name, folder / "tls", "server")
            keys = dict(re.findall(r'^(\w+_key) = "(.*)"$', table, re.MULTILINE))
            found.append(terms.VerifierAddress(name, host, keys["log_key"], keys["witness_key"], url, grpc))
            for purpose in ("log", "witness"):
                self._signers.append(keyfile.read_signer(folder / "keys" / f"{purpose}.pem", None))
        return found

    def make_treaty(
        self, verifiers: Sequence[terms.VerifierAddress], start_ms: int, pace: terms.Pace
    ) -> TreatyDocument:
        """Write the treaty as TOML, as signed envelope, and its pin."""
        cast = terms.Cast(
            parties=[(name, self._keys[name]) for name in PARTIES],
            labs=[(lab.name, lab.name.partition(".")[2], self._keys[lab.name]) for lab in self._plan.labs],
            third_parties=[
                (METER, "meter", self._keys[METER]),
                *((name, "inspector", self._keys[name]) for name in self._inspectors),
            ],
            verifiers=verifiers,
        )
        text = terms.render(cast, start_ms, pace)
        document = load_toml(text).require()
        self.signed = _sign(document, self._signers).to_dsse_json()
        (self._out / "treaty.toml").write_text(text, encoding="utf-8")
        (self._out / "treaty.dsse.json").write_bytes(self.signed)
        (self._out / "pin").write_text(document.digest + "\n", encoding="ascii")
        return document

    def make_nodes(self, document: TreatyDocument) -> None:
        """Make every lab's node: enrolment and inventory signed, nothing sent."""
        chips = ((terms.CHIP_CLASS, terms.CHIPS),)
        for lab in self._plan.labs:
            tls = self._out / "keys" / lab.name / "tls"
            self.issue(lab.name, tls)
            folder = self._out / "labs" / lab.name
            node = NodePlan(
                lab.site, chips, {}, tls, effective_period=0, guard=self._out / "guards" / f"{lab.name}.json"
            )
            root = self._roots[lab.name]
            site = make_node(folder, node, self.signed, document.digest, root, passphrase=None, now_ms=self._now_ms)
            site.journal.close()

    def make_meter(self, document: TreatyDocument) -> None:
        """Make the metering third party's folder: which sites, how many chips, where the terms are."""
        folder = self._out / "meter"
        self.issue(METER, folder / "tls")
        (folder / "treaty.dsse.json").write_bytes(self.signed)
        sites = {lab.site: terms.CHIPS for lab in self._plan.labs}
        value = {"name": METER, "pin": document.digest, "chip_class": terms.CHIP_CLASS, "sites": sites}
        (folder / METER_SETTINGS).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")

    def _key(self, name: str, folder: Path) -> Signer:
        folder.mkdir(parents=True, exist_ok=True)
        signer = keyfile.write_key(folder / f"{name}.pem", keyfile.generate(), None)
        vkey = VKey(name, TYPE_STATEMENT, signer.public_key)
        keyfile.write_vkey(folder / f"{name}.pem", vkey)
        self._signers.append(signer)
        self._keys[name] = str(vkey)
        return signer


def _hosts(verifiers: int) -> list[str]:
    """Who runs the verifiers: each party one, and as many institutes as it takes, so that no hand holds two."""
    institutes = [f"institute-{i}.example" for i in range(1, verifiers - len(PARTIES) + 1)]
    return [*PARTIES, *institutes][:verifiers]


def _sign(document: TreatyDocument, signers: Sequence[Signer]) -> Envelope:
    payload = encode_statement(document)
    envelope: Envelope | None = None
    for signer in signers:
        envelope = add_signature(payload, envelope, signer)
    if envelope is None:
        raise ValueError("a treaty is signed by somebody")
    return envelope
