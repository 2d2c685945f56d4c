"""From readings to amounts: what totals rose by, and what shares were on average. Pure; integers only.

*Totals* begin anew: a driver is loaded again, a machine reboots, a cgroup is made again. A total that is smaller than
before, or of another epoch, has begun anew. What it counted between the last reading and its end is lost, so the rise
is *at least* the new value, and says that it is not exact. A total that is missing for some readings loses nothing: the
next rise spans the gap. (One that begins anew and overtakes its old value within a gap, in the same epoch, cannot be
told; meters whose sources can do that give an epoch.)

*Shares* are of an interval. What no interval covers is unknown and is not averaged in: a mean says how much of the time
it is of.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from brakeline.node.meters.protocol import Counter, Kind, Quantity, Reading


@dataclass(frozen=True, slots=True)
class Rise:
    """How much a total rose between two readings (Unix ms); ``exact`` False: by at least that."""

    source: str
    quantity: Quantity
    since_ms: int
    until_ms: int
    amount: int
    exact: bool = True


class Totals:
    """Follows the totals of one meter from reading to reading."""

    def __init__(self) -> None:
        """Know nothing: the first reading of a total tells no amount."""
        self._last: dict[tuple[str, Quantity], tuple[int, Counter]] = {}

    def take(self, reading: Reading) -> list[Rise]:
        """Return the rises since the totals were last seen, in the order of the reading."""
        rises: list[Rise] = []
        for item in reading.counters:
            if item.quantity.kind is not Kind.TOTAL:
                continue
            key = (item.source, item.quantity)
            before = self._last.get(key)
            self._last[key] = (reading.at_ms, item)
            if before is None:
                continue
            since, old = before
            same = item.epoch == old.epoch and item.value >= old.value
            amount = item.value - old.value if same else item.value
            rises.append(Rise(item.source, item.quantity, since, reading.at_ms, amount, same))
        return rises


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean share (parts per million, rounded down; None when nothing is known) and the time it is of (ms)."""

    ppm: int | None
    known_ms: int
    of_ms: int


def mean_share(
    readings: Iterable[Reading], source: str, quantity: Quantity, start: int, end: int, *, hold_ms: int = 0
) -> Mean:
    """Return the mean of a share over [start, end) (Unix ms), *readings* in order of time.

    Args:
        readings: of one meter.
        source: whose share.
        quantity: which share.
        start: of the span that is asked about.
        end: of it.
        hold_ms: how long before its reading a share stands for that does not say which interval it is of, at most back
            to the reading before.
    """
    weighted = known = 0
    covered = start
    for reading in readings:
        held = next((c for c in reading.counters if (c.source, c.quantity) == (source, quantity)), None)
        if held is None:
            continue
        over = hold_ms if held.over_ms is None else held.over_ms
        since, until = max(covered, reading.at_ms - over), min(reading.at_ms, end)
        if until > since:
            weighted += held.value * (until - since)
            known += until - since
            covered = until
    return Mean(weighted // known if known else None, known, end - start)
