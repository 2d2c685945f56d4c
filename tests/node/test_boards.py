"""Counters of accelerators in the books: both methods beside each other, and what nobody read is unknown, never zero.

On recorded machines: the text of an exporter, and the seam under NVML. No accelerator was at hand.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from brakeline.node import config, raw
from brakeline.node.accelerators import Accelerators
from brakeline.node.amounts import IDLE, ChipBook, Counted
from brakeline.node.boards import counted
from brakeline.node.books import BookedSoFar, Books, SessionSamples, book
from brakeline.node.channel import Hello, Sample
from brakeline.node.config import AcceleratorsPart
from brakeline.node.meters.kept import Kept
from brakeline.node.meters.nvml import NvmlMeter
from brakeline.node.meters.protocol import Counter, Gap, Meter, MeterError, Quantity, Reading, unavailable
from brakeline.node.ops import doctor, top
from brakeline.node.ops.checks import State
from brakeline.node.preview import preview
from brakeline.node.setup import open_site
from brakeline.treaty.quantities import Rational
from brakeline.treaty.statements import Activity, UsageLine
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from tests.node import house
from tests.node.test_meters_nvml import Machine
from tests.node.test_ops import by_name

PEAK, PERIOD = 10**12, 40_000
PAIR = ChipBook("h100", ("a", "b"), PEAK, 700, 70)
EDGES = [0, 10_000, 20_000, 30_000, 40_000]
HOLD = 2_000


def reading(at: int, *, busy: int = 500_000, tensor: int | None = 300_000, mj: int = 400, chips: int = 2) -> Reading:
    """Return a reading of so many boards, each with *mj* millijoules a millisecond on its counter."""
    counters: list[Counter] = []
    gaps: list[Gap] = []
    for chip in (f"GPU-{n}" for n in range(chips)):
        counters += [Counter(chip, Quantity.BUSY_PPM, busy), Counter(chip, Quantity.ENERGY_MJ, 7 + mj * at)]
        if tensor is None:
            gaps.append(Gap(chip, Quantity.TENSOR_PPM, "dcgm-blank", ""))
        else:
            counters.append(Counter(chip, Quantity.TENSOR_PPM, tensor))
    return Reading("dcgm", at, tuple(counters), tuple(gaps))


def every_second(make: Callable[[int], Reading] = reading, until: int = PERIOD) -> list[Reading]:
    return [make(at) for at in range(0, until + 1_000, 1_000)]


def count(readings: list[Reading], chips: int = 2) -> Counted:
    return counted("dcgm", readings, EDGES, chips, hold_ms=HOLD, lines=[item.line() for item in readings])


def session(end: int = PERIOD, flop: int | None = 1, number: int = 0, workload: str = "lm") -> SessionSamples:
    """Return a program that computes from 0 to *end*, its processor as busy as can be, *flop* a millisecond."""
    samples = [
        Sample(n + 1, at, at, workload, Activity.TRAINING, n, None if flop is None else flop * at, n)
        for n, at in enumerate(range(0, end + 1, 500))
    ]
    return SessionSamples(BookedSoFar(f"{number:032x}"), 0, tuple(samples))


def books_of(counted_: Counted, *sessions: SessionSamples, chips: ChipBook = PAIR) -> Books:
    return book(0, PERIOD, sessions, (chips,), secret=bytes(32), counted=counted_)


def lines(books: Books) -> dict[str, UsageLine]:
    return {line.activity.value: line for line in books.lines}


def ms(line: UsageLine) -> int:
    return sum(time.value.value for time in line.chip_ms)


def test_both_methods_stand_in_one_line_and_joules_are_the_boards_own() -> None:
    made = lines(books_of(count(every_second()), session(flop=10**9)))
    training, idle = made["training"], made["idle"]
    assert (ms(training), ms(idle)) == (PERIOD, PERIOD)  # half of two chips' time
    assert training.flop_hardware is not None
    assert training.flop_hardware.value == 2 * PERIOD // 1000 * PEAK * 3 // 10
    assert training.flop_model is not None
    assert training.flop_model.value == PERIOD * 10**9
    assert idle.flop_hardware is None
    assert training.joules is not None
    assert idle.joules is not None
    assert training.joules.value + idle.joules.value == 2 * 400 * PERIOD // 1000
    assert idle.joules.value == ms(idle) * PAIR.idle_watts // 1000
    assert training.meter is not None
    assert training.meter.name == "process-tree/dcgm"


def test_what_no_reading_covers_is_unattributed_and_makes_the_hardware_method_unknown() -> None:
    with_hole = [item for item in every_second() if not 12_000 < item.at_ms < 18_000]
    made = lines(books_of(count(with_hole), session()))
    dark = 2 * (6_000 - HOLD - 1_000)  # each share stands for a while; the rest of the hole nobody knows
    assert ms(made["unattributed"]) == dark
    assert made["unattributed"].flop_hardware is None
    assert made["training"].flop_hardware is None
    assert made["training"].flop_model is not None
    joules = [line.joules for line in made.values() if line.joules is not None]
    assert sum(item.value for item in joules) == 2 * 400 * PERIOD // 1000  # a total spans the hole


def test_without_readings_nothing_is_idle_and_no_figure_is_a_zero() -> None:
    made = lines(books_of(count([]), session()))
    assert set(made) == {"unattributed", "training"}
    assert ms(made["unattributed"]) == 2 * PERIOD
    assert all(line.flop_hardware is None and line.joules is None for line in made.values())


def test_a_declared_chip_that_the_meter_does_not_tell_of_is_unknown() -> None:
    made = lines(books_of(count(every_second(lambda at: reading(at, chips=1))), session()))
    assert ms(made["unattributed"]) == PERIOD
    assert made["training"].flop_hardware is None
    assert made["training"].joules is None


def test_a_counter_of_energy_that_begins_anew_makes_joules_unknown_and_nothing_else() -> None:
    """A driver was loaded again: what it counted before is lost."""
    broken = every_second()
    broken[20:] = [reading(at, mj=0) for at in range(20_000, PERIOD + 1_000, 1_000)]
    made = lines(books_of(count(broken), session()))
    assert all(line.joules is None for line in made.values())
    assert made["training"].flop_hardware is not None


def test_energy_before_the_first_reading_and_after_the_last_is_not_made_up() -> None:
    assert count(every_second()[1:]).energy_mj is None
    assert count(every_second(until=PERIOD - 1_000)).energy_mj is None
    assert count(every_second()).energy_mj == 2 * 400 * PERIOD


def test_boards_without_a_counter_of_tensor_activity_leave_the_declared_utilisation() -> None:
    blind = count(every_second(lambda at: reading(at, tensor=None)))
    assert lines(books_of(blind, session()))["training"].flop_hardware is None
    declared = ChipBook("h100", ("a", "b"), PEAK, 700, 70, Rational(1, 4))
    found = lines(books_of(blind, session(), chips=declared))["training"].flop_hardware
    assert found is not None
    assert found.value == PERIOD * PEAK // 4000
    assert lines(books_of(count([]), session(), chips=declared))["training"].flop_hardware is None


def test_work_that_no_metered_program_did_is_unattributed_with_its_flop() -> None:
    made = lines(books_of(count(every_second())))
    assert set(made) == {"unattributed", "idle"}
    assert ms(made["unattributed"]) == PERIOD
    assert made["unattributed"].flop_hardware is not None
    assert made["unattributed"].flop_hardware.value == 2 * PERIOD // 1000 * PEAK * 3 // 10


def test_tensor_work_beyond_the_busy_share_is_busy_time() -> None:
    """The driver's share of busy time is a sample; tensor cores that worked were busy."""
    made = lines(books_of(count(every_second(lambda at: reading(at, busy=0))), session()))
    assert ms(made["training"]) == 2 * PERIOD * 3 // 10


