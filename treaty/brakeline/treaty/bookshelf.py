"""The books of a log as several logs are compared by them, in memory that does not grow with the log.

What it is: per site and period, when each version of the books arrived and what was done, as plain numbers in columns
(:mod:`brakeline.treaty.rules.columns`). What it is not: the statements; what no comparison of logs needs is not kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from brakeline.treaty.parts import Activity
from brakeline.treaty.rules.columns import Archive, Column, Columns
from brakeline.treaty.sealing import NOTHING, Sealed
from brakeline.treaty.usage import ReadUsage


class Work(NamedTuple):
    """One line of the books of a period, as far as several logs are compared by it.

    Attributes:
        workload, activity: as booked.
        chip_ms: (class of chip, chip-milliseconds), as booked.
        flop: the larger of both counting methods, None where neither is known. A line without chip time whose FLOP are
            None states them, sealed: of others that have neither nothing is kept.
    """

    workload: str
    activity: Activity
    chip_ms: tuple[tuple[str, int], ...]
    flop: int | None

    @property
    def total_ms(self) -> int:
        """Chip-milliseconds of all classes."""
        return sum(ms for _, ms in self.chip_ms)


class Books(NamedTuple):
    """One usage statement, as far as several logs are compared by it."""

    digest: str
    received_at_ms: int
    work: tuple[Work, ...]
    opaque: int = 0
    """Lines of which nothing is known, because their pattern is sealed; they are not in ``work``."""


_Packed: TypeAlias = "tuple[tuple[bytes, int, tuple[tuple[int, ...], ...], int], ...]"
"""Versions: digest, arrival, lines, how many more are opaque.

Lines are (workload, activity, FLOP + 1 or 0, then class and chip-ms by turns).
"""

_ACTIVITIES = tuple(Activity)
_NUMBERS = {activity: number for number, activity in enumerate(_ACTIVITIES)}


class Bookshelf:
    """Books by (site, period): like a dictionary to lists of :class:`Books`, in order of arrival."""

    def __init__(self, archive: Archive | None = None) -> None:
        """Start empty; what is old goes to *archive*, by default memory."""
        self._columns = Columns(archive)
        self._sites: dict[str, Column[_Packed]] = {}
        self._words: list[str] = []
        self._word: dict[str, int] = {}

    def add(self, digest: str, received_at_ms: int, period: int, usage: ReadUsage, sealed: Sealed = NOTHING) -> None:
        """Put the books *usage* of *period* on the shelf: the lines with chip time or FLOP, open or *sealed*."""
        column = self._sites.get(usage.author)
        if column is None:
            column = self._sites[usage.author] = self._columns.new()
        known, number = self._word, self._number
        lines: list[tuple[int, ...]] = []
        hidden = _with_sealed_flop(sealed)
        for place, line in enumerate(usage.lines):
            flop, chips, workload = line.flop, line.chips, line.workload
            if not flop and not sum([ms for _, ms in chips]):
                if place not in hidden:
                    continue
                flop = None  # a method that says 0 beside one that is sealed says nothing
            first = known[workload] if workload in known else number(workload)
            name, ms = chips[0]
            packed: tuple[int, ...] = (
                first,
                _NUMBERS[line.activity],
                0 if flop is None else flop + 1,
                known.get(name, -1),
                ms,
            )
            if packed[3] < 0 or len(chips) > 1:
                packed = (*packed[:3], *[item for name, ms in chips for item in (number(name), ms)])
            lines.append(packed)
        version = (bytes.fromhex(digest), received_at_ms, tuple(lines), len(sealed.opaque))
        column.put(period, (*(column.get(period) or ()), version))

    def get(self, key: tuple[str, int], default: tuple[Books, ...] = ()) -> list[Books] | tuple[Books, ...]:
        """Return the versions of the books of (site, period), *default* when there are none."""
        column = self._sites.get(key[0])
        versions = None if column is None else column.get(key[1])
        if versions is None:
            return default
        return [
            Books(digest.hex(), at_ms, tuple(map(self._work, lines)), opaque)
            for digest, at_ms, lines, opaque in versions
        ]

    def arrivals(self, site: str, period: int) -> list[int]:
        """Return when each version of the books of *site* for *period* arrived."""
        column = self._sites.get(site)
        return [] if column is None else [version[1] for version in column.get(period) or ()]

    def holds(self, site: str, period: int, digest: str) -> bool:
        """Say whether *digest* is a version of the books of *site* for *period*."""
        column = self._sites.get(site)
        raw = bytes.fromhex(digest)
        return column is not None and any(version[0] == raw for version in column.get(period) or ())

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """Yield every (site, period) for which there are books."""
        for site in self._sites:
            for period in self.periods(site):
                yield site, period

    def periods(self, site: str, since: int = 0) -> Iterator[int]:
        """Yield the periods from *since* on for which there are books of *site*, in order."""
        column = self._sites.get(site)
        if column is not None:
            for period, _ in column.since(since):
                yield period

    @property
    def sites(self) -> list[str]:
        """Whose books there are."""
        return list(self._sites)

    def _number(self, word: str) -> int:
        number = self._word.get(word)
        if number is None:
            number = self._word[word] = len(self._words)
            self._words.append(word)
        return number

    def _work(self, line: tuple[int, ...]) -> Work:
        workload, kind, flop, *times = line
        chips = tuple((self._words[name], ms) for name, ms in zip(times[::2], times[1::2], strict=True))
        return Work(self._words[workload], _ACTIVITIES[kind], chips, flop - 1 if flop else None)


_FLOP = frozenset({"flop_hardware", "flop_model"})


def _with_sealed_flop(sealed: Sealed) -> frozenset[int]:
    """Return which of the lines that can be read, by their place among these, have FLOP that are sealed."""
    if not sealed:
        return frozenset()
    numbers = [number for number, members in sealed.figures.items() if members & _FLOP and number not in sealed.opaque]
    return frozenset(number - sum(opaque < number for opaque in sealed.opaque) for number in numbers)
