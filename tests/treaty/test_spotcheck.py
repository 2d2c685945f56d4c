"""Spot checks: nobody chooses the rows, and an opening made for another row, table, site or author never passes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.findings import Finding
from brakeline.treaty.oversight import OpenedRow, Opening, Row, RowPart
from brakeline.treaty.quantities import ChipMs, Flop, Joules
from brakeline.treaty.sentences import sentence
from brakeline.treaty.spotcheck.challenge import draws
from brakeline.treaty.spotcheck.check import Committed, LineFigures, RowFault, check_row
from brakeline.treaty.spotcheck.draw import Beacon, drawn_rows, rows_to_draw, seed_of
from brakeline.treaty.spotcheck.table import encode_row, open_rows, read_row, row_salt, slot_edges, table_of
from brakeline.treaty.statements import Activity, Usage
from brakeline.treaty.statistics.attribute import miss_probability
from brakeline.treaty.strictjson import JsonValue
from hypothesis import given
from hypothesis import strategies as st

from tests.support import cast
from tests.support.cast import CHIPS, OTHER_SITE, PERIOD, SITE, Author, line
from tests.support.judging import digest, standing

SLOTS = 4
DOCUMENT = cast.document()
PEAKS = {item.name: item.peak_flop_per_s.value for item in DOCUMENT.chip_classes}
ROWS = CHIPS * SLOTS
SECRET = hashlib.sha256(b"tests").digest()


def table(site: str = SITE, flop: int = 8_000, secret: bytes = SECRET) -> list[bytes]:
    """Rows of a site whose every chip trains all the time, FLOP and joules spread evenly."""
    part = RowPart(
        workload="job",
        activity=Activity.TRAINING,
        ms=ChipMs(PERIOD // SLOTS),
        flop=Flop(flop // ROWS),
        joules=Joules(1),
    )
    return [
        encode_row(
            Row(
                chip=f"{site}/{index % CHIPS}",
                chip_class="cpu-core",
                slot=index // CHIPS,
                parts=(part,),
                salt=row_salt(secret, index),
            )
        )
        for index in range(ROWS)
    ]


def committed(rows: Sequence[bytes], flop: int | None = 8_000) -> Committed:
    made = table_of(rows)
    figures = LineFigures({"cpu-core": CHIPS * PERIOD}, flop, ROWS)
    return Committed(0, PERIOD, bytes.fromhex(made.root), made.rows, {("job", "training"): figures})


class Scene:
    """Sites that book what :func:`table` has, and open rows of it."""

    def __init__(self) -> None:
        self.sites = {name: Author(name, DOCUMENT) for name in (SITE, OTHER_SITE)}
        self.said = [author.hold() for author in self.sites.values()]
        self.inventory = {name: item.digest for name, item in zip(self.sites, self.said, strict=True)}

    def book(self, site: str, rows: Sequence[bytes], period: int = 0, flop: int = 8_000) -> str:
        start = cast.START + period * PERIOD
        author = self.sites[site]
        used = line("training", CHIPS * PERIOD, flop_model=str(flop), joules=str(ROWS))
        said = {"start": start, "end": start + PERIOD, "inventory": self.inventory[site], "table": table_of(rows)}
        self.said.append(made := author.say(Usage.model_validate({**author.position(), **said, "lines": (used,)})))
        return made.digest

    def open(self, site: str, usage: str, opened: Sequence[OpenedRow], period: int = 0) -> str:
        author = self.sites[site]
        said = {"period": period, "usage": usage, "challenge": digest("challenge"), "rows": tuple(opened)}
        self.said.append(made := author.say(Opening.model_validate({**author.position(), **said})))
        return made.digest

    def found(self) -> list[Finding]:
        found = [item for item in standing(self.said, DOCUMENT) if item.rule == "false-opening"]
        assert found == [item for item in standing(reversed(self.said), DOCUMENT) if item.rule == "false-opening"]
        assert all(sentence(item) for item in found)
        return found


# the table ------------------------------------------------------------------------------------------------------------


@given(st.sets(st.integers(0, ROWS - 1), min_size=1))
def test_rows_open_under_the_root_at_their_own_index_and_at_no_other(indexes: set[int]) -> None:
    rows = table()
    books = committed(rows)
    opened = open_rows(rows, indexes)
    assert [item.index for item in opened] == sorted(indexes)
    assert [check_row(books, item, SLOTS, PEAKS) for item in opened] == [None] * len(opened)
    for item in opened:
        for other in set(range(ROWS)) - {item.index}:
            moved = item.model_copy(update={"index": other})
            assert check_row(books, moved, SLOTS, PEAKS) is RowFault.PROOF


def test_every_row_has_its_own_salt_and_reads_back() -> None:
    rows = table()
    assert len({read_row(row).salt for row in rows}) == ROWS
    assert [encode_row(read_row(row)) for row in rows] == rows
    assert table_of(rows) != table_of(table(secret=hashlib.sha256(b"another").digest()))
    with pytest.raises(BrakelineError, match="row-secret"):
        row_salt(b"short", 0)
    with pytest.raises(BrakelineError, match="row-schema"):
        read_row(b'{"chip":"a"}')


@given(st.integers(0, 10**12), st.integers(1, 10**7), st.integers(1, 50))
def test_slots_cut_a_period_without_gap_or_overlap(start: int, length: int, slots: int) -> None:
    edges = slot_edges(start, start + length, slots)
    assert (edges[0], edges[-1], len(edges)) == (start, start + length, slots + 1)
    assert edges == sorted(edges)


# the check ------------------------------------------------------------------------------------------------------------


def changed(rows: Sequence[bytes], index: int, **changes: object) -> list[bytes]:
    """Return *rows* with the one at *index* changed, as a cheat would commit to them."""
    row = read_row(rows[index])
    part = row.parts[0].model_copy(update={k: v for k, v in changes.items() if k in RowPart.model_fields})
    outer = {k: v for k, v in changes.items() if k in Row.model_fields}
    made = row.model_copy(update={"parts": (part,), **outer})
    return [encode_row(made) if place == index else item for place, item in enumerate(rows)]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"slot": 0}, RowFault.SLOT),
        ({"ms": ChipMs(PERIOD // SLOTS - 1)}, RowFault.TIME),
        ({"ms": ChipMs(PERIOD // SLOTS + 1)}, RowFault.TIME),
        ({"workload": "other"}, RowFault.LINE),
        ({"activity": Activity.INFERENCE}, RowFault.LINE),
        ({"chip_class": "h100"}, RowFault.LINE),
        ({"flop": None}, RowFault.BEYOND_LINE),
        ({"flop": Flop(8_001)}, RowFault.BEYOND_LINE),
        ({"joules": Joules(ROWS + 1)}, RowFault.BEYOND_LINE),
        ({"joules": None}, RowFault.BEYOND_LINE),
        ({"flop": Flop(8_000)}, None),
    ],
)
def test_a_committed_row_that_cannot_be_true_beside_the_lines_is_named(
    changes: dict[str, object], fault: RowFault | None
) -> None:
    rows = changed(table(), 5, **changes)
    (opened,) = open_rows(rows, [5])
    assert check_row(committed(rows), opened, SLOTS, PEAKS) is fault


def test_a_chip_does_at_most_its_peak_up_to_rounding() -> None:
    most = PEAKS["cpu-core"] * (PERIOD // SLOTS) // 1000
    for flop, fault in ((most, None), (most + 1, RowFault.PEAK)):
        rows = changed(table(), 5, flop=Flop(flop))
        (opened,) = open_rows(rows, [5])
        assert check_row(committed(rows, flop=10 * most), opened, SLOTS, PEAKS) is fault


@pytest.mark.parametrize("rows", [ROWS - 1, ROWS + 1, 2 * ROWS])
def test_a_table_with_rows_too_few_or_invented_opens_nothing(rows: int) -> None:
    padded = [*table(), *table(secret=hashlib.sha256(b"padding").digest())][:rows]
    for opened in open_rows(padded, range(rows)):
        assert check_row(committed(padded), opened, SLOTS, PEAKS) is RowFault.TABLE_SIZE
    empty = replace(committed(table()), rows=0, lines={})
    assert check_row(empty, open_rows(table(), [0])[0], SLOTS, PEAKS) is RowFault.TABLE_SIZE


# the rule -------------------------------------------------------------------------------------------------------------


def test_an_honest_opening_is_left_alone() -> None:
    scene = Scene()
    rows = table()
    usage = scene.book(SITE, rows)
    scene.open(SITE, usage, open_rows(rows, [1, 6]))
    assert scene.found() == []


def test_a_false_row_is_found_with_its_index_and_chip() -> None:
    scene = Scene()
    rows = changed(changed(table(), 5, workload="hidden"), 6, workload="hidden")
    usage = scene.book(SITE, rows)
    opening = scene.open(SITE, usage, open_rows(rows, [1, 5, 6]))
    (finding,) = scene.found()
    assert (finding.about, finding.period, set(finding.statements)) == (SITE, 0, {usage, opening})
    assert finding.figures == {
        "usage": usage,
        "reason": "no-such-line",
        "row": "5",
        "chip": f"{SITE}/1",
        "false_rows": "2",
    }


BOOKS = [(SITE, 0), (SITE, 1), (OTHER_SITE, 0)]
TABLES = {key: table(key[0], secret=hashlib.sha256(repr(key).encode()).digest()) for key in BOOKS}


@given(
    st.sampled_from([SITE, OTHER_SITE]),
    st.integers(0, 1),
    st.sampled_from(BOOKS),
    st.sampled_from(BOOKS),
    st.integers(0, ROWS - 1),
    st.integers(0, ROWS - 1),
)
def test_an_opening_for_another_row_table_site_or_author_never_passes(
    opener: str, period: int, named: tuple[str, int], shown: tuple[str, int], index: int, at: int
) -> None:
    scene = Scene()
    usages = {key: scene.book(key[0], TABLES[key], key[1]) for key in BOOKS}
    (opened,) = open_rows(TABLES[shown], [index])
    scene.open(opener, usages[named], [opened.model_copy(update={"index": at})], period)
    passes = (opener, period) == named == shown and index == at
    assert bool(scene.found()) is not passes


# the draw -------------------------------------------------------------------------------------------------------------

BEACONS = [Beacon(f"verifier-{i}.example", 100 + i, digest(f"root {i}")) for i in range(1, 5)]


@given(st.permutations(BEACONS))
def test_the_draw_does_not_depend_on_the_order_of_logs(beacons: list[Beacon]) -> None:
    assert seed_of(digest("u"), beacons) == seed_of(digest("u"), BEACONS)


@given(st.integers(0, 3), st.sampled_from(["origin", "size", "root"]))
def test_every_part_of_every_beacon_and_the_books_move_the_draw(which: int, part: str) -> None:
    before = BEACONS[which]
    moved = {
        "origin": before._replace(origin="x.example"),
        "size": before._replace(size=7),
        "root": before._replace(root=digest("x")),
    }
    beacons = [moved[part] if place == which else item for place, item in enumerate(BEACONS)]
    seeds = {seed_of(digest("u"), BEACONS), seed_of(digest("u"), beacons), seed_of(digest("v"), BEACONS)}
    seeds.add(seed_of(digest("u"), BEACONS[:which] + BEACONS[which + 1 :]))
    assert len(seeds) == 4


def test_a_beacon_is_one_checkpoint_a_log_and_at_least_one() -> None:
    for beacons in ([], [BEACONS[0], BEACONS[0]._replace(size=5)]):
        with pytest.raises(BrakelineError, match="draw-beacon"):
            seed_of(digest("u"), beacons)


def test_the_draw_is_what_the_specification_says() -> None:
    """Computed by hand from docs/spec/spotchecks.md, without the code under test."""
    seed = hashlib.sha256(
        b"brakeline/draw/v1\x00" + f'["{digest("u")}",[["verifier-1.example",101,"{digest("root 1")}"]]]'.encode()
    ).digest()
    assert seed_of(digest("u"), BEACONS[:1]) == seed
    block = hashlib.sha256(b"brakeline/draw-rows/v1\x00" + seed + bytes(8)).digest()
    words = [int.from_bytes(block[at : at + 8], "big") % 1000 for at in range(0, 32, 8)]
    assert drawn_rows(seed, 1000, len(set(words))) == tuple(sorted(set(words)))


@given(st.binary(min_size=32, max_size=32), st.integers(0, 300), st.integers(0, 320))
def test_rows_are_drawn_without_repeats_and_a_larger_sample_holds_the_smaller(
    seed: bytes, rows: int, count: int
) -> None:
    drawn = drawn_rows(seed, rows, count)
    assert len(drawn) == len(set(drawn)) == min(rows, count)
    assert all(0 <= row < rows for row in drawn)
    assert set(drawn) <= set(drawn_rows(seed, rows, count + 1))


def test_no_row_is_drawn_more_often_than_another() -> None:
    """7 rows, 4,900 draws of one: chi-squared with 6 degrees of freedom, 0.1 % point 22.46; the seeds are fixed."""
    drawn = Counter(drawn_rows(hashlib.sha256(b"%d" % i).digest(), 7, 1)[0] for i in range(4_900))
    assert sum((drawn[row] - 700) ** 2 / 700 for row in range(7)) < 22.46


def test_a_table_too_large_to_draw_from_is_refused() -> None:
    with pytest.raises(BrakelineError, match="draw-size"):
        drawn_rows(bytes(32), (1 << 32) + 1, 1)


# how many -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chips", [100, 1_000])
def test_the_rows_drawn_over_the_treatys_time_meet_its_detection_goal(chips: int) -> None:
    """A run of the significant quantity at full use, spread evenly over all periods, is missed with at most 5 %."""
    quantity = 20 * PERIOD * PEAKS["cpu-core"] // 1000  # what 20 chips do in a period
    goals = cast.json_lines([cast.terms()["goals"]])[0]
    document = cast.document(
        goals={**goals, "significant_quantity_flop": str(quantity * 10), "timeliness_ms": 10 * PERIOD}
    )
    rows = chips * SLOTS
    drawn = rows_to_draw(document, rows, SLOTS)
    false = 20 * SLOTS
    assert miss_probability(rows, false, drawn) ** 10 <= Fraction(5, 100)
    if drawn > 1:
        assert (1 - Fraction(false, rows)) ** (10 * (drawn - 1)) > Fraction(5, 100)


def test_a_site_too_small_for_the_quantity_opens_one_row_and_an_empty_one_none() -> None:
    goals = cast.json_lines([cast.terms()["goals"]])[0]
    document = cast.document(goals={**goals, "significant_quantity_flop": "1" + "0" * 26})
    assert [rows_to_draw(document, rows, SLOTS) for rows in (0, 1, ROWS)] == [0, 1, 1]


@given(
    st.sampled_from([1, 5, ROWS, 10**6, 1 << 32]),
    st.sampled_from([1, PERIOD, 10**9, 2**53 - 1]),
    st.sampled_from([1, 10**15, 10**26]),
    st.sampled_from([(1, 2), (95, 100), (999_999_999, 1_000_000_000)]),
)
def test_whatever_a_site_claims_and_a_treaty_wants_some_rows_are_drawn(
    rows: int, timeliness: int, quantity: int, detection: tuple[int, int]
) -> None:
    goals: JsonValue = {
        "significant_quantity_flop": str(quantity),
        "timeliness_ms": timeliness,
        "detection": {"numerator": detection[0], "denominator": detection[1]},
    }
    drawn = draws(cast.document(goals=goals), rows, SLOTS)
    assert 1 <= drawn <= min(rows, 4096)
