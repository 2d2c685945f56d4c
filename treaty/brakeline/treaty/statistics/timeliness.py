"""Significant quantity and timeliness: how long N chips take to compute what the treaty is afraid of.

Source: the IAEA's timeliness goal (IAEA Safeguards Glossary, 2022 edition, sec. 3): an inspection must detect within
the time a diversion takes to become what it is feared for. Here t = SQ/(N H U); detecting, deciding and stopping must
together fit inside t. N x H x U is the most that the chips do: a run hidden in part of the fleet takes longer.
"""

from __future__ import annotations

from fractions import Fraction

from brakeline.treaty.quantities import DurationMs, Flop
from brakeline.treaty.statistics.bounds import StatisticsError, natural, share

MS_PER_S = 1000


def positive_rate(chips: int, peak_flop_per_s: Flop, utilisation: Fraction) -> Fraction:
    """Return N x H x U in FLOP per second, above 0 (``statistics-range`` otherwise)."""
    natural("chips", chips, 1)
    share("utilisation", utilisation, above_zero=True)
    if not peak_flop_per_s:
        raise StatisticsError(
            code="statistics-range", message="a chip that computes nothing", expected="a peak above 0", found="0"
        )
    return chips * peak_flop_per_s.value * utilisation


def time_to_quantity(quantity: Flop, chips: int, peak_flop_per_s: Flop, utilisation: Fraction) -> int:
    """Return t = SQ/(N H U) in whole milliseconds, rounded down: what must be done in time gets no moment more.

    An ``int``, as times above a million years come out of honest questions too.

    Args:
        quantity: SQ, FLOP.
        chips: N, at least 1.
        peak_flop_per_s: H, dense peak of one chip, above 0.
        utilisation: U in (0, 1].

    Raises:
        StatisticsError: ``statistics-range``.

    >>> time_to_quantity(Flop(10**24), 1000, Flop(989 * 10**12), Fraction(4, 10)) // 86_400_000
    29
    """
    return quantity.value * MS_PER_S // positive_rate(chips, peak_flop_per_s, utilisation)


def timely(quantity_ms: int, detect: DurationMs, decide: DurationMs, stop: DurationMs) -> bool:
    """Say whether detecting, deciding and stopping fit inside the *quantity_ms* of :func:`time_to_quantity`."""
    natural("quantity_ms", quantity_ms, 0, 10**60)
    return detect.value + decide.value + stop.value <= quantity_ms


def chips_below(rate_flop_per_s: Flop, peak_flop_per_s: Flop) -> int:
    """Return how many chips stay at or below a line drawn in operations per second; one more passes it.

    >>> chips_below(Flop(10**20), Flop(989 * 10**12))
    101112
    """
    return rate_flop_per_s.value // positive_rate(1, peak_flop_per_s, Fraction(1))