def test_programs_share_the_boards_by_their_processor_time() -> None:
    made = books_of(count(every_second()), session(), session(PERIOD // 2, number=1, workload="other"))
    shares = {line.workload: ms(line) for line in made.lines}
    assert shares["lm"] == 3 * shares["other"]
    assert sum(shares.values()) == 2 * PERIOD
    assert {b.session: b.busy_ms for b in made.booked} == {f"{0:032x}": PERIOD, f"{1:032x}": PERIOD // 2}


def test_instances_and_processes_of_a_chip_are_no_chips_of_their_own() -> None:
    more = (
        Counter("GPU-0 instance 3", Quantity.BUSY_PPM, 1_000_000),
        Counter("GPU-0 pid 7 started 1", Quantity.BUSY_PPM, 1_000_000, over_ms=9_000),
    )
    readings = [Reading("dcgm", item.at_ms, (*item.counters, *more)) for item in every_second()]
    found = count(readings)
    assert (found.chips, found.busy) == (2, count(every_second()).busy)


def test_energy_of_a_period_in_which_the_node_was_down_is_known_by_what_was_read_around_it(tmp_path: Path) -> None:
    """Two exporters, read in one turn; nothing was read from before the period to long after it."""
    settings_ = AcceleratorsPart.model_validate({"meter": "dcgm", "sources": ["a", "b"], "every_ms": 1000})
    kept, turns = Kept(tmp_path / raw.COUNTERS), (-1_000 + 86_400_000, PERIOD + 600_000 + 86_400_000)
    for at in (*turns, turns[1] + 1_000):
        for chip in ("GPU-0", "GPU-1"):
            kept.keep(Reading("dcgm", at, (Counter(chip, Quantity.ENERGY_MJ, 3 * (at - turns[0])),)))
    edges = [86_400_000 + edge for edge in EDGES]
    found = raw.RawCounters(tmp_path, config.RawPart(), settings_).counted(edges, 2)
    assert found is not None
    assert found.energy_mj == 2 * 3 * PERIOD
    assert sum(found.unknown) == 2 * PERIOD
    assert [Reading.of_line(line).at_ms for line in found.lines] == [turns[0], turns[0], turns[1], turns[1]]


shares = st.integers(0, 1_000_000)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60_000), shares, shares | st.none(), st.integers(0, 3)), max_size=12),
    st.lists(st.integers(0, PERIOD), max_size=3),
    st.integers(2, 4),
)
def test_lines_sum_to_the_inventory_whatever_the_boards_say(
    read: list[tuple[int, int, int | None, int]], ends: list[int], line_count: int
) -> None:
    readings = [reading(at, busy=b, tensor=t, chips=n) for at, b, t, n in sorted(read, key=lambda item: item[0])]
    sessions = tuple(session(end, number=n, workload=f"w{n}") for n, end in enumerate(ends))
    made = book(0, PERIOD, sessions, (PAIR,), secret=bytes(32), line_count=line_count, counted=count(readings))
    assert sum(map(ms, made.lines)) == 2 * PERIOD
    assert len(made.lines) <= line_count
    for line in made.lines:
        if line.flop_hardware is not None and len({n for *_, n in read}) == 1 and read[0][3] <= 2:
            assert line.flop_hardware.value * 1000 <= ms(line) * PEAK


