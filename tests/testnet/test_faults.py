"""Honest networks in trouble: verifiers and nodes crash, stall, lose each other and disagree about the time, and in the
end nobody is accused of anything and nothing acknowledged is lost.

A round is one process that is killed or stopped while some cables are out of order, and an audit in the middle of it.
Every run plays one seed, CI three; `make soak` plays twenty, and those for longer.
"""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest
from brakeline.audit.report import AuditReport, Exit

from tests.testnet.network import Network, network

CI_SEEDS, SOAK_SEEDS = 3, 20
SOAK_DEALS = 3
FAULTS = ("kill", "kill", "kill-node", "stall")
CABLES = ("halves", "one-way", "lab", "none")
SKEW_MS = 900
"""Every clock is off by at most so much; the treaty lets two honest clocks be 2000 ms apart."""

pytestmark = pytest.mark.timeout(400)


def out_of_order(trial: Network, kind: str, rng: random.Random) -> list[str]:
    """Return the cables that fail together."""
    half = rng.sample(trial.verifiers, 2)
    other = [name for name in trial.verifiers if name not in half]
    there = [f"{a}->{b}" for a in half for b in other]
    if kind == "halves":
        return there + [f"{b}->{a}" for a in half for b in other]
    if kind == "one-way":
        return there
    return [f"{rng.choice(trial.nodes)}->{name}" for name in half] if kind == "lab" else []


def trouble(trial: Network, fault: str, cables: str, rng: random.Random) -> None:
    """One round: at most one verifier is down at a time, as the treaty's f allows; cables as many as come."""
    torn = out_of_order(trial, cables, rng)
    fail = rng.choice([trial.links.cut, trial.links.freeze])
    for cable in torn:
        fail(cable)
    name = rng.choice(trial.nodes if fault == "kill-node" else trial.verifiers)
    if fault == "stall":
        trial.stopped.append(name)
        trial.troupe[name].process.send_signal(signal.SIGSTOP)
    else:
        trial.troupe.kill(name)
    time.sleep(rng.uniform(0.0, 1.0))  # how long a fault lasts is drawn, as the fault is
    if fault == "stall":
        trial.troupe[name].process.send_signal(signal.SIGCONT)
        trial.stopped.remove(name)
    else:
        trial.troupe.restart(name)
    trial.until(lambda report: True)
    for cable in torn:
        trial.links.mend(cable)
    trial.troupe.await_ready([name], 90.0)


def play(root: Path, seed: int, deals: int) -> None:
    """Play every fault and every kind of torn cable *deals* times, in an order and combination drawn from *seed*."""
    rng = random.Random(seed)
    with network(root, {n: rng.randint(-SKEW_MS, SKEW_MS) for n in range(4)}) as trial:
        trial.start([*trial.verifiers, *trial.nodes])
        trial.until(lambda report: all(log.entries.get("statement", 0) >= 4 for log in report.logs))
        for _ in range(deals):
            pairs = zip(rng.sample(FAULTS, len(FAULTS)), rng.sample(CABLES, len(CABLES)), strict=True)
            for fault, cables in pairs:
                trouble(trial, fault, cables, rng)
        receipts = trial.receipts()
        assert {receipt.checkpoint.origin for receipt in receipts} == set(trial.verifiers)

        def well(report: AuditReport) -> bool:
            return report.exit in (Exit.REPRODUCED, Exit.OPEN) and all(
                log.entries.get("statement", 0) >= 8 for log in report.logs
            )

        trial.until(well)
        trial.until_all_hold(receipts)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.sample) for seed in range(1, CI_SEEDS))])
def test_an_honest_network_in_trouble_accuses_nobody(tmp_path: Path, seed: int) -> None:
    play(tmp_path, seed, 1)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(CI_SEEDS, SOAK_SEEDS))
def test_more_honest_networks_in_trouble_accuse_nobody(tmp_path: Path, seed: int) -> None:
    play(tmp_path, seed, SOAK_DEALS)
