"""Page's test over many series of figures from the books: one series a site and a thing measured there.

What it is: the part that rules of this form share (``muf``, ``method-gap``, ``activity-shape``): per series and period
one figure x, what is measured beyond what is forgiven; S <- max(0, S + x); a finding in the first period of each
excursion in which S passes the limit. What x is, and what the finding says, is the rule's.

Where several versions of a site's books speak of one period, the largest x counts (of equals, the version with the
largest digest): a second version cannot take a figure back. A finding cites the books of the periods with x > 0 since
S was last 0, the newest 64 of the newest 1,024 periods, its own among them.

Keeps: per series, period and version x, and the figures shown where x > 0; per period S. All of it in columns
(:mod:`brakeline.treaty.rules.columns`), so that memory holds only the newest periods.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import NamedTuple, cast

from brakeline.treaty.findings import Finding
from brakeline.treaty.rules.board import MAX_CITED, Board, make
from brakeline.treaty.rules.excursions import Excursions, Standing
from brakeline.treaty.rules.slots import Slots
from brakeline.treaty.rules.versions import Slot
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


UNKNOWN = Measured(-(1 << 1024), {})
"""What a version shows whose x is unknown: less than any x can be. S is at least 0 after any period, so that the sum
begins again from 0 there, and what follows is never held against what may have been forgiven."""


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


class _Series(NamedTuple):
    """What the versions of each period show, and the sum of what counts; the sum's note is the version that counts."""

    versions: Slots
    sums: Excursions


class PageSums:
    """The series of one test of one rule. Of a version is kept: x, then name, figure, name, figure where x > 0."""

    def __init__(self, test: SumTerms, board: Board) -> None:
        """Sum as *test* says; findings go on *board*."""
        self._test = test
        self._board = board
        self._since = board.since(test.terms.rule)
        self._sites: dict[str, dict[tuple[str, ...], _Series]] = {}

    def put(self, slot: Slot, name: tuple[str, ...], measured: Measured) -> None:
        """Let a version of the books show *measured* in the series *name* of its site (instead of what it showed).

        A figure of a period in which the rule was not in force as it is now counts for nothing.
        """
        if slot.period < self._since:
            return
        kept = self._sites.setdefault(slot.site, {})
        series = kept.get(name)
        if series is None:
            columns = self._board.columns
            series = kept[name] = _Series(Slots(columns), Excursions(columns, self._test.limit))
        shown: tuple[str, ...] = ()
        if measured.excess > 0:
            shown = tuple(str(item) for pair in measured.figures.items() for item in pair)
        if slot.version == 0 and slot.period > series.sums.newest:  # nearly always: nothing else is known of the period
            series.versions.put(slot, (measured.excess, *shown))
            for standing in series.sums.put(slot.period, measured.excess, 0):
                if standing.rose:
                    finding = self._finding(slot.site, series, standing)
                    self._board.put((self._test.terms.rule, slot.site, name, standing.period), finding)
            return
        series.versions.put(slot, (measured.excess, *shown))
        self._judge(slot, name, series)

    def supersede(self, slot: Slot) -> None:
        """Let a version of the books show nothing, in any series."""
        for name, series in self._sites.get(slot.site, {}).items():
            if series.versions.drop(slot) is not None:
                self._judge(slot, name, series)

    def _judge(self, slot: Slot, name: tuple[str, ...], series: _Series) -> None:
        versions = series.versions.get(slot.period)
        changed = series.sums.drop(slot.period) if not versions else []
        if versions:
            excess, _, number = max(
                (cast("int", figures[0]), self._digest(slot, number) if len(versions) > 1 else "", number)
                for number, figures in versions.items()
            )
            changed = series.sums.put(slot.period, excess, number)
        for standing in changed:
            finding = self._finding(slot.site, series, standing) if standing.rose else None
            self._board.put((self._test.terms.rule, slot.site, name, standing.period), finding)

    def _finding(self, site: str, series: _Series, standing: Standing) -> Finding:
        looked_at = islice(series.sums.excursion(standing.period), _LOOKED_AT)
        counted = ((period, cast("int", number)) for period, excess, number in looked_at if excess > 0)
        cited = [self._digest(Slot(site, period, number)) for period, number in islice(counted, MAX_CITED)]
        _, *shown = series.versions.get(standing.period)[cast("int", standing.note)]
        figures = {
            **dict(zip(cast("list[str]", shown[::2]), shown[1::2], strict=True)),
            self._test.total: standing.total // self._test.scale,
            **self._test.constants,
        }
        return make(self._test.terms, site, period=standing.period, statements=cited, figures=figures)

    def _digest(self, slot: Slot, number: int | None = None) -> str:
        return self._board.versions.digest(slot if number is None else slot._replace(version=number))
