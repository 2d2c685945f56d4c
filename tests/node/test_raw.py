"""Raw counters that were committed to are kept, for as long as the treaty may ask for them, and no disk fills up."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest
import trustme
from brakeline.node.channel import Hello, Sample
from brakeline.node.config import RawPart
from brakeline.node.raw import RawCounters, RawError, floor_ms, read
from brakeline.node.setup import open_site
from brakeline.treaty.statements import Activity

from tests.node import house

DAY_MS = 86_400_000
DOC = house.treaty(0)
FLOOR = floor_ms(DOC)


def filled(folder: Path, settings: RawPart, sizes: dict[int, int]) -> RawCounters:
    """Keep lines of so many incompressible bytes for each period."""
    found = RawCounters(folder, settings)
    for period, size in sizes.items():
        digests = (hashlib.sha256(f"{period} {n}".encode()).hexdigest() for n in range(size // 64))
        found.keep(period, (f"{digest}\n".encode() for digest in digests))
    return found


def periods(found: RawCounters) -> list[int]:
    return [item.period for item in found.held()]


def test_what_books_commit_to_is_on_disk_under_its_digest_and_the_journal_may_forget_it(tmp_path: Path) -> None:
    clock = {"now": house.now_ms()}
    house.make(tmp_path, house.treaty(clock["now"]), trustme.CA(), clock=lambda: clock["now"]).journal.close()
    settings, site = open_site(tmp_path / "node", None, lambda: clock["now"])
    first = site.first_period() or 0
    hello = Hello("meter", "a" * 32, "lm", Activity.TRAINING)
    begin = site.document.grid.start_of(first).value
    site.journal.open_session(hello, begin)
    for period in range(first, first + 4):
        start = site.document.grid.start_of(period).value
        samples = [
            Sample(10 * (period - first) + n, start + 100 * n, start + 100 * n - begin, "lm", Activity.TRAINING, n, n)
            for n in range(1, 10)
        ]
        site.journal.add_samples(hello.session, samples)
        clock["now"] = site.document.grid.end_of(period).value
        site.book_period(period, slots=settings.books.slots)
    left = [sample.at for found in site.journal.samples_between(begin, clock["now"]) for sample in found.samples]
    assert begin not in left
    assert min(left) >= site.document.grid.start_of(first + 2).value
    stated = {
        site.document.grid.period_of(usage.start): line.meter.digest
        for usage in house.books(site)
        for line in usage.lines
        if line.meter is not None
    }
    site.journal.close()
    held = RawCounters(tmp_path / "node", RawPart()).held()
    assert {item.period: item.digest for item in held} == stated
    for item in held:
        assert hashlib.sha256(read(item)).hexdigest() == item.digest
        assert read(item).count(b"\n") == 9


def test_a_period_without_counters_leaves_no_file(tmp_path: Path) -> None:
    found = RawCounters(tmp_path, RawPart())
    assert found.keep(3, []) == hashlib.sha256(b"").hexdigest()
    assert list((tmp_path / "raw").iterdir()) == []


def test_keeping_the_same_lines_again_leaves_one_file_byte_for_byte(tmp_path: Path) -> None:
    """A crash between keeping and signing books the period again."""
    found = RawCounters(tmp_path, RawPart())
    found.keep(3, [b"a\n"])
    (item,) = found.held()
    before = item.path.read_bytes()
    found.keep(3, [b"a\n"])
    assert [held.path.read_bytes() for held in found.held()] == [before]


def test_files_go_when_they_are_older_than_the_time_that_was_set(tmp_path: Path) -> None:
    found = filled(tmp_path, RawPart(keep_days=30), {0: 64, 10: 64})
    assert FLOOR < 30 * DAY_MS
    found.booked(DOC, 0, DOC.grid.end_of(0).value + 30 * DAY_MS)
    assert periods(found) == [0, 10]
    found.booked(DOC, 0, DOC.grid.end_of(0).value + 30 * DAY_MS + 1)
    assert periods(found) == [10]


def test_none_goes_while_the_treaty_may_ask_for_it_whatever_was_set(tmp_path: Path) -> None:
    slow = house.treaty(0, goals={**DOC.model_dump(mode="json")["goals"], "timeliness_ms": 90 * DAY_MS})
    found = filled(tmp_path, RawPart(keep_days=1, max_mib=1), {0: 3 * 1024**2})
    found.booked(slow, 0, slow.grid.end_of(0).value + 90 * DAY_MS)
    assert periods(found) == [0]
    found.booked(slow, 0, slow.grid.end_of(0).value + floor_ms(slow) + 1)
    assert periods(found) == []


def test_the_disk_is_bounded_by_taking_the_oldest_first(tmp_path: Path) -> None:
    found = filled(tmp_path, RawPart(max_mib=1), dict.fromkeys(range(4), 700_000))
    now = DOC.grid.end_of(3).value + FLOOR + 1
    found.booked(DOC, 0, now)
    assert sum(item.size for item in found.held()) <= 1024**2
    assert periods(found) == list(range(4))[-len(periods(found)) :]
    young = filled(tmp_path / "young", RawPart(max_mib=1), dict.fromkeys(range(4), 700_000))
    young.booked(DOC, 0, DOC.grid.end_of(3).value)
    assert periods(young) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "data", [gzip.compress(b"b\n"), b"not gzip", gzip.compress(b"a\n")[:-4]], ids=["other", "no gzip", "cut short"]
)
def test_a_file_that_was_changed_is_not_what_was_committed_to(data: bytes, tmp_path: Path) -> None:
    found = RawCounters(tmp_path, RawPart())
    found.keep(3, [b"a\n"])
    (item,) = found.held()
    item.path.write_bytes(data)
    with pytest.raises(RawError) as caught:
        read(item)
    assert caught.value.code == "raw-changed"


def test_a_disk_that_takes_no_raw_counters_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(b"a file where the folder should be")
    with pytest.raises(RawError, match="raw-not-kept") as refused:
        RawCounters(tmp_path, RawPart()).keep(3, [b"a\n"])
    assert refused.value.fix
