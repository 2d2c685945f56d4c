"""Readings, amounts and shares: integers that add up, gaps that stay unknown, lines on disk that nothing changes."""

from __future__ import annotations

import hashlib
import os
from itertools import pairwise
from pathlib import Path

import pytest
from brakeline.node.meters.kept import Kept
from brakeline.node.meters.processes import CgroupMeter, ProcessTreeMeter, own_cgroup
from brakeline.node.meters.protocol import Counter, Gap, Kind, MeterError, Quantity, Reading, commitment
from brakeline.node.meters.totals import Mean, Rise, Totals, mean_share
from brakeline.treaty.strictjson import parse_object
from hypothesis import given
from hypothesis import strategies as st

NOON = 1_767_225_600_000
ENERGY, BUSY, CPU = Quantity.ENERGY_MJ, Quantity.BUSY_PPM, Quantity.CPU_US


def reading(at_ms: int, *counters: Counter, gaps: tuple[Gap, ...] = ()) -> Reading:
    return Reading("nvml", at_ms, counters, gaps)


def energy(value: int, epoch: str = "") -> Counter:
    return Counter("GPU-1", ENERGY, value, epoch)


def test_a_line_is_canonical_and_holds_every_value_exactly() -> None:
    line = reading(
        NOON,
        Counter("GPU-1", ENERGY, 2**60, "boot 1"),
        Counter("GPU-1", BUSY, 5, over_ms=1_000),
        gaps=(Gap("GPU-1", CPU, "x-y", "a reason that may be worded otherwise tomorrow"),),
    ).line()
    assert line.endswith(b"\n")
    assert parse_object(line[:-1]) == {
        "at": NOON,
        "counters": [
            {"epoch": "boot 1", "of": "GPU-1", "q": "energy-mj", "v": str(2**60)},
            {"of": "GPU-1", "over_ms": 1_000, "q": "busy-ppm", "v": "5"},
        ],
        "gaps": [{"code": "x-y", "of": "GPU-1", "q": "cpu-us"}],
        "meter": "nvml",
    }


def test_every_quantity_says_how_it_is_to_be_understood() -> None:
    kinds = {quantity: quantity.kind for quantity in Quantity}
    assert kinds[ENERGY] is kinds[CPU] is kinds[Quantity.CHIP_MS] is Kind.TOTAL
    assert kinds[BUSY] is kinds[Quantity.TENSOR_PPM] is Kind.SHARE
    assert kinds[Quantity.POWER_MW] is Kind.LEVEL


# totals ---------------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20))
def test_rises_of_a_total_that_never_begins_anew_sum_to_what_it_rose_by(steps: list[int]) -> None:
    totals, value, rises = Totals(), 7, list[Rise]()
    for number, step in enumerate(steps):
        value += step
        rises += totals.take(reading(NOON + number, energy(value)))
    assert all(rise.exact for rise in rises)
    assert sum(rise.amount for rise in rises) == value - 7 - steps[0]
    assert all(a.until_ms == b.since_ms for a, b in pairwise(rises))


@given(st.lists(st.tuples(st.integers(0, 10**6), st.booleans()), min_size=2, max_size=20))
def test_what_is_said_to_have_risen_is_never_more_than_it_did(steps: list[tuple[int, bool]]) -> None:
    """The driver is loaded anew now and then; what it counted just before is lost and is not invented."""
    totals, value, truth, said, boots = Totals(), 0, 0, 0, 0
    totals.take(reading(NOON, energy(value, "boot 0")))
    for number, (step, anew) in enumerate(steps, start=1):
        if anew:
            truth += 1_000  # used after the last reading, and never read
            value, boots = 0, boots + 1
        value += step
        truth += step
        (rise,) = totals.take(reading(NOON + number, energy(value, f"boot {boots}")))
        assert rise.exact is not anew
        said += rise.amount
    assert truth - 1_000 * boots <= said <= truth


