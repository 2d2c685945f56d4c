"""Records on chips: all that is placed adds up in the books, in any order; every row of a table fits its lines."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from brakeline.node.amounts import IDLE, UNATTRIBUTED, ChipBook, Label
from brakeline.node.records.bookings import Base, Terms, books_of
from brakeline.node.records.place import House, Placed, Placing, place
from brakeline.node.records.record import AMOUNTS, Record, restored, stored
from brakeline.treaty.spotcheck.check import Committed, LineFigures, check_row
from brakeline.treaty.spotcheck.table import open_rows, table_of
from brakeline.treaty.statements import Activity, UsageLine
from brakeline.treaty.strictjson import parse_object
from hypothesis import given
from hypothesis import strategies as st

PERIOD, PERIODS, SLOTS = 1_000, 4, 3
CORES = ChipBook("cpu-core", ("a", "b"), 10**11, 100, 10)
GPUS = ChipBook("h100", ("x", "y", "z"), 10**15, 700, 70)
CHIPS = {book.chip_class: book.serials for book in (CORES, GPUS)}
HOUSE = House(0, PERIODS, lambda at: at // PERIOD, lambda _: CHIPS, lambda _: frozenset())
amounts = st.none() | st.integers(0, 10**15)


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Anything that reads as a record: on a chip of its own choice, or on a number of chips of a class."""
    start = draw(st.integers(0, PERIOD * PERIODS - 1))
    chip = draw(st.sampled_from(["", "a", "b", "x", "y", "z", "unknown"]))
    activity = draw(st.sampled_from([Activity.TRAINING, Activity.INFERENCE, Activity.UNATTRIBUTED, Activity.IDLE]))
    lost = activity is Activity.UNATTRIBUTED
    made = Record(
        id="",
        raw=draw(st.binary(min_size=1, max_size=2)).hex().encode(),
        start=start,
        end=start + draw(st.integers(1, 2 * PERIOD)),
        chip=chip,
        chip_class="" if chip else draw(st.sampled_from(["cpu-core", "h100", ""])),
        count=1 if chip else draw(st.integers(1, 3)),
        workload="unattributed" if lost else draw(st.sampled_from(["lm", "chat", "x", "y"])),
        activity=activity,
        flop=draw(amounts),
        flop_hardware=draw(amounts),
        tokens=draw(amounts),
        joules=draw(amounts),
        code=draw(st.sampled_from([None, "c" * 64])),
        parents=draw(st.sampled_from([(), ("d" * 64,)])),
    )
    return replace(made, id=hashlib.sha256(repr(made).encode()).hexdigest())


def terms(period: int, line_count: int = 8, uncovered: Label = UNATTRIBUTED) -> Terms:
    return Terms(period * PERIOD, (period + 1) * PERIOD, SLOTS, line_count, uncovered, "e" * 64, bytes(32))


def touching(placing: Placing, period: int) -> list[Placed]:
    return [p for p in placing.placed if period in HOUSE.periods(p.record)]


def idle(period: int) -> Base:
    assert period >= 0
    return Base((), ())


def value(line: UsageLine, name: str) -> int:
    figure = getattr(line, {"flop": "flop_model"}.get(name, name))
    return 0 if figure is None else int(figure.value)


@given(st.lists(records(), max_size=12), st.integers(2, 10), st.sampled_from([UNATTRIBUTED, IDLE]))
def test_what_is_placed_adds_up_in_lines_and_rows(rows: list[Record], line_count: int, uncovered: Label) -> None:
    placing = place(rows, HOUSE)
    assert len(placing.placed) + len(placing.rejected) == len({record.id for record in rows})
    dark = [(r.chip, r.start, r.end) for r, _, _ in placing.rejected if r.chip in ("a", "b", "x", "y", "z")]
    found = dict.fromkeys(AMOUNTS, 0)
    for period in range(PERIODS):
        made = books_of(
            terms(period, line_count, uncovered), (CORES, GPUS), idle(period), touching(placing, period), dark
        )
        rest = {Activity.IDLE, Activity.UNATTRIBUTED}
        assert len(made.lines) <= line_count or {line.activity for line in made.lines} <= rest
        for book in (CORES, GPUS):
            held = sum(t.value.value for line in made.lines for t in line.chip_ms if t.chip_class == book.chip_class)
            assert held == len(book.serials) * PERIOD
        for line in made.lines:
            for name in AMOUNTS:
                found[name] += value(line, name)
        rows_fit(made.lines, made.rows, period)
    for name in ("flop", "flop_hardware", "tokens"):
        assert found[name] == sum(p.record.amount(name) or 0 for p in placing.placed)


