"""Books: lines always sum to inventory x period, by class; nothing that a counter counted is lost or booked twice."""

from __future__ import annotations

from brakeline.node.amounts import ChipBook
from brakeline.node.books import RESOLUTION_MS, BookedSoFar, Books, Curve, SessionSamples, book, since
from brakeline.node.channel import Sample
from brakeline.treaty.quantities import Joules, Rational
from brakeline.treaty.spotcheck.table import read_row, table_of
from brakeline.treaty.statements import Activity
from hypothesis import given, settings
from hypothesis import strategies as st

CORES = ChipBook("cpu-core", ("a", "b"), 10**11, 100, 10)
OTHERS = ChipBook("h100", ("x", "y", "z"), 10**15, 700, 70)
PERIOD = 4_000
SECRET = bytes(32)
LABELS = [("lm", Activity.TRAINING), ("chat", Activity.INFERENCE), ("lm", Activity.OTHER), ("x", Activity.UNATTRIBUTED)]


@st.composite
def recordings(draw: st.DrawFn, periods: int = 3) -> list[list[Sample]]:
    """Some sessions' samples over a few periods: counters that grow by anything, at uneven times."""
    sessions: list[list[Sample]] = []
    for _ in range(draw(st.integers(0, 4))):
        at, busy, flop = draw(st.integers(0, PERIOD * periods)), 0, 0
        samples: list[Sample] = []
        for n in range(1, draw(st.integers(0, 12)) + 1):
            workload, activity = draw(st.sampled_from(LABELS))
            samples.append(Sample(n, at, busy, workload, activity, n, flop, n))
            at += draw(st.integers(0, 3_000))
            busy += draw(st.integers(0, 5_000))
            flop += draw(st.integers(0, 10**13))
        sessions.append(samples)
    return sessions


def book_(start: int, end: int, sessions: tuple[SessionSamples, ...], chips: tuple[ChipBook, ...], n: int = 8) -> Books:
    return book(start, end, sessions, chips, secret=SECRET, line_count=n)


def run(
    sessions: list[list[Sample]], periods: int, chips: tuple[ChipBook, ...], line_count: int = 8
) -> tuple[list[list[tuple[str, int, int]]], list[BookedSoFar]]:
    """Book period after period; check each against its inventory and its table."""
    booked = [BookedSoFar(f"{i:032x}") for i in range(len(sessions))]
    found: list[list[tuple[str, int, int]]] = []
    for period in range(periods):
        given_ = tuple(SessionSamples(b, s[0].at if s else 0, tuple(s)) for b, s in zip(booked, sessions, strict=True))
        books = book_(period * PERIOD, (period + 1) * PERIOD, given_, chips, line_count)
        booked = list(books.booked)
        assert len(books.lines) <= line_count
        for group in chips:
            placed = sum(
                t.value.value for line in books.lines for t in line.chip_ms if t.chip_class == group.chip_class
            )
            assert placed == len(group.serials) * PERIOD
        rows = [read_row(row) for row in books.rows]
        for line in books.lines:
            mine = [
                (row.chip_class, part)
                for row in rows
                for part in row.parts
                if (part.workload, part.activity) == (line.workload, line.activity)
            ]
            for t in line.chip_ms:
                assert sum(part.ms.value for name, part in mine if name == t.chip_class) == t.value.value
            if mine:  # a line without chip time has no rows
                stated = [figure.value for figure in (line.flop_hardware, line.flop_model) if figure is not None]
                assert {part.flop is None for _, part in mine} == {not stated}
                assert sum(part.flop.value for _, part in mine if part.flop) == max(stated, default=0)
                assert sum(part.joules.value for _, part in mine if part.joules) == (line.joules or Joules(0)).value
        serials = [serial for group in chips for serial in group.serials]
        assert [(row.slot, row.chip) for row in rows] == [(slot, serial) for slot in range(4) for serial in serials]
        assert len({row.salt for row in rows}) == len(rows)
        assert books.table == table_of(books.rows)
        found.append(
            [
                (x.activity, sum(t.value.value for t in x.chip_ms), x.flop_model.value if x.flop_model else 0)
                for x in books.lines
            ]
        )
    return found, booked


@settings(max_examples=60, deadline=None)
@given(recordings(), st.sampled_from([(CORES,), (CORES, OTHERS)]), st.integers(3, 8))
def test_lines_sum_to_inventory_times_period_by_class(
    sessions: list[list[Sample]], chips: tuple[ChipBook, ...], line_count: int
) -> None:
    run(sessions, 3, chips, line_count)


@settings(max_examples=60, deadline=None)
@given(recordings())
def test_every_flop_is_booked_once_and_chip_time_is_never_invented(sessions: list[list[Sample]]) -> None:
    found, booked = run(sessions, 60, (CORES,))
    assert sum(flop for lines in found for _, _, flop in lines) == sum(s[-1].flop or 0 for s in sessions if s)
    for samples, so_far in zip(sessions, booked, strict=True):
        if samples:
            assert samples[-1].busy_ms <= so_far.busy_ms <= samples[-1].busy_ms + RESOLUTION_MS


