"""Page's test over many series of figures from the books: one series a site and a thing measured there.

What it is: the part that rules of this form share (``muf``, ``method-gap``, ``activity-shape``): per series and period
one figure x, what is measured beyond what is forgiven; S <- max(0, S + x); a finding in the first period of each
excursion in which S passes the limit. What x is, and what the finding says, is the rule's.

Where several versions of a site's books speak of one period, the largest x counts (of equals, the version with the
largest digest): a second version cannot take a figure back. A finding cites the books of the periods with x > 0 since
S was last 0, the newest 64 of the newest 1,024 periods, its own among them.

Keeps: per series and period x; for periods with x > 0 also the figures shown and the digest of the books.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from brakeline.treaty.findings import Finding
from brakeline.treaty.rules.board import MAX_CITED, Board, make
from brakeline.treaty.rules.books import Books
from brakeline.treaty.rules.excursions import Excursions, Standing
from brakeline.treaty.terms import RuleTerms

_LOOKED_AT = 16 * MAX_CITED
"""Periods in which a finding looks for books to cite."""


class Measured(NamedTuple):
    """What a version of the books shows in a series.

    Attributes:
        excess: x, scaled by the rule to an integer.
        digest: of the books.
        figures: name -> what a finding says of the period.
    """

    excess: int
    digest: str
    figures: Mapping[str, object]


class SumTerms(NamedTuple):
    """What a rule sums.

    Attributes:
        terms: the rule's.
        limit: S above which it fires, scaled as x is.
        scale: by which x is scaled.
        total: the name of the figure that shows S / scale, rounded down.
        constants: figures that every finding shows.
    """

    terms: RuleTerms
    limit: int
    scale: int
    total: str
    constants: Mapping[str, object]


@dataclass(slots=True)
class _Series:
    sums: Excursions
    shown: dict[int, Measured] = field(default_factory=dict[int, Measured])


class PageSums:
    """The series of one test of one rule."""

    def __init__(self, test: SumTerms, board: Board) -> None:
        """Sum as *test* says; findings go on *board*."""
        self._test = test
        self._board = board
        self._series: dict[tuple[str, ...], _Series] = {}

    def put(self, books: Books, series: tuple[str, ...], measured: Measured) -> None:
        """Take in what *books* show in *series* (names that tell it from others of the same site and test)."""
        key = (books.site, *series)
        kept = self._series.get(key)
        if kept is None:
            kept = self._series[key] = _Series(Excursions(self._test.limit))
        before = kept.sums.get(books.period)
        if before is not None and (before, self._digest(kept, books.period)) >= measured[:2]:
            return
        if measured.excess > 0:
            kept.shown[books.period] = measured
        for standing in kept.sums.put(books.period, measured.excess):
            finding = self._finding(books.site, kept, standing) if standing.rose else None
            self._board.put((self._test.terms.rule, self._test.total, key, standing.period), finding)

    @staticmethod
    def _digest(kept: _Series, period: int) -> str:
        shown = kept.shown.get(period)
        return "" if shown is None else shown.digest

    def _finding(self, site: str, kept: _Series, standing: Standing) -> Finding:
        periods = kept.sums.since_zero(standing.period, _LOOKED_AT)
        cited = [kept.shown[period].digest for period in periods if period in kept.shown]
        figures = {
            **kept.shown[standing.period].figures,
            self._test.total: standing.total // self._test.scale,
            **self._test.constants,
        }
        return make(self._test.terms, site, period=standing.period, statements=cited[-MAX_CITED:], figures=figures)
