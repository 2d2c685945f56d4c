"""What is remembered of the spot checks in a log, in memory that does not grow with it.

What it is: the challenges that the log wrote, in order, 128 bytes each in a tape (:mod:`brakeline.treaty.tape`); and
which rows were opened in it for which challenge, and when first, in a column for each site
(:mod:`brakeline.treaty.rules.columns`), by the period that the opening names. An opening that names a period whose
books are others is found all the same, but costs memory; its site stands accused for it (``false-opening``). What it is
not: judgement about either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from brakeline.treaty.rules.columns import Archive, Column, Columns
from brakeline.treaty.spotcheck.challenge import Drawn
from brakeline.treaty.tape import Tape

_NUMBERS = (("site", 4), ("period", 8), ("rows", 8), ("wanted", 4), ("at_ms", 8))
_WIDTH = 3 * 32 + sum(width for _, width in _NUMBERS)
_Opened: TypeAlias = "tuple[tuple[bytes, bytes, tuple[tuple[int, int], ...]], ...]"
"""Openings: books, challenge, (row, when)."""


class Challenges:
    """The challenges of a log: like a list of :class:`~brakeline.treaty.spotcheck.challenge.Drawn`."""

    def __init__(self, archive: Archive | None = None) -> None:
        """Start empty; what is old goes to *archive*, by default memory."""
        self._tape = Tape(_WIDTH, archive)
        self._sites: list[str] = []
        self._number: dict[str, int] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._tape)

    def append(self, item: Drawn) -> None:
        """Add a challenge at the end."""
        site = self._number.get(item.site)
        if site is None:
            site = self._number[item.site] = len(self._sites)
            self._sites.append(item.site)
        numbers = (site, item.period, item.rows, item.wanted, item.at_ms)
        packed = (value.to_bytes(width, "big") for value, (_, width) in zip(numbers, _NUMBERS, strict=True))
        self._tape.append(b"".join((bytes.fromhex(item.digest), bytes.fromhex(item.usage), item.seed, *packed)))

    def __iter__(self) -> Iterator[Drawn]:
        """Yield them in order."""
        return (self._drawn(self._tape[number]) for number in range(len(self._tape)))

    def _drawn(self, record: bytes) -> Drawn:
        at, numbers = 96, list[int]()
        for _, width in _NUMBERS:
            numbers.append(int.from_bytes(record[at : at + width], "big"))
            at += width
        site, period, rows, wanted, at_ms = numbers
        digest, usage, seed = record[:32].hex(), record[32:64].hex(), record[64:96]
        return Drawn(digest, self._sites[site], period, usage, rows, wanted, seed, at_ms)


class Openings:
    """Which rows were opened in a log, and when first."""

    def __init__(self, archive: Archive | None = None) -> None:
        """Start empty; what is old goes to *archive*, by default memory."""
        self._columns = Columns(archive)
        self._sites: dict[str, Column[_Opened]] = {}
        self._apart: dict[tuple[str, bytes, bytes], dict[int, int]] = {}

    def add(
        self, site: str, usage: str, challenge: str, rows: Iterable[int], at_ms: int, *, period: int | None
    ) -> None:
        """Note that *site* opened *rows* of the books *usage* at *at_ms*, for *challenge* (digests, hex).

        *period*: of these books; None where the opening names another.
        """
        key = bytes.fromhex(usage), bytes.fromhex(challenge)
        if period is None:
            _first(self._apart.setdefault((site, *key), {}), rows, at_ms)
            return
        column = self._sites.get(site)
        if column is None:
            column = self._sites[site] = self._columns.new()
        column.put(period, (*(column.get(period) or ()), (*key, tuple((row, at_ms) for row in rows))))

    def of(self, challenge: Drawn) -> dict[int, int]:
        """Return the rows that were opened for *challenge* -> when first (ms)."""
        key = bytes.fromhex(challenge.usage), bytes.fromhex(challenge.digest)
        found = dict(self._apart.get((challenge.site, *key), {}))
        column = self._sites.get(challenge.site)
        for usage, drawn, rows in () if column is None else column.get(challenge.period) or ():
            if (usage, drawn) == key:
                for row, at_ms in rows:
                    _first(found, (row,), at_ms)
        return found


def _first(found: dict[int, int], rows: Iterable[int], at_ms: int) -> None:
    for row in rows:
        found[row] = min(found.get(row, at_ms), at_ms)
