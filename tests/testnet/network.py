"""A network of honest verifiers and nodes as processes, with a cable between every two of them that can be cut."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from brakeline.audit.replay import audit_sources
from brakeline.audit.report import AuditReport, LogState
from brakeline.ledger.proof import verify_receipt
from brakeline.testnet.build import Testnet, build
from brakeline.testnet.plan import LabPlan, Plan, Role
from brakeline.testnet.ports import Ports
from brakeline.testnet.processes import BRAKELINE, Troupe
from brakeline.testnet.stage import now_ms
from brakeline.testnet.terms import PATIENT

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
        for name in names:
            if name in self.nodes:
                self.troupe.start(name, [*BRAKELINE, "node", "run", "--dir", str(self.net.lab(name))])
                continue
            folder = str(self.net.verifier(name))
            module = ["-m", "brakeline.testnet.skewed", "--dir", folder, "--offset-ms", str(self.offsets[name])]
            self.troupe.start(name, [sys.executable, *module])
        self.troupe.await_ready(names, 90.0)

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

    def receipts(self) -> dict[str, set[str]]:
        """Return log -> digests of statements for which the nodes hold its receipt, each verified."""
        held: dict[str, set[str]] = {name: set() for name in self.verifiers}
        for lab in LABS:
            for path in (self.net.lab(lab.name) / "receipts").rglob("*.tlog-proof"):
                verifier = self.net.document.verifier(path.parent.name)
                assert verifier is not None
                policy = self.net.document.witness_policy(verifier.origin)
                verify_receipt(path.read_bytes(), verifier.log_key, policy)
                held[verifier.name].add(path.stem.rpartition("-")[2])
        return held


@contextmanager
def network(root: Path, offsets: dict[int, int] | None = None) -> Iterator[Network]:
    """Build everything; nothing runs yet."""
    with Ports() as ports, Troupe(root / "output") as troupe, Links() as links:
        net = build(root, PLAN, 4, now_ms, ports, lead_ms=8_000, pace=PATIENT)
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


def sizes(report: AuditReport) -> dict[str, int]:
    """Return log -> size of the logs that reproduce."""
    return {log.origin: log.size for log in report.logs if log.origin and log.state is LogState.REPRODUCED}
