"""Which records fit on the chips of a site. Pure: the same set of records is placed alike, in whatever order it came.

A chip does one thing at a time. So records are taken in an order of their own (named chips before counts of chips; by
start, the larger first, then by digest), and one that needs a chip at a time at which an earlier one has it is rejected
whole. A record of so many chips of a class takes the first, by serial number, that are free all the while.

What the site's own meter books is not booked again: records of a class that it metered in one of their periods are
rejected. So are records of chips that the inventory of one of their periods does not hold, and those that reach before
the first period or beyond the last one that is over: they are wanted when it is.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from brakeline.node.records.record import Record

Chips = Mapping[str, Sequence[str]]
"""Class -> serial numbers, in the site's order."""


@dataclass(frozen=True, slots=True)
class House:
    """The site, as far as placing needs it.

    Attributes:
        first: the first period that it books.
        over: how many periods are over: those below this one.
        period_of: instant (Unix ms) -> period.
        chips: period -> its chips by class, those of its inventory.
        metered: period -> classes that the site's own meter books then.
    """

    first: int
    over: int
    period_of: Callable[[int], int]
    chips: Callable[[int], Chips]
    metered: Callable[[int], frozenset[str]]

    def periods(self, record: Record) -> range:
        """Return the periods that *record* touches."""
        return range(self.period_of(record.start), self.period_of(record.end - 1) + 1)


@dataclass(frozen=True, slots=True)
class Placed:
    """A record on its chips."""

    record: Record
    chip_class: str
    chips: tuple[str, ...]


@dataclass(slots=True)
class Placing:
    """What became of a set of records."""

    placed: list[Placed] = field(default_factory=list[Placed])
    rejected: list[tuple[Record, str, str]] = field(default_factory=list[tuple[Record, str, str]])
    """Record, code, sentence."""


KEPT = frozenset({"import-overlap", "import-room"})
"""What is rejected for these may fit later, when another record has gone: it is kept."""


def place(records: Iterable[Record], house: House) -> Placing:
    """Place *records*, each once."""
    found = Placing()
    taken: dict[str, list[tuple[int, int]]] = {}
    for record in sorted({r.id: r for r in records}.values(), key=lambda r: (not r.chip, r.start, -r.chip_ms, r.id)):
        try:
            chip_class, serials = _candidates(record, house)
            chips = _free(record, serials, taken)
        except _Unfit as unfit:
            found.rejected.append((record, unfit.code, unfit.why))
            continue
        for chip in chips:
            insort(taken.setdefault(chip, []), (record.start, record.end))
        found.placed.append(Placed(record, chip_class, chips))
    return found


class _Unfit(Exception):
    def __init__(self, code: str, why: str) -> None:
        super().__init__(code, why)
        self.code, self.why = code, why


def _candidates(record: Record, house: House) -> tuple[str, Sequence[str]]:
    """Return the class of the record's chips, and those of them that are there in all its periods."""
    periods = house.periods(record)
    if periods.start < house.first:
        raise _Unfit("import-before", f"it begins in period {periods.start}; this site books from {house.first} on")
    if periods.stop > house.over:
        raise _Unfit("import-not-over", f"it ends in period {periods.stop - 1}, not over yet: import it again then")
    chip_class = record.chip_class or _class_of(record, house.chips(periods.start))
    serials: Sequence[str] | None = None
    for period in periods:
        held = house.chips(period).get(chip_class)
        if held is None:
            classes = ", ".join(house.chips(period))
            raise _Unfit("import-chip", f"class: expected one of {classes} (period {period}), found {chip_class!r}")
        if chip_class in house.metered(period):
            raise _Unfit("import-metered", f"the node's own meter books {chip_class} in period {period}")
        if serials is None:
            serials = held
        elif held is not serials:
            serials = _both(serials, held)
    if record.chip:
        if record.chip not in (serials or ()):
            raise _Unfit("import-chip", f"chip: {record.chip!r} is no {chip_class} of this site (map it in [chips])")
        serials = [record.chip]
    return chip_class, serials or []


def _both(serials: Sequence[str], held: Sequence[str]) -> list[str]:
    there = set(held)
    return [serial for serial in serials if serial in there]


def _class_of(record: Record, chips: Chips) -> str:
    if record.chip:
        found = [name for name, serials in chips.items() if record.chip in serials]
        if found:
            return found[0]
        raise _Unfit("import-chip", f"chip: {record.chip!r} is not in the inventory (map it in [chips])")
    if len(chips) == 1:
        return next(iter(chips))
    raise _Unfit("import-chip", "class: the site holds several classes and the row names none (chip_class)")


def _free(record: Record, serials: Sequence[str], taken: Mapping[str, list[tuple[int, int]]]) -> tuple[str, ...]:
    free: list[str] = []
    for serial in serials:
        spans = taken.get(serial, [])
        at = bisect_left(spans, (record.start, record.end))
        before = at > 0 and spans[at - 1][1] > record.start
        after = at < len(spans) and spans[at][0] < record.end
        if not before and not after:
            free.append(serial)
            if len(free) == record.count:
                return tuple(free)
    if record.chip:
        raise _Unfit("import-overlap", f"another row has {record.chip} at that time")
    raise _Unfit("import-room", f"count: {record.count} chips, of which {len(free)} are free at that time")
