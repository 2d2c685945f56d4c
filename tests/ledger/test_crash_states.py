"""Every state that a crash can leave on the disk: the log opens again, keeps what it acknowledged, and never forks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.ledger.crash import judge
from tests.ledger.crash.disk import Faults, Tape, recording, scratch_directory
from tests.ledger.crash.states import crash_states
from tests.ledger.crash.workload import Promises, run
from tests.support.counts import count

SEEDS = 4
STATES = count(2_500, 500)
"""States of one seed; with SEEDS of them, 10,000 in CI."""
SOAK_STATES = 25_000
CONTROL_STATES = 300
RECOVERIES = 25
STATES_OF_A_RECOVERY = 20
SESSIONS = (14, 9, 5)
"""Batches between two openings of the log."""


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    with scratch_directory(tmp_path) as directory:
        yield directory


def recorded(
    scratch: Path, seed: int, faults: Faults | None = None, *, careless: bool = False
) -> tuple[Tape, Promises]:
    promises = Promises()
    with recording(faults) as tape:
        run(scratch, promises, tape, Random(seed), sessions=SESSIONS, careless=careless)
    assert not promises.refusals
    assert promises.acknowledged
    return tape, promises


def outcomes(scratch: Path, tape: Tape, promises: Promises, random: Random, states: int) -> Counter[str]:
    """Judge *states* crash states; return how many were sound and what was broken, each with how often."""
    counter: Counter[str] = Counter()
    for instant, image in crash_states(tape, random, states):
        judge.clear(scratch)
        judge.write(image)
        found = judge.problems(scratch, promises.at(instant))
        counter["sound" if not found else f"{found[0]} (instant {instant})"] += 1
    return counter


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_crash_state_loses_an_acknowledged_entry_or_forks(scratch: Path, seed: int) -> None:
    tape, promises = recorded(scratch, seed)
    assert outcomes(scratch, tape, promises, Random(seed), STATES) == {"sound": STATES}


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", range(100, 100 + 2 * SEEDS))
def test_no_crash_state_of_longer_lives_loses_an_acknowledged_entry_or_forks(scratch: Path, seed: int) -> None:
    tape, promises = recorded(scratch, seed)
    assert outcomes(scratch, tape, promises, Random(seed), SOAK_STATES) == {"sound": SOAK_STATES}


def test_no_crash_during_the_recovery_from_a_crash_loses_anything_either(scratch: Path) -> None:
    tape, before = recorded(scratch, 77)
    for instant, image in crash_states(tape, Random(77), RECOVERIES):
        judge.clear(scratch)
        judge.write(image)
        promises = before.at(instant).as_of_old()
        with recording(directory=scratch) as second:
            run(scratch, promises, second, Random(instant), sessions=(2,))
        assert not promises.refusals
        for again, image_again in crash_states(second, Random(instant), STATES_OF_A_RECOVERY):
            judge.clear(scratch)
            judge.write(image_again)
            assert judge.problems(scratch, promises.at(again)) == [], (instant, again)


def test_a_disk_that_lies_about_syncs_is_found_by_the_same_check(scratch: Path) -> None:
    """Control: the recorder's disk acknowledges every sync and keeps nothing of it."""
    tape, promises = recorded(scratch, 0, Faults(lying=True))
    broken = outcomes(scratch, tape, promises, Random(0), CONTROL_STATES)
    assert broken["sound"] < CONTROL_STATES // 2
    assert any(problem.startswith("lost") for problem in broken)
    assert any(problem.startswith("refused: store-behind") for problem in broken)


def test_durability_switched_off_is_found_by_the_same_check(scratch: Path) -> None:
    """Control: the same code over an honest disk with ``synchronous=OFF``."""
    tape, promises = recorded(scratch, 0, careless=True)
    broken = outcomes(scratch, tape, promises, Random(0), CONTROL_STATES)
    assert broken["sound"] < CONTROL_STATES // 2
    assert any(problem.startswith("lost") for problem in broken)
    assert any(problem.startswith("refused: store-behind") for problem in broken)
