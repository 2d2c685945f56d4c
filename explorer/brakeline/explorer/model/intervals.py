"""Intervals: of a share of trials (Wilson; Clopper and Pearson), and of a rate of rare events.

Sources: E. B. Wilson, JASA 22 (1927); C. J. Clopper and E. S. Pearson, Biometrika 26 (1934).
"""

from __future__ import annotations

import math

from brakeline.treaty.statistics.exploring.interval import Interval, wilson
from scipy.special import betaincinv

__all__ = ["Interval", "clopper_pearson", "rate", "wilson"]


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Return the interval that is never too short: its coverage is at least *confidence*.

    >>> tuple(round(end, 4) for end in clopper_pearson(0, 100))
    (0.0, 0.0362)
    """
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if successes == 0 else float(betaincinv(successes, trials - successes + 1, tail))
    high = 1.0 if successes == trials else float(betaincinv(successes + 1, trials - successes, 1.0 - tail))
    return Interval(low, high)


def rate(hit: int, trials: int, span: float) -> tuple[float, Interval]:
    """Return events a unit of time, and their interval, from how many of *trials* worlds of length *span* had any.

    A world has none with probability exp(-rate x span).
    """
    ends = clopper_pearson(hit, trials)
    worst = math.inf if ends.high >= 1.0 else -math.log1p(-ends.high) / span
    middle = math.inf if hit == trials else abs(math.log1p(-hit / trials)) / span
    return middle, Interval(abs(math.log1p(-ends.low)) / span, worst)