def test_a_total_that_is_smaller_has_begun_anew_and_one_of_another_epoch_too() -> None:
    totals = Totals()
    assert totals.take(reading(NOON, energy(500))) == []
    assert totals.take(reading(NOON + 1, energy(40))) == [Rise("GPU-1", ENERGY, NOON, NOON + 1, 40, exact=False)]
    assert totals.take(reading(NOON + 2, energy(90, "boot 2"))) == [
        Rise("GPU-1", ENERGY, NOON + 1, NOON + 2, 90, exact=False)
    ]


def test_a_gap_in_a_total_loses_nothing() -> None:
    totals = Totals()
    totals.take(reading(NOON, energy(500)))
    assert totals.take(reading(NOON + 10, gaps=(Gap("GPU-1", ENERGY, "gone", ""),))) == []
    assert totals.take(reading(NOON + 20, energy(800))) == [Rise("GPU-1", ENERGY, NOON, NOON + 20, 300)]


def test_shares_and_levels_are_no_totals() -> None:
    totals = Totals()
    for number in range(3):
        counters = (Counter("GPU-1", BUSY, 5), Counter("GPU-1", Quantity.POWER_MW, 300_000))
        assert totals.take(reading(NOON + number, *counters)) == []


# shares ---------------------------------------------------------------------------------------------------------------


def busy(value: int, over_ms: int | None) -> Counter:
    return Counter("GPU-1", BUSY, value, over_ms=over_ms)


def test_a_mean_is_of_the_time_that_is_known_and_says_of_how_much() -> None:
    readings = [
        reading(NOON + 1_000, busy(1_000_000, 1_000)),
        reading(NOON + 2_000, gaps=(Gap("GPU-1", BUSY, "gone", ""),)),
        reading(NOON + 4_000, busy(0, 1_000)),
    ]
    assert mean_share(readings, "GPU-1", BUSY, NOON, NOON + 4_000) == Mean(500_000, 2_000, 4_000)
    assert mean_share(readings, "GPU-2", BUSY, NOON, NOON + 4_000) == Mean(None, 0, 4_000)
    assert mean_share([], "GPU-1", BUSY, NOON, NOON + 1) == Mean(None, 0, 1)


def test_a_share_without_an_interval_stands_for_no_longer_than_it_is_let() -> None:
    readings = [reading(NOON + 5_000, busy(100, None)), reading(NOON + 10_000, busy(300, None))]
    assert mean_share(readings, "GPU-1", BUSY, NOON, NOON + 10_000) == Mean(None, 0, 10_000)
    assert mean_share(readings, "GPU-1", BUSY, NOON, NOON + 10_000, hold_ms=1_000) == Mean(200, 2_000, 10_000)
    assert mean_share(readings, "GPU-1", BUSY, NOON, NOON + 10_000, hold_ms=99_000) == Mean(200, 10_000, 10_000)


@given(
    st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 1_000_000), st.integers(0, 4_000)), max_size=15),
    st.integers(0, 20_000),
    st.integers(1, 20_000),
)
def test_a_mean_lies_between_its_shares_and_no_time_counts_twice(
    items: list[tuple[int, int, int]], start: int, length: int
) -> None:
    at, readings = 0, list[Reading]()
    for step, value, over in items:
        at += step
        readings.append(reading(at, busy(value, over)))
    mean = mean_share(readings, "GPU-1", BUSY, start, start + length)
    assert 0 <= mean.known_ms <= mean.of_ms == length
    assert (mean.ppm is None) == (mean.known_ms == 0)
    if mean.ppm is not None:
        values = [value for _, value, _ in items]
        assert min(values) <= mean.ppm <= max(values)


# kept -----------------------------------------------------------------------------------------------------------------


