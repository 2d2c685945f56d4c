"""The demo's treaty: free of mistakes for any cast, its quorums the smallest that hold."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from brakeline.testnet import terms
from brakeline.testnet.build import Testnet, build
from brakeline.testnet.plan import draw
from brakeline.testnet.ports import Ports
from brakeline.treaty.document import load_toml

NOW = 1_767_225_600_000


def made(out: Path, verifiers: int, pace: terms.Pace = terms.BRISK) -> Testnet:
    plan = draw(seed=1, labs=3, cheats=1, evidence=True)
    with Ports() as ports:
        return build(out, plan, verifiers, lambda: NOW, ports, lead_ms=9_000, pace=pace)


@pytest.mark.parametrize("verifiers", [1, 2, 4, 7])
def test_the_treaty_loads_without_a_mistake_for_any_number_of_verifiers(verifiers: int, tmp_path: Path) -> None:
    net = made(tmp_path, verifiers)
    document = load_toml(net.toml.read_text("utf-8")).require()
    assert document.digest == net.pin
    assert len(document.verifiers) == verifiers
    assert document.grid.start_of(0).value == NOW + 9_000
    assert len({verifier.party for verifier in document.verifiers}) == verifiers, "no hand holds two verifiers"


@pytest.mark.parametrize("verifiers", range(1, 12))
def test_quorums_are_the_smallest_that_hold(verifiers: int) -> None:
    quorum = terms.quorums(2, verifiers)
    f, n, w, k1, k2 = quorum["liars"], verifiers, quorum["witnesses"], quorum["receipts"], quorum["audit"]
    assert n >= 3 * f + 1
    assert n < 3 * (f + 1) + 1
    assert 2 * w > n + f >= 2 * (w - 1)
    assert k1 + k2 > n + f
    assert w <= n - f, "the honest alone must suffice"
    assert quorum["orders"] == quorum["amendments"] == 2


@pytest.mark.parametrize("pace", [terms.BRISK, terms.PATIENT])
def test_deadlines_leave_a_busy_machine_room(pace: terms.Pace, tmp_path: Path) -> None:
    times = made(tmp_path, 4, pace).document.deadlines
    assert times.report_ms.value == pace.report
    assert times.report_ms.value >= 4 * terms.PERIOD_MS
    assert times.report_ms.value > times.heartbeat_ms.value + 2 * times.checkpoint_ms.value
    assert times.acknowledge_ms.value >= 5 * terms.PERIOD_MS


def test_energy_limits_separate_hidden_training_from_an_honest_delay(tmp_path: Path) -> None:
    """A period's training that is booked one period late stays below h; half a core in secret passes it in two."""
    document = made(tmp_path, 4).document
    rule, chip = document.rule("energy-gap"), document.chip_class(terms.CHIP_CLASS)
    assert rule is not None
    assert chip is not None
    k, h = rule.integer("k_joules"), rule.integer("h_joules")
    extra = chip.board_watts - chip.idle_watts
    late = extra * 0.3 * terms.PERIOD_MS / 1000
    assert late - k < h
    hidden = itertools.accumulate(extra * 0.5 * terms.PERIOD_MS / 1000 - k for _ in range(2))
    assert max(hidden) > h
