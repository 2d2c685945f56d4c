"""Honest networks in trouble: verifiers and nodes crash, stall, lose each other and disagree about the time, and in the
end nobody is accused of anything and nothing acknowledged is lost. Cold starts of all verifiers at once come up.

CI plays three seeds; `make soak` plays twenty.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from brakeline.audit.replay import audit_sources
from brakeline.audit.report import AuditReport, Exit, LogState
from brakeline.ledger.proof import verify_receipt
from brakeline.testnet.build import Testnet, build
from brakeline.testnet.plan import LabPlan, Plan, Role
from brakeline.testnet.ports import Ports
from brakeline.testnet.processes import BRAKELINE, Troupe
from brakeline.testnet.stage import now_ms
from brakeline.testnet.terms import PATIENT

from tests.support.links import Links

LABS = (LabPlan(1, Role.IDLE), LabPlan(2, Role.IDLE))
PLAN = Plan(seed=0, labs=LABS, evidence=False, order_period=5)
CI_SEEDS, SOAK_SEEDS = 3, 20
FAULTS = 8
SKEW_MS = 900
"""Every clock is off by at most so much; the treaty lets two honest clocks be 2000 ms apart."""
LONGEST_S = 150.0

pytestmark = pytest.mark.timeout(400)


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
        names = [verifier.name for verifier in net.document.verifiers]
        network = Network(net, troupe, links, {name: (offsets or {}).get(n, 0) for n, name in enumerate(names)})
        try:
            yield network
        finally:
            for name in network.stopped:
                troupe[name].process.send_signal(signal.SIGCONT)


def trouble(network: Network, rng: random.Random) -> None:
    """One fault, drawn: at most one verifier is down at a time, as the treaty's f allows; cables as many as come."""
    kind = rng.choice(["kill", "kill", "partition", "partition", "stall", "kill-node"])
    if kind == "kill":
        name = rng.choice(network.verifiers)
        network.troupe.kill(name)
        time.sleep(rng.uniform(0.0, 1.0))
        network.troupe.restart(name)
        network.troupe.await_ready([name], 90.0)
    elif kind == "kill-node":
        name = rng.choice(network.nodes)
        network.troupe.kill(name)
        network.troupe.restart(name)
        network.troupe.await_ready([name], 90.0)
    elif kind == "stall":
        name = rng.choice(network.verifiers)
        network.stopped.append(name)
        network.troupe[name].process.send_signal(signal.SIGSTOP)
        time.sleep(rng.uniform(0.5, 2.0))
        network.troupe[name].process.send_signal(signal.SIGCONT)
        network.stopped.remove(name)
    else:
        half = set(rng.sample(network.verifiers, 2))
        one_way = rng.random() < 0.3
        torn = [
            f"{a}->{b}"
            for a in network.verifiers
            for b in network.verifiers
            if (a in half and b not in half) or (not one_way and a not in half and b in half)
        ]
        for name in torn:
            network.links.cut(name)
        time.sleep(rng.uniform(1.0, 3.0))
        for name in torn:
            network.links.mend(name)


def play(root: Path, seed: int) -> None:
    rng = random.Random(seed)
    with network(root, {n: rng.randint(-SKEW_MS, SKEW_MS) for n in range(4)}) as trial:
        trial.start([*trial.verifiers, *trial.nodes])
        for _ in range(FAULTS):
            trouble(trial, rng)
            trial.until(lambda report: True)
        first = trial.receipts()

        def well(report: AuditReport) -> bool:
            return report.exit is Exit.REPRODUCED and all(log.entries.get("statement", 0) >= 8 for log in report.logs)

        report = trial.until(well)
        counts = {log.origin: log.entries["statement"] for log in report.logs}
        assert sum(len(digests) for digests in first.values()) > 0
        held = trial.receipts()
        for name, digests in first.items():
            assert digests <= held[name]
            assert counts[name] >= len(digests)


@pytest.mark.parametrize("seed", range(CI_SEEDS))
def test_an_honest_network_in_trouble_accuses_nobody(tmp_path: Path, seed: int) -> None:
    play(tmp_path, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(CI_SEEDS, SOAK_SEEDS))
def test_more_honest_networks_in_trouble_accuse_nobody(tmp_path: Path, seed: int) -> None:
    play(tmp_path, seed)


def test_a_cold_start_of_all_verifiers_at_once_comes_up_also_with_one_dead(tmp_path: Path) -> None:
    with network(tmp_path) as trial:
        trial.start([*trial.verifiers, *trial.nodes])
        before = sizes(trial.until(lambda report: report.exit is Exit.REPRODUCED and min(sizes(report).values()) > 8))
        for dead in ([], trial.verifiers[1:2]):
            for name in trial.verifiers:
                if trial.troupe[name].process.poll() is None:
                    trial.troupe.kill(name)
            living = [name for name in trial.verifiers if name not in dead]
            trial.start(living)

            def grown(report: AuditReport, living: list[str] = living, before: dict[str, int] = before) -> bool:
                now = sizes(report)
                return all(now.get(name, 0) > before[name] + 2 for name in living)

            before = {**before, **sizes(trial.until(grown))}


def sizes(report: AuditReport) -> dict[str, int]:
    return {log.origin: log.size for log in report.logs if log.origin and log.state is LogState.REPRODUCED}