# the node -------------------------------------------------------------------------------------------------------------


def exporter(busy: int = 50, tensor: float = 0.3, chips: int = 2) -> str:
    """Return an exporter's text for boards that stand at one joule."""
    told = ""
    for n in range(chips):
        told += f'DCGM_FI_DEV_GPU_UTIL{{gpu="{n}",UUID="GPU-{n}",Hostname="n1"}} {busy}\n'
        told += f'DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{gpu="{n}",UUID="GPU-{n}",Hostname="n1"}} 1000\n'
        told += f'DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{{gpu="{n}",UUID="GPU-{n}",Hostname="n1"}} {tensor}\n'
    return told


def set_up(tmp_path: Path, start: int, *, more: str = "") -> Path:
    """Make a node whose boards are read from an exporter's text in a file."""
    house.make(tmp_path, house.treaty(start), trustme.CA()).journal.close()
    folder, text = tmp_path / "node", tmp_path / "exporter.txt"
    text.write_text(exporter())
    with (folder / "node.toml").open("a") as file:
        file.write(f'[accelerators]\nmeter = "dcgm"\nsources = [{json.dumps(str(text))}]\nevery_ms = 1000\n{more}')
    return folder


async def first_known(folder: Path) -> tuple[UsageLine, int]:
    """Run the node until a line states measured FLOP and joules; return it and the chips' peak."""
    async with house.serving(folder) as site:

        def known() -> list[UsageLine]:
            found = [line for usage in house.books(site) for line in usage.lines]
            return [line for line in found if line.flop_hardware is not None and line.joules is not None]

        await house.until(known)
        peak = site.document.chip_classes[0].peak_flop_per_s.value
        return known()[0], peak


