"""A network of honest verifiers and nodes as processes, with a cable between every two of them that can be cut."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from brakeline.audit.replay import audit_sources
from brakeline.audit.report import AuditReport, LogState
from brakeline.ledger.entry import Entry, Kind
from brakeline.ledger.proof import VerifiedReceipt, verify_receipt
from brakeline.ledger.reader import LogReader
from brakeline.ledger.source import opened
from brakeline.testnet.build import Testnet, build
from brakeline.testnet.plan import LabPlan, Plan, Role
from brakeline.testnet.ports import Ports
from brakeline.testnet.processes import BRAKELINE, Troupe
from brakeline.testnet.stage import now_ms
from brakeline.testnet.terms import PATIENT
from brakeline.treaty.envelope import Envelope

from tests.support.links import LOOPBACK, Links

LABS = (LabPlan(1, Role.IDLE), LabPlan(2, Role.IDLE))
PLAN = Plan(seed=0, labs=LABS, evidence=False, order_period=5)
LONGEST_S = 150.0


@dataclass
class Network:
    """Four honest verifiers and two nodes as processes, with a cable between every two verifiers."""

    net: Testnet
    troupe: Troupe
    links: Links
    offsets: dict[str, int]
    stopped: list[str] = field(default_factory=list[str])

    @property
    def verifiers(self) -> list[str]:
        return [verifier.name for verifier in self.net.document.verifiers]

    @property
    def nodes(self) -> list[str]:
        return [lab.name for lab in LABS]

    def start(self, names: list[str]) -> None:
        """Start processes all at once and wait until each is ready."""
        self.launch(names)
        self.troupe.await_ready(names, 90.0)

    def launch(self, names: list[str]) -> None:
        """Start processes all at once."""
        for name in names:
            if name in self.nodes:
                self.troupe.start(name, [*BRAKELINE, "node", "run", "--dir", str(self.net.lab(name))])
                continue
            folder, offset = str(self.net.verifier(name)), self.offsets[name]
            skewed = [sys.executable, "-m", "brakeline.testnet.skewed", "--offset-ms", str(offset), "--dir", folder]
            self.troupe.start(name, skewed if offset else [*BRAKELINE, "verifier", "serve", "--dir", folder])

    def brakeline(self, *arguments: str) -> tuple[int, bytes]:
        """Run a ``brakeline`` command to its end; return its exit code and what it printed."""
        return self.troupe.run("-".join(arguments[:2]), [*BRAKELINE, *arguments])

    def audit(self) -> AuditReport:
        urls = [verifier.url for verifier in self.net.document.verifiers]
        return audit_sources(urls, self.net.treaty, self.net.pin)

    def until(self, condition: Callable[[AuditReport], bool]) -> AuditReport:
        """Audit until *condition* holds; nobody may ever be accused meanwhile."""
        deadline = time.monotonic() + LONGEST_S
        while True:
            report = self.audit()
            accused = [item.sentence for item in report.findings]
            accused += [log.origin for log in report.logs if log.state is LogState.MISCONDUCT]
            assert accused == []
            if condition(report):
                return report
            assert time.monotonic() < deadline, json.dumps(report.to_json(), indent=1)[:4_000]
            time.sleep(0.5)

    def receipts(self) -> list[VerifiedReceipt]:
        """Return every receipt that the nodes hold, each verified under its log's policy."""
        held: list[VerifiedReceipt] = []
        for lab in LABS:
            for path in sorted((self.net.lab(lab.name) / "receipts").rglob("*.tlog-proof")):
                verifier = self.net.document.verifier(path.parent.name)
                assert verifier is not None
                policy = self.net.document.witness_policy(verifier.origin)
                held.append(verify_receipt(path.read_bytes(), verifier.log_key, policy))
        return held

    def logs(self) -> dict[str, list[Entry]]:
        """Read every log where it is served, verified under its checkpoint."""
        found: dict[str, list[Entry]] = {}
        for verifier in self.net.document.verifiers:
            with opened(verifier.url) as source:
                found[verifier.origin] = list(LogReader(source, verifier.log_key).entries())
        return found

    def until_all_hold(self, receipts: Sequence[VerifiedReceipt]) -> None:
        """Wait until every log holds what *receipts* acknowledge, and the one that gave it has that very entry."""
        deadline = time.monotonic() + LONGEST_S
        while True:
            logs = self.logs()
            for receipt in receipts:
                entry = logs[receipt.checkpoint.origin][receipt.entry.index]
                assert entry == receipt.entry, f"lost: {receipt.entry}"
            held = [
                {Envelope.from_body(e.body).digest for e in log if e.kind is Kind.STATEMENT} for log in logs.values()
            ]
            promised = {Envelope.from_body(receipt.entry.body).digest for receipt in receipts}
            if all(promised <= digests for digests in held):
                return
            assert time.monotonic() < deadline
            time.sleep(0.3)


@contextmanager
def network(root: Path, offsets: dict[int, int] | None = None) -> Iterator[Network]:
    """Build everything; nothing runs yet."""
    with Ports() as ports, Troupe(root / "output") as troupe, Links() as links:
        net = build(root, PLAN, 4, now_ms, ports, lead_ms=1_000, pace=PATIENT)
        for verifier in net.document.verifiers:
            peers = []
            for peer in net.document.verifiers:
                if peer.name != verifier.name:
                    port = links.lay(f"{verifier.name}->{peer.name}", urlsplit(peer.url).port or 0)
                    peers.append(f'"{peer.name}" = "http://127.0.0.1:{port}"\n')
            with (net.verifier(verifier.name) / "verifier.toml").open("a") as config:
                config.write("\n[peers]\n" + "".join(peers))
        for lab in LABS:
            proxies = []
            for verifier in net.document.verifiers:
                port = links.lay(f"{lab.name}->{verifier.name}", int(verifier.grpc.rpartition(":")[2]))
                proxies.append(f'"{verifier.name}" = "{LOOPBACK}:{port}"\n')
            with (net.lab(lab.name) / "node.toml").open("a") as config:
                config.write("\n[verifiers]\n" + "".join(proxies))
        names = [verifier.name for verifier in net.document.verifiers]
        network = Network(net, troupe, links, {name: (offsets or {}).get(n, 0) for n, name in enumerate(names)})
        try:
            yield network
        finally:
            for name in network.stopped:
                troupe[name].process.send_signal(signal.SIGCONT)
            for node in network.nodes:  # they would wait for all verifiers to take their last statements
                with suppress(KeyError):
                    troupe.kill(node)


def sizes(report: AuditReport) -> dict[str, int]:
    """Return log -> size of the logs that reproduce."""
    return {log.origin: log.size for log in report.logs if log.origin and log.state is LogState.REPRODUCED}
