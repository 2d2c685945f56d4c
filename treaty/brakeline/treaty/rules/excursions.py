"""Page's sum over the periods of one thing, kept up as figures arrive in any order: where it rises above a limit.

S <- max(0, S + x) over the periods that have a figure, in order of period, where x is what a period measured beyond
what is forgiven in it. A *rise* is a period in which S passes ``limit`` from below: one signal an excursion, not one a
period. :mod:`brakeline.treaty.statistics.page` is the test itself and its source; this is the incremental form that
rules share. Exact integers, in whatever unit the rule scales to.

Keeps one integer pair a period. A figure for the newest period costs one step; one for an earlier period recomputes
from there until the sum is 0 and as it was.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple


class Standing(NamedTuple):
    """What a period shows now: S after it, and whether it rose above the limit there."""

    period: int
    total: int
    rose: bool


@dataclass(slots=True)
class Excursions:
    """One series. *limit* is never negative; periods may come in any order and change."""

    limit: int
    _periods: list[int] = field(default_factory=list[int])
    _excess: list[int] = field(default_factory=list[int])
    _sums: list[int] = field(default_factory=list[int])

    def put(self, period: int, excess: int) -> list[Standing]:
        """Let *period* measure *excess*; return what every period shows whose standing this may have changed.

        >>> series = Excursions(limit=5)
        >>> series.put(0, 4), series.put(2, 3)[0].rose
        ([Standing(period=0, total=4, rose=False)], True)
        >>> [standing.total for standing in series.put(1, -9)]
        [0, 3]
        """
        place = bisect_left(self._periods, period)
        if place == len(self._periods) or self._periods[place] != period:
            self._periods.insert(place, period)
            self._excess.insert(place, excess)
            self._sums.insert(place, -1)
        else:
            self._excess[place] = excess
        return list(self._carry_on(place))

    def drop(self, period: int) -> list[Standing]:
        """Forget the figure of *period*, which has one; return what later periods show, and *period* without a rise."""
        place = bisect_left(self._periods, period)
        del self._periods[place], self._excess[place], self._sums[place]
        return [Standing(period, 0, rose=False), *self._carry_on(place)]

    def get(self, period: int) -> int | None:
        """Return what *period* measured, None where it has no figure."""
        place = bisect_left(self._periods, period)
        return self._excess[place] if place < len(self._periods) and self._periods[place] == period else None

    def since_zero(self, period: int, most: int) -> list[int]:
        """Return the periods since S was last 0, up to *period*, which has a figure; the newest *most* of them."""
        last = bisect_left(self._periods, period)
        first = last
        while first > 0 and self._sums[first - 1] > 0 and last - first + 1 < most:
            first -= 1
        return self._periods[first : last + 1]

    def _carry_on(self, place: int) -> Iterator[Standing]:
        before = self._sums[place - 1] if place else 0
        for at in range(place, len(self._periods)):
            total = max(0, before + self._excess[at])
            same, self._sums[at] = self._sums[at] == total, total
            yield Standing(self._periods[at], total, before <= self.limit < total)
            if same and total == 0:  # what follows stands on this 0, as before
                return
            before = total
