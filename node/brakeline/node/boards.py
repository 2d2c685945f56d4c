"""What accelerators' own counters say of one period: readings in, chip time, work and energy by slot out. Pure.

*Busy time* is the mean of ``busy-ppm`` over a slot, chip by chip. *Work* is the mean of ``tensor-ppm``: the share of
cycles in which tensor cores worked, which the hardware method multiplies chip time and dense peak by. *Energy* is what
the boards' totals rose by between the period's ends, interpolated between the readings around each end.

*What is not known* stays so, and is never a zero: time of a chip that no reading covers, also of a declared chip that
the meter does not tell of, is ``unknown``; one unknown share makes the slot's work unknown; a total that began anew, or
that was not read before the period and after it, makes the period's energy unknown. A share that does not say its
interval stands for the time back to the reading before, at most ``hold_ms``; one that does, for its interval and
``SLACK_MS`` more, because the clock that stamps a reading is not the one that times it.

*What it cannot see*: which program a chip worked for; more than one instance of a chip that is cut (MIG): its
instances are left out, so the time of the chip is unknown.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise

from brakeline.node.amounts import Counted
from brakeline.node.books import Curve
from brakeline.node.meters.protocol import Counter, Quantity, Reading
from brakeline.node.meters.totals import Mean, Totals, mean_share

SLACK_MS = 1_000
_WHOLE = 1_000_000


def counted(
    meter: str, readings: Sequence[Reading], edges: Sequence[int], chips: int, *, hold_ms: int, lines: Sequence[bytes]
) -> Counted:
    """Return what *readings* say of *chips* declared chips between the first and the last of *edges* (Unix ms).

    Args:
        meter: its name.
        readings: in order of time, from before the period to after it.
        edges: where slots begin, and where the last one ends.
        chips: how many the inventory declares; what the meter does not tell of is unknown.
        hold_ms: for how long a share without an interval stands.
        lines: the readings as they are committed to.
    """
    sources = sorted({source for reading in readings for source in boards(reading)})
    busy: list[int] = []
    unknown: list[int] = []
    work: list[int | None] = []
    shares = {quantity: _series(readings, quantity) for quantity in (Quantity.BUSY_PPM, Quantity.TENSOR_PPM)}
    for a, b in pairwise(edges):
        means = [_mean(shares[Quantity.BUSY_PPM].get(source, []), a, b, hold_ms) for source in sources]
        tensor = [_mean(shares[Quantity.TENSOR_PPM].get(source, []), a, b, hold_ms) for source in sources]
        absent = max(0, chips - len(sources)) * (b - a)
        done = sum((m.ppm or 0) * m.known_ms for m in tensor)
        known = not absent and all(m.known_ms == m.of_ms for m in tensor)
        work.append(done if known else None)
        unknown.append(absent + sum(m.of_ms - m.known_ms for m in means))
        ran = sum((m.ppm or 0) * m.known_ms for m in means)
        busy.append(-(-max(ran, done) // _WHOLE))  # tensor cores work in no kernel but one that runs
    energy = _energy(readings, sources, edges[0], edges[-1]) if len(sources) >= chips else None
    return Counted(
        meter=meter,
        chips=len(sources),
        busy=tuple(busy),
        unknown=tuple(unknown),
        work=tuple(work),
        tensor=bool(shares[Quantity.TENSOR_PPM]),
        energy_mj=energy,
        lines=tuple(lines),
    )


def boards(reading: Reading) -> set[str]:
    """Return whole chips that *reading* tells of, with a value or with a gap: no processes, no instances."""
    told = {item.source for item in reading.counters} | {item.source for item in reading.gaps}
    return {source for source in told if " pid " not in source and " instance " not in source}


def _series(readings: Iterable[Reading], quantity: Quantity) -> dict[str, list[Reading]]:
    """Return one share of each source, as readings of that share alone."""
    found: dict[str, list[Reading]] = {}
    for reading in readings:
        for item in reading.counters:
            if item.quantity is quantity:
                over = None if item.over_ms is None else item.over_ms + SLACK_MS
                slim = Counter(item.source, quantity, item.value, over_ms=over)
                found.setdefault(item.source, []).append(Reading(reading.meter, reading.at_ms, (slim,)))
    return found


def _mean(series: Sequence[Reading], start: int, end: int, hold_ms: int) -> Mean:
    if not series:
        return Mean(None, 0, end - start)
    first = bisect_left(series, start, key=_at)
    last = bisect_left(series, end, key=_at) + 1  # the reading after the end tells of what came before it
    item = series[0].counters[0]
    return mean_share(series[first:last], item.source, item.quantity, start, end, hold_ms=hold_ms + SLACK_MS)


def _at(reading: Reading) -> int:
    return reading.at_ms


def _energy(readings: Iterable[Reading], sources: Sequence[str], start: int, end: int) -> int | None:
    """Return millijoules of all boards in [start, end), None when those of one board are not known exactly."""
    totals = Totals()
    curves: dict[str, list[tuple[int, int]]] = {}
    broken: set[str] = set()
    for reading in readings:
        for rise in totals.take(reading):
            if rise.quantity is not Quantity.ENERGY_MJ:
                continue
            points = curves.setdefault(rise.source, [(rise.since_ms, 0)])
            points.append((rise.until_ms, points[-1][1] + rise.amount))
            if not rise.exact and rise.until_ms > start and rise.since_ms < end:
                broken.add(rise.source)
    amount = 0
    for source in sources:
        points = curves.get(source, [])
        if source in broken or not points or points[0][0] > start or points[-1][0] < end:
            return None
        curve = Curve(points[0][0], points)
        amount += curve.at(end) - curve.at(start)
    return amount if sources else None
