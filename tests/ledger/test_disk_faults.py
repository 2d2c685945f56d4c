"""A disk that fails, fills up, or belongs to a process that dies: what is acknowledged holds, whatever comes after.

Every fault is tried at every place where it can strike. After each, the log goes on (asked again by the same process,
or by the next one), and then the power fails: the crash states after the fault are judged like those of a sound disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

import pytest

from tests.ledger.crash import judge
from tests.ledger.crash.disk import Fault, Faults, Sync, Tape, recording, scratch_directory
from tests.ledger.crash.states import crash_states
from tests.ledger.crash.workload import Promises, run

SEED = 5
DOCUMENTED = judge.REFUSALS | {"store-disk-full"}
STATES = 6
"""Crash states after each fault."""


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    with scratch_directory(tmp_path) as directory:
        yield directory


def recorded(
    scratch: Path, faults: Faults, *, sessions: Sequence[int] = (4, 2), retry: bool = False
) -> tuple[Tape, Promises]:
    """Run a small log with *faults*; every refusal has a documented code."""
    judge.clear(scratch)
    promises = Promises()
    with recording(faults) as tape:
        run(scratch, promises, tape, Random(SEED), sessions=sessions, retry=retry)
    assert {error.code for error in promises.refusals} <= DOCUMENTED
    return tape, promises


def check(scratch: Path, tape: Tape, promises: Promises, seed: int, *, after: int = 0) -> None:
    """Judge the log as the kernel has it now, and as power cuts after the instant *after* leave it."""
    assert judge.problems(scratch, promises) == [], seed
    for instant, image in crash_states(tape, Random(seed), STATES, after=after):
        judge.clear(scratch)
        judge.write(image)
        assert judge.problems(scratch, promises.at(instant)) == [], (seed, instant)


def once(number: int, fault: Fault) -> Callable[[int], Fault]:
    """Fail the call with this number, and no other."""
    return lambda count: fault if count == number else ""


def ever_after(number: int, fault: Fault) -> Callable[[int], Fault]:
    """Fail the call with this number, and every later one."""
    return lambda count: fault if count >= number else ""


@pytest.fixture
def calm(scratch: Path) -> Tape:
    """The tape of the same run without faults: how many syncs, writes and operations there are to strike."""
    tape, promises = recorded(scratch, Faults())
    assert not promises.refusals
    return tape


def test_a_process_killed_anywhere_and_started_again_survives_a_power_cut(scratch: Path, calm: Tape) -> None:
    for at in range(len(calm)):
        tape, promises = recorded(scratch, Faults(kill_at=at), sessions=(4, 1))
        check(scratch, tape, promises, at, after=at)


def test_one_failed_sync_anywhere_acknowledges_nothing_that_a_power_cut_then_takes(scratch: Path, calm: Tape) -> None:
    for at in range(calm.syncs):
        faults = Faults(on_sync=once(at, "io"))
        tape, promises = recorded(scratch, faults, retry=True)
        check(scratch, tape, promises, at, after=failed_sync(tape))


def test_a_disk_that_never_syncs_again_acknowledges_nothing_more(scratch: Path, calm: Tape) -> None:
    for at in range(calm.syncs):
        faults = Faults(on_sync=ever_after(at, "io"))
        tape, promises = recorded(scratch, faults, retry=True)
        assert promises.refusals
        check(scratch, tape, promises, at, after=failed_sync(tape))


def test_a_process_that_dies_of_a_failed_sync_is_followed_by_one_that_keeps_every_promise(
    scratch: Path, calm: Tape
) -> None:
    for at in range(calm.syncs):
        faults = Faults(on_sync=once(at, "io"), dies_of_sync=True)
        tape, promises = recorded(scratch, faults, sessions=(4, 1))
        check(scratch, tape, promises, at, after=failed_sync(tape))


def failed_sync(tape: Tape) -> int:
    """Return the instant of the first failed sync; the end when there is none."""
    failed = (n for n, item in enumerate(tape.operations) if isinstance(item, Sync) and not item.ok)
    return next(failed, len(tape))


@pytest.mark.parametrize("fault", ["full", "short", "io"])
def test_one_write_that_finds_the_disk_full_or_fails_acknowledges_nothing_false(
    scratch: Path, calm: Tape, fault: Fault
) -> None:
    for at in range(calm.writes):
        tape, promises = recorded(scratch, Faults(on_write=once(at, fault)), retry=True)
        check(scratch, tape, promises, at)


def test_a_disk_that_stays_full_acknowledges_nothing_and_goes_on_when_there_is_room(scratch: Path, calm: Tape) -> None:
    for at in range(calm.writes):
        tape, promises = recorded(scratch, Faults(on_write=ever_after(at, "full")))
        assert {error.code for error in promises.refusals} <= {"store-disk-full", "store-io"}
        check(scratch, tape, promises, at)


def test_a_bit_flipped_on_its_way_to_the_disk_is_found_by_the_read_back_or_by_the_next_reader(
    scratch: Path, calm: Tape
) -> None:
    """Nothing is lost or forked unseen: the log holds what it promised, or refuses to open."""
    found: Counter[str] = Counter()
    for at in range(calm.writes):
        _, promises = recorded(scratch, Faults(on_bytes=flip(at, Random(at))), retry=True)
        found.update(error.code for error in promises.refusals)
        problems = judge.problems(scratch, promises)
        assert not problems or problems[0].startswith("refused: "), (at, problems)
    assert found["store-corrupt"]


def flip(number: int, random: Random) -> Callable[[int, bytes], bytes]:
    """Return what flips one bit of the write with this number."""

    def flipped(count: int, data: bytes) -> bytes:
        if count != number:
            return data
        bit = random.randrange(8 * len(data))
        return data[: bit // 8] + bytes((data[bit // 8] ^ 1 << bit % 8,)) + data[bit // 8 + 1 :]

    return flipped
