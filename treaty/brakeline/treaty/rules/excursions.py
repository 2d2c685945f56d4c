"""Page's sum over the periods of one thing, kept up as figures arrive in any order: where it rises above a limit.

S <- max(0, S + x) over the periods that have a figure, in order of period, where x is what a period measured beyond
what is forgiven in it. A *rise* is a period in which S passes ``limit`` from below: one signal an excursion, not one a
period. :mod:`brakeline.treaty.statistics.page` is the test itself and its source; this is the incremental form that
rules share. Exact integers, in whatever unit the rule scales to.

Keeps x, S and a note of the rule's (what a finding shows of the period) for each period, in a
:class:`~brakeline.treaty.rules.columns.Column`. A figure for the newest period costs one step; one for an earlier
period recomputes from there until the sum is 0 and as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from brakeline.treaty.rules.columns import Column, Columns, Value

Row: TypeAlias = tuple[int, int, Value]
"""x, S after it, and the rule's note."""


class Standing(NamedTuple):
    """What a period shows now: S after it, whether it rose above the limit there, and the rule's note."""

    period: int
    total: int
    rose: bool
    note: Value


class Excursions:
    """One series. Periods may come in any order, change, and go."""

    __slots__ = ("_limit", "_newest", "_rows", "_total")

    def __init__(self, columns: Columns, limit: int) -> None:
        """Start without a figure; *limit* is 0 or more."""
        self._limit = limit
        self._rows: Column[Row] = columns.new()
        self._newest, self._total = -1, 0  # the newest period with a figure, and S after it

    @property
    def newest(self) -> int:
        """The newest period with a figure, -1 when there is none."""
        return self._newest

    def get(self, period: int) -> tuple[int, Value] | None:
        """Return what *period* measured, and its note; None where it has no figure."""
        row = self._rows.get(period)
        return None if row is None else (row[0], row[2])

    def put(self, period: int, excess: int, note: Value = ()) -> list[Standing]:
        """Let *period* measure *excess*; return what every period shows whose standing this may have changed.

        >>> series = Excursions(Columns(), limit=5)
        >>> series.put(0, 4), series.put(2, 3)[0].rose
        ([Standing(period=0, total=4, rose=False, note=())], True)
        >>> [standing.total for standing in series.put(1, -9)]
        [0, 3]
        """
        if period > self._newest:
            before, self._total, self._newest = self._total, max(0, self._total + excess), period
            self._rows.put(period, (excess, self._total, note))
            return [Standing(period, self._total, before <= self._limit < self._total, note)]
        row = self._rows.get(period)
        self._rows.put(period, (excess, -1 if row is None else row[1], note))
        return list(self._carry_on(period))

    def drop(self, period: int) -> list[Standing]:
        """Forget the figure of *period*, which has one; return what later periods show, and *period* without a rise."""
        self._rows.drop(period)
        if period == self._newest:
            last = next(self._rows.before(period), None)
            self._newest, self._total = (-1, 0) if last is None else (last[0], last[1][1])
        return [Standing(period, 0, rose=False, note=()), *self._carry_on(period)]

    def excursion(self, period: int) -> Iterator[tuple[int, int, Value]]:
        """Yield (period, x, note) from *period*, which has a figure, back to the first since S was last 0."""
        row = self._rows.get(period)
        if row is not None:
            yield period, row[0], row[2]
        for at, (excess, total, note) in self._rows.before(period):
            if total == 0:
                return
            yield at, excess, note

    def _carry_on(self, period: int) -> Iterator[Standing]:
        last = next(self._rows.before(period), None)
        before = 0 if last is None else last[1][1]
        for at, (excess, was, note) in self._rows.since(period):
            total = max(0, before + excess)
            if total != was:
                self._rows.put(at, (excess, total, note))
            yield Standing(at, total, before <= self._limit < total, note)
            if at == self._newest:
                self._total = total
            if total == was == 0:  # what follows stands on this 0, as before
                return
            before = total