def test_kept_lines_are_those_of_the_span_in_order_and_commit_to_their_bytes(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "raw")
    day = 86_400_000
    instants = [NOON - 1, NOON, NOON + 5, NOON + day, NOON + day + 7]
    for at in instants:
        kept.keep(reading(at, energy(at)))
        kept.keep(Reading("slurm", at, ()))
    lines = [reading(at, energy(at)).line() for at in instants]
    assert list(kept.lines("nvml", NOON, NOON + day + 7)) == lines[1:4]
    assert kept.commitment("nvml", NOON, NOON + day + 7) == hashlib.sha256(b"".join(lines[1:4])).hexdigest()
    assert kept.commitment("nvml", 0, 1) == commitment([])
    again = Kept(tmp_path / "raw")
    assert list(again.lines("nvml", 0, 2**50 // day * day)) != []


def test_a_line_that_a_crash_cut_off_is_dropped_and_the_next_one_is_whole(tmp_path: Path) -> None:
    Kept(tmp_path).keep(reading(NOON, energy(1)))
    (path,) = tmp_path.iterdir()
    with path.open("ab") as file:
        file.write(reading(NOON + 1, energy(2)).line()[:-9])
    assert list(Kept(tmp_path).lines("nvml", NOON, NOON + 10)) == [reading(NOON, energy(1)).line()]
    Kept(tmp_path).keep(reading(NOON + 2, energy(3)))
    found = [reading(NOON, energy(1)).line(), reading(NOON + 2, energy(3)).line()]
    assert list(Kept(tmp_path).lines("nvml", NOON, NOON + 10)) == found
    assert path.stat().st_mode & 0o077 == 0


def test_a_kept_line_that_somebody_changed_is_no_reading(tmp_path: Path) -> None:
    Kept(tmp_path).keep(reading(NOON, energy(1)))
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes().replace(b'"at"', b'"At"'))
    with pytest.raises(MeterError, match="meter-malformed"):
        list(Kept(tmp_path).lines("nvml", NOON, NOON + 10))


# processes ------------------------------------------------------------------------------------------------------------


def test_a_process_tree_is_read_in_microseconds_that_only_grow() -> None:
    meter = ProcessTreeMeter(os.getpid())
    values = []
    for at in range(3):
        (counter,) = meter.read(at).counters
        assert (counter.quantity, counter.source) == (CPU, f"pid {os.getpid()}")
        values.append(counter.value)
        sum(range(200_000))
    assert values == sorted(values)
    assert values[0] > 0
    meter.close()


def test_a_cgroup_of_either_version_is_read_exactly(tmp_path: Path) -> None:
    (tmp_path / "cpu.stat").write_text("usage_usec 123456789\nuser_usec 1\nsystem_usec 2\n")
    meter = CgroupMeter(tmp_path)
    (counter,) = meter.read(NOON).counters
    assert (counter.value, counter.epoch) == (123_456_789, f"inode {tmp_path.stat().st_ino}")
    (tmp_path / "cpu.stat").write_text("nr_periods 0\n")  # version 1 has such a file too
    (tmp_path / "cpuacct.usage").write_text("5000999\n")
    (counter,) = meter.read(NOON).counters
    assert counter.value == 5_000
    for file in tmp_path.iterdir():
        file.unlink()
    tmp_path.rmdir()
    read = meter.read(NOON)
    assert (read.counters, [gap.code for gap in read.gaps]) == ((), ["cgroup-unreadable"])


def test_our_own_cgroup_is_found_in_either_layout(tmp_path: Path) -> None:
    proc, root = tmp_path / "cgroup", tmp_path / "fs"
    two = root / "system.slice" / "node.service"
    two.mkdir(parents=True)
    (two / "cpu.stat").write_text("usage_usec 5\n")
    proc.write_text("0::/system.slice/node.service\n")
    assert own_cgroup(proc, root) == two
    one = root / "cpuacct" / "job"
    one.mkdir(parents=True)
    (one / "cpuacct.usage").write_text("1\n")
    proc.write_text("5:memory:/m\n4:cpu,cpuacct:/job\n0::/elsewhere\n")
    assert own_cgroup(proc, root) == one
    proc.write_text("5:memory:/m\n")
    for missing in (proc, tmp_path / "none"):
        with pytest.raises(MeterError, match="meter-unavailable"):
            own_cgroup(missing, root)