def test_a_running_node_books_what_its_boards_counted_and_keeps_the_raw_lines(tmp_path: Path) -> None:
    """Without any metered program: the work is unattributed, as it was done, and committed to."""
    folder = set_up(tmp_path, house.now_ms())
    line, peak = asyncio.run(first_known(folder))
    assert line.activity is Activity.UNATTRIBUTED
    assert line.flop_hardware is not None
    assert line.flop_hardware.value == 2 * peak * house.PERIOD_MS * 3 // 10_000
    assert line.meter is not None
    digest = line.meter.digest
    held = {item.digest: item for item in raw.RawCounters(folder, config.RawPart()).held()}
    assert hashlib.sha256(raw.read(held[digest])).hexdigest() == digest
    checks = by_name(doctor.examine(folder, None, house.now_ms, online=False))
    assert checks["boards"].state in (State.OK, State.WARN)  # it is stopped: a while later nothing is read
    assert checks["method-gap"].state is State.OK


def test_a_disagreement_is_told_by_preview_doctor_and_top_before_it_is_a_finding(tmp_path: Path) -> None:
    """The boards worked a little; the program says that it did far more, yet less than the rule forgives."""
    now = house.now_ms()
    start = now - now % house.PERIOD_MS
    folder = set_up(tmp_path, start)
    clock = {"now": start}
    settings_, site = open_site(folder, None, lambda: clock["now"])
    first = site.first_period() or 0
    begin = site.document.grid.start_of(first).value
    kept = Kept(folder / raw.COUNTERS)
    peak = site.document.chip_classes[0].peak_flop_per_s.value
    for at in range(begin - 1_000, begin + 5_000, 500):
        kept.keep(reading(at, tensor=200_000, mj=0))
    samples = [
        Sample(n + 1, begin + n * 100, n * 100, "lm", Activity.TRAINING, n, n * peak // 10, n) for n in range(30)
    ]
    hello = Hello("meter", "a" * 32, "lm", Activity.TRAINING)
    site.journal.open_session(hello, begin)
    site.journal.add_samples(hello.session, samples)
    clock["now"] = begin + 4_000
    site.book_period(first, slots=settings_.books.slots)
    site.journal.close()
    shown = preview(folder, None, lambda: clock["now"])
    (gap,) = shown.gaps
    assert (gap.low, gap.fired) == ("hardware", False)
    check = by_name(doctor.examine(folder, None, lambda: clock["now"], online=False))
    assert check["method-gap"].state is State.WARN
    assert "hardware method is low" in check["method-gap"].found
    assert check["boards"].state is State.OK
    glance = top.look(folder, clock["now"])
    assert [item.low for item in glance.gaps] == ["hardware"]
    console = Console(width=200, record=True)
    console.print(top.draw(glance))
    assert "warning: the methods disagree about training" in console.export_text()


def test_the_doctor_says_when_boards_are_not_read_or_not_as_many_as_declared(tmp_path: Path) -> None:
    now = house.now_ms()
    folder = set_up(tmp_path, now)
    check = by_name(doctor.examine(folder, None, house.now_ms, online=False))["boards"]
    assert check.state is State.WARN
    assert "not read" in check.found
    at = house.now_ms()
    Kept(folder / raw.COUNTERS).keep(reading(at, chips=3, tensor=None))
    check = by_name(doctor.examine(folder, None, lambda: at, online=False))["boards"]
    assert "tells of 3 chips, without tensor-ppm (dcgm-blank); the inventory declares 2 cpu-core" in check.found


def test_a_meter_that_cannot_be_opened_is_tried_again_and_nvml_is_read_through_the_same_door(tmp_path: Path) -> None:
    asyncio.run(opened_late(tmp_path))


async def opened_late(tmp_path: Path) -> None:
    machine, tries = Machine(), list[int]()

    def late() -> Meter:
        tries.append(1)
        if len(tries) == 1:
            raise unavailable("no driver", "none", "wait")
        return NvmlMeter(machine, lambda: machine.seconds)

    clock = iter(range(1_000, 100_000, 1_000))
    boards_ = Accelerators(
        AcceleratorsPart.model_validate({"meter": "nvml", "every_ms": 600_000}), tmp_path, lambda: next(clock), [late]
    )
    await boards_.beyond(1)
    assert list(Kept(tmp_path).lines("nvml", 0, 10**6)) == []
    task = asyncio.create_task(boards_.run())
    await house.until(lambda: len(tries) == 2)
    machine.seconds += 1
    await boards_.beyond(10**9)
    task.cancel()
    await asyncio.wait({task})
    (one, two) = [Reading.of_line(line) for line in Kept(tmp_path).lines("nvml", 0, 10**6)]
    assert one.at_ms < two.at_ms
    tensor = next(item for item in two.counters if item.quantity is Quantity.TENSOR_PPM)
    assert (tensor.value, tensor.over_ms) == (615_000, 1_000)
    await house.until(lambda: machine.closed)


def test_a_reading_that_the_disk_does_not_take_is_none_and_the_node_goes_on(tmp_path: Path) -> None:
    async def scene() -> None:
        text = tmp_path / "exporter.txt"
        text.write_text(exporter())
        settings_ = AcceleratorsPart.model_validate({"meter": "dcgm", "sources": [str(text)]})
        boards_ = Accelerators(settings_, tmp_path / "counters", lambda: 1)
        (tmp_path / "counters" / "dcgm.0.jsonl").mkdir()  # a file cannot be written where a folder is
        await boards_.beyond(1)
        (tmp_path / "counters" / "dcgm.0.jsonl").rmdir()
        await boards_.beyond(2)

    asyncio.run(scene())
    assert len(list(Kept(tmp_path / "counters").lines("dcgm", 0, 10))) == 1


def test_a_kept_line_reads_back_as_it_was() -> None:
    item = Reading(
        "nvml", 5, (Counter("GPU-0", Quantity.ENERGY_MJ, 7, "boot 1"),), (Gap("x", Quantity.CPU_US, "c", ""),)
    )
    assert Reading.of_line(item.line()) == item
    with pytest.raises(MeterError) as caught:
        Reading.of_line(b'{"at":1}\n')
    assert caught.value.code == "meter-malformed"


@pytest.mark.parametrize("part", ['meter = "nvml"\nsources = ["x"]', 'meter = "dcgm"', 'meter = "rocm"'])
def test_a_meter_that_is_not_whole_is_refused_with_its_line(part: str, tmp_path: Path) -> None:
    house.make(tmp_path, house.treaty(house.now_ms()), trustme.CA()).journal.close()
    with (tmp_path / "node" / "node.toml").open("a") as file:
        file.write(f"[accelerators]\n{part}\n")
    with pytest.raises(config.ConfigError) as caught:
        config.load(tmp_path / "node" / "node.toml")
    assert "accelerators" in caught.value.message


def test_idle_is_what_boards_say_is_idle() -> None:
    made = books_of(count(every_second(lambda at: reading(at, busy=0, tensor=0))))
    assert [(line.workload, line.activity) for line in made.lines] == [IDLE]
    (line,) = made.lines
    assert line.joules is not None
    assert line.joules.value == 2 * 400 * PERIOD // 1000
