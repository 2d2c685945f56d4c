"""Honest networks in trouble: verifiers and nodes crash, stall, lose each other and disagree about the time, and in the
end nobody is accused of anything and nothing acknowledged is lost. Cold starts of all verifiers at once come up.

CI plays three seeds; `make soak` plays twenty.
"""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest
from brakeline.audit.report import AuditReport, Exit

from tests.testnet.network import Network, network, sizes

CI_SEEDS, SOAK_SEEDS = 3, 20
FAULTS = 8
SKEW_MS = 900
"""Every clock is off by at most so much; the treaty lets two honest clocks be 2000 ms apart."""

pytestmark = pytest.mark.timeout(400)


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
