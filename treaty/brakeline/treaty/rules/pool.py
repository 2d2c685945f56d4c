"""Training of a site that nothing excuses, taken together, against a share of what its chips could do: Page's sum.

What ``undeclared-run`` and ``unlinked-runs`` share. Per site x = FLOP not excused - (k_permille / 1000) x peak of all
lines of the books; a finding where S > ``h_flop`` (:mod:`brakeline.treaty.rules.page_sums`). Where lines
are opaque x is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from brakeline.treaty.rules.board import Board
from brakeline.treaty.rules.books import MILLI, PERMILLE, Books
from brakeline.treaty.rules.page_sums import UNKNOWN, Measured, PageSums, SumTerms
from brakeline.treaty.rules.slots import Slots
from brakeline.treaty.rules.versions import Slot
from brakeline.treaty.terms import RuleTerms

_SCALE = MILLI * PERMILLE
_UNKNOWN = -1
"""How a column keeps the capacity of books with opaque lines."""


class Pool:
    """The pools of all sites, under one rule."""

    def __init__(self, terms: RuleTerms, board: Board, figure: str, constants: Mapping[str, object]) -> None:
        """Judge by ``k_permille`` and ``h_flop`` of *terms*; *figure* is the name of what is not excused."""
        self._share, limit = terms.integer("k_permille"), terms.integer("h_flop")
        self._figure = figure
        self._columns = board.columns
        self._sites: dict[str, Slots] = {}
        self._opened: tuple[Slot, int] | None = None  # a version of which nothing has been added, and its capacity
        shown = {**constants, "k_permille": self._share, "h_flop": limit}
        self._sums = PageSums(SumTerms(terms, limit * _SCALE, _SCALE, "sum_flop", shown), board)

    def open(self, books: Books) -> None:
        """Begin with a version of the books, in which everything is excused; :meth:`add` follows, if only of 0."""
        if books.site not in self._sites:
            self._sites[books.site] = Slots(self._columns)
        self._opened = books.slot, _UNKNOWN if books.opaque else books.peak_mflop

    def add(self, slot: Slot, flop: int) -> None:
        """Let a version of the books have *flop* more (less, where it is negative) that nothing excuses."""
        pool = self._sites[slot.site]
        if self._opened is not None and self._opened[0] == slot:
            inside, capacity = 0, self._opened[1]
            self._opened = None
        else:
            inside, capacity = cast("tuple[int, int]", pool.get(slot.period)[slot.version])
        inside += flop
        pool.put(slot, (inside, capacity))
        if capacity == _UNKNOWN:
            self._sums.put(slot, (), UNKNOWN)
            return
        figures = {self._figure: inside, "capacity_flop": capacity // MILLI}
        self._sums.put(slot, (), Measured(inside * _SCALE - self._share * capacity, figures))

    def drop(self, slot: Slot) -> None:
        """Let a version of the books show nothing."""
        pool = self._sites.get(slot.site)
        if pool is not None:
            pool.drop(slot)
            self._sums.supersede(slot)

    def move(self, site: str, kept: Slots, sign: int) -> None:
        """Add (1) or take out (-1) what a workload of *site* has in every version of the books."""
        for period, versions in kept.since(0):
            for version, figures in versions.items():
                self.add(Slot(site, period, version), sign * cast("int", figures[0]))
