"""Page's test over many series of figures from the books: one series a site and a thing measured there.

What it is: the part that rules of this form share (``muf``, ``method-gap``, ``activity-shape``): per series and period
one figure x, what is measured beyond what is forgiven; S <- max(0, S + x); a finding in the first period of each
excursion in which S passes the limit. What x is, and what the finding says, is the rule's.

Where several versions of a site's books speak of one period, the largest x counts (of equals, the version with the
largest digest): a second version cannot take a figure back. A finding cites the books of the periods with x > 0 since
S was last 0, the newest 64 of the newest 1,024 periods, its own among them.

Keeps: per series and period x and S; for periods with x > 0 also the figures shown and the digest of the books. All of
it in columns (:mod:`brakeline.treaty.rules.columns`), so that memory holds only the newest periods.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import NamedTuple, cast

from brakeline.treaty.findings import Finding
from brakeline.treaty.rules.board import MAX_CITED, Board, make
from brakeline.treaty.rules.books import Books
from brakeline.treaty.rules.columns import Value
from brakeline.treaty.rules.excursions import Excursions, Standing
from brakeline.treaty.terms import RuleTerms

_LOOKED_AT = 16 * MAX_CITED
"""Periods in which a finding looks for books to cite."""


class Measured(NamedTuple):
    """What a version of the books shows in a series.

    Attributes:
        excess: x, scaled by the rule to an integer.
        figures: name -> what a finding says of the period.
    """

    excess: int
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


class PageSums:
    """The series of one test of one rule. The note of a period with x > 0: digest of the books, name, figure, ..."""

    def __init__(self, test: SumTerms, board: Board) -> None:
        """Sum as *test* says; findings go on *board*."""
        self._test = test
        self._board = board
        self._series: dict[tuple[str, ...], Excursions] = {}

    def put(self, books: Books, series: tuple[str, ...], measured: Measured) -> None:
        """Take in what *books* show in *series* (names that tell it from others of the same site and test)."""
        key = (books.site, *series)
        sums = self._series.get(key)
        if sums is None:
            sums = self._series[key] = Excursions(self._board.columns, self._test.limit)
        before = sums.get(books.period)
        if before is not None and (before[0], _digest(before[1])) >= (measured.excess, books.digest):
            return
        note: Value = ()
        if measured.excess > 0:
            note = (books.digest, *(str(item) for pair in measured.figures.items() for item in pair))
        for standing in sums.put(books.period, measured.excess, note):
            finding = self._finding(books.site, sums, standing) if standing.rose else None
            self._board.put((self._test.terms.rule, self._test.total, key, standing.period), finding)

    def _finding(self, site: str, sums: Excursions, standing: Standing) -> Finding:
        looked_at = islice(sums.excursion(standing.period), _LOOKED_AT)
        cited = islice((_digest(note) for _, excess, note in looked_at if excess > 0), MAX_CITED)
        _, *shown = cast("tuple[str, ...]", standing.note)
        figures = {
            **dict(zip(shown[::2], shown[1::2], strict=True)),
            self._test.total: standing.total // self._test.scale,
            **self._test.constants,
        }
        return make(self._test.terms, site, period=standing.period, statements=cited, figures=figures)


def _digest(note: Value) -> str:
    """Return the digest in a note; "" where nothing was noted."""
    return cast("tuple[str, ...]", note)[0] if note else ""
