"""How sure a share of trials is: Wilson's score interval. For exploring; no finding rests on it.

Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927), 209-212.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from brakeline.treaty.statistics.bounds import natural
from brakeline.treaty.statistics.exploring.normal import Number, number, quantile


class Interval(NamedTuple):
    """The two ends, in [0, 1]."""

    low: float
    high: float


def wilson(successes: int, trials: int, confidence: Number = 0.95) -> Interval:
    """Return the score interval of *successes* in *trials* at *confidence* (in (0, 1)).

    Raises:
        StatisticsError: *trials* is not positive, or *successes* not within it.

    >>> tuple(round(end, 3) for end in wilson(20, 20))
    (0.839, 1.0)
    """
    natural("trials", trials, 1)
    natural("successes", successes, 0, trials)
    z = quantile(0.5 + number("confidence", confidence, 0.0, 1.0) / 2)
    share, spread = successes / trials, z * z / trials
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    return Interval(max(0.0, middle - half), min(1.0, middle + half))