def test_a_period_boundary_between_two_samples_divides_what_they_count() -> None:
    curve = Curve(0, [(1_000, 0), (2_000, 300), (2_000, 300), (3_001, 500)])
    assert [curve.at(t) for t in (0, 999, 1_000, 1_500, 1_999, 2_000, 2_500, 3_001, 9_000)] == [
        0,
        0,
        0,
        150,
        299,
        300,
        399,
        500,
        500,
    ]


def test_counters_that_arrive_late_are_booked_in_the_next_period() -> None:
    first = [Sample(1, 0, 0, "lm", Activity.TRAINING), Sample(2, 1_000, 500, "lm", Activity.TRAINING, 5, 50)]
    late = [
        *first,
        Sample(3, 3_900, 2_000, "lm", Activity.TRAINING, 20, 200),
        Sample(4, 4_500, 2_100, "lm", Activity.TRAINING, 21, 210),
    ]
    one = book_(0, PERIOD, (SessionSamples(BookedSoFar("s"), 0, tuple(first)),), (CORES,))
    two = book_(PERIOD, 2 * PERIOD, (SessionSamples(one.booked[0], 0, tuple(late)),), (CORES,))
    training = [next(x for x in b.lines if x.activity is Activity.TRAINING) for b in (one, two)]
    assert [x.chip_ms[0].value.value for x in training] == [500, 1_600]
    assert [x.flop_model.value for x in training if x.flop_model] == [50, 160]


def test_time_without_a_meter_is_unattributed() -> None:
    lost = SessionSamples(BookedSoFar("s"), 0, (Sample(1, 1_000, 400, "lm", Activity.TRAINING),), (1_000, 3_000))
    lines = {line.activity: line for line in book_(0, PERIOD, (lost,), (CORES,)).lines}
    assert lines[Activity.UNATTRIBUTED].chip_ms[0].value.value == 4_000
    assert lines[Activity.IDLE].chip_ms[0].value.value == 8_000 - 4_000 - 400


def test_flop_just_after_a_boundary_do_not_exceed_the_peak_for_want_of_a_clock_tick() -> None:
    samples = (Sample(1, 0, 0, "lm", Activity.TRAINING, 0, 0), Sample(2, 10, 0, "lm", Activity.TRAINING, 1, 10**9))
    (line,) = [
        x for x in book_(0, PERIOD, (SessionSamples(BookedSoFar("s"), 0, samples),), (CORES,)).lines if x.flop_model
    ]
    assert line.flop_model is not None
    assert line.flop_model.value * 1000 <= line.chip_ms[0].value.value * CORES.peak_flop_per_s


def test_flop_far_beyond_the_peak_are_left_to_show() -> None:
    samples = (Sample(1, 0, 0, "lm", Activity.TRAINING, 0, 0), Sample(2, 100, 10, "lm", Activity.TRAINING, 1, 10**14))
    (line,) = [
        x for x in book_(0, PERIOD, (SessionSamples(BookedSoFar("s"), 0, samples),), (CORES,)).lines if x.flop_model
    ]
    assert line.flop_model is not None
    assert line.flop_model.value * 1000 > line.chip_ms[0].value.value * CORES.peak_flop_per_s


def test_energy_is_board_watts_while_busy_and_idle_watts_otherwise_exact_to_a_joule() -> None:
    samples = (Sample(1, 0, 0, "lm", Activity.TRAINING), Sample(2, 4_000, 1_999, "lm", Activity.TRAINING))
    lines = book_(0, PERIOD, (SessionSamples(BookedSoFar("s"), 0, samples),), (CORES,)).lines
    joules = {line.activity: line.joules.value for line in lines if line.joules}
    assert joules[Activity.IDLE] == 6_001 * 10 // 1000
    assert sum(joules.values()) == (6_001 * 10 + 1_999 * 100) // 1000


def test_hardware_flop_are_booked_only_where_a_utilisation_was_measured() -> None:
    samples = (Sample(1, 0, 0, "lm", Activity.TRAINING), Sample(2, 4_000, 1_000, "lm", Activity.TRAINING))
    sessions = (SessionSamples(BookedSoFar("s"), 0, samples),)
    measured = ChipBook("cpu-core", ("a", "b"), 10**11, 100, 10, Rational(3, 10))
    assert book_(0, PERIOD, sessions, (CORES,)).lines[0].flop_hardware is None
    (line,) = [x for x in book_(0, PERIOD, sessions, (measured,)).lines if x.activity is Activity.TRAINING]
    assert line.flop_hardware is not None
    assert line.flop_hardware.value == 3 * 10**10


def test_what_was_used_before_the_first_books_begin_is_not_booked() -> None:
    """A training that ran for an hour before a site owes books must not fill them with that hour."""
    samples = tuple(Sample(n, n * 500, n * 400, "lm", Activity.TRAINING, n, n * 10**9, n * 64) for n in range(1, 17))
    session = SessionSamples(BookedSoFar("0" * 32), 0, samples)
    kept = since(session, PERIOD)
    assert kept.booked == BookedSoFar("0" * 32, 3_200, 8 * 10**9, 512)
    (line,) = [x for x in book_(PERIOD, 2 * PERIOD, (kept,), (CORES,)).lines if x.activity is Activity.TRAINING]
    assert line.chip_ms[0].value.value == 3_200
    assert line.flop_model is not None
    assert line.flop_model.value == 8 * 10**9
    assert since(session, 0) == session