def rows_fit(lines: tuple[UsageLine, ...], rows: tuple[bytes, ...], period: int) -> None:
    """Hold every row against the lines as a verifier does."""
    figures: dict[tuple[str, str], LineFigures] = {}
    for line in lines:
        before = figures.get((line.workload, line.activity.value), LineFigures({}, None, None))
        times = dict(before.chip_ms)
        for time in line.chip_ms:
            times[time.chip_class] = times.get(time.chip_class, 0) + time.value.value
        flops = [f.value for f in (line.flop_model, line.flop_hardware) if f is not None]
        flop = None if not flops and before.flop is None else max(flops, default=0) + (before.flop or 0)
        joules = before.joules if line.joules is None else line.joules.value + (before.joules or 0)
        figures[line.workload, line.activity.value] = LineFigures(times, flop, joules)
    committed = Committed(
        period * PERIOD, (period + 1) * PERIOD, bytes.fromhex(table_of(rows).root), len(rows), figures
    )
    for opened in open_rows(rows, range(len(rows))):
        assert check_row(committed, opened, SLOTS, {}) is None


@given(st.lists(records(), max_size=10), st.randoms())
def test_the_order_of_records_is_irrelevant(rows: list[Record], random: object) -> None:
    other = list(rows)
    random.shuffle(other)  # type: ignore[attr-defined]
    first, second = place(rows, HOUSE), place(other, HOUSE)
    assert first == second
    for period in range(PERIODS):
        both = [books_of(terms(period), (CORES, GPUS), idle(period), touching(p, period)) for p in (first, second)]
        assert both[0] == both[1]


@given(records())
def test_a_record_comes_back_from_the_journal_as_it_was(record: Record) -> None:
    assert restored(parse_object(stored(record), max_bytes=10_000)) == record


def one(start: int = 0, end: int = 10, chip: str = "a", **more: object) -> Record:
    made = Record("", b"", start, end, chip, "", 1, "lm", Activity.TRAINING)
    made = replace(made, **more)  # type: ignore[arg-type]
    return replace(made, id=hashlib.sha256(repr(made).encode()).hexdigest())


def why(placing: Placing) -> list[str]:
    return [code for _, code, _ in placing.rejected]


def test_a_chip_does_one_thing_at_a_time_and_a_neighbour_in_time_is_none() -> None:
    placing = place([one(0, 10), one(5, 20), one(10, 20), one(0, 10, chip="b")], HOUSE)
    assert {(p.record.start, p.chips) for p in placing.placed} == {(0, ("a",)), (0, ("b",)), (10, ("a",))}
    assert why(placing) == ["import-overlap"]


def test_counts_of_chips_take_what_is_free_all_the_while() -> None:
    of = {"chip": "", "chip_class": "h100"}
    placing = place([one(5, 6, chip="y"), one(0, 9, count=2, **of), one(3, 4, count=2, **of)], HOUSE)
    assert {p.record.count: p.chips for p in placing.placed} == {1: ("y",), 2: ("x", "z")}
    assert why(placing) == ["import-room"]


def cores_in_the_third(period: int) -> frozenset[str]:
    return frozenset({"cpu-core"} if period == 3 else ())


def test_what_cannot_be_placed_says_why() -> None:
    house = replace(HOUSE, first=1, metered=cores_in_the_third)
    placing = place(
        [
            one(0, 5),
            one(3_500, 4_500, chip="x"),
            one(2_900, 3_100, chip="b"),
            one(1_000, 1_001, chip="nobody's"),
            one(1_000, 1_001, chip="", chip_class="tpu"),
            one(1_000, 1_001, chip=""),
            one(1_000, 1_001, chip="a", chip_class="h100"),
        ],
        house,
    )
    assert placing.placed == []
    assert sorted(why(placing)) == ["import-before", *["import-chip"] * 4, "import-metered", "import-not-over"]


def test_time_of_rejected_records_is_unattributed_where_the_rest_is_idle() -> None:
    placing = place([one(0, 100), one(50, 300)], HOUSE)
    dark = [(r.chip, r.start, r.end) for r, _, _ in placing.rejected]
    made = books_of(terms(0, 8, IDLE), (CORES,), idle(0), touching(placing, 0), dark)
    assert {line.activity: line.chip_ms[0].value.value for line in made.lines} == {
        Activity.TRAINING: 100,
        Activity.UNATTRIBUTED: 200,
        Activity.IDLE: 1_700,
    }
