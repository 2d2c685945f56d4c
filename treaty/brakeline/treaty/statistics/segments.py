"""Re-execution: s random segments of a training run are computed again; a fraction f of them is forged.

Source: P = 1 - (1 - f q)^s, draws with replacement, as in D. Choi, Y. Shavit and D. Duvenaud, *Tools for Verifying
Neural Models' Training Data*, arXiv:2307.00682, 2023, and in every text on sampling for a property.

Sees: segments whose recorded result does not follow from their recorded start. Cannot see: segments left out of the
record; a forgery smaller than the tolerance of the re-execution, which q must already include.
"""

from __future__ import annotations

from fractions import Fraction

from brakeline.treaty.statistics.bounds import natural, share, too_large, unreachable
from brakeline.treaty.statistics.exact import power_at_most, smallest

MAX_SEGMENTS = 100_000
"""Segments of one exact probability."""


def forgery_seen(forged: Fraction, sensitivity: Fraction, segments: int) -> Fraction:
    """Return P = 1 - (1 - f q)^s.

    Args:
        forged: f, the fraction of segments that is forged.
        sensitivity: q, the probability that re-execution recognises a forged one.
        segments: s, segments drawn.

    Raises:
        StatisticsError: ``statistics-range``; ``statistics-too-large`` above ``MAX_SEGMENTS``.

    >>> forgery_seen(Fraction(1, 2), Fraction(1), 3)
    Fraction(7, 8)
    """
    share("forged", forged)
    share("sensitivity", sensitivity)
    if natural("segments", segments) > MAX_SEGMENTS:
        raise too_large("an exact probability of so many segments takes too long", MAX_SEGMENTS, segments)
    return 1 - (1 - forged * sensitivity) ** segments


def segments_needed(forged: Fraction, sensitivity: Fraction, miss: Fraction) -> int:
    """Return the fewest segments so that the forgery is missed with probability at most *miss*.

    Raises:
        StatisticsError: ``statistics-range``; ``statistics-unreachable`` when nothing is forged, or the check sees
            nothing, or *miss* is 0 and cannot be.

    >>> segments_needed(Fraction(1, 100), Fraction(1), Fraction(5, 100))
    299
    """
    share("forged", forged)
    share("sensitivity", sensitivity)
    share("miss", miss)
    blind = 1 - forged * sensitivity
    if (blind == 1 and miss < 1) or (blind > 0 and miss == 0):
        raise unreachable("no number of segments is enough", f"forged {forged}, sensitivity {sensitivity}, miss {miss}")
    return smallest(lambda segments: power_at_most(blind, segments, miss))
