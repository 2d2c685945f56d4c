"""Attribute sampling: n items are drawn from N without replacement, d of them are false; how likely are all d missed?

Source: hypergeometric sampling as in IAEA safeguards: R. Avenhaus and M. J. Canty, *Compliance Quantified*, Cambridge
1996, ch. 3; J. L. Jaech and M. Russell, *Algorithms to Calculate Sample Sizes for Inspection Sampling Plans*,
IAEA STR-261, 1991. Here an item is a row of a chip x slot table, a chip, or a record.

Sees: what share of samples of this size holds a false item that the check recognises. Cannot see: whether the draw was
random, or whether the list of items was complete.
"""

from __future__ import annotations

import math
from fractions import Fraction

from brakeline.treaty.statistics.bounds import natural, share, too_large, unreachable
from brakeline.treaty.statistics.exact import power_at_most, smallest

MAX_TERMS = 50_000
"""Factors of one exact probability (the smaller of d and n): a second of arithmetic."""

MAX_IMPERFECT_TERMS = 2_000
"""Terms of one exact probability when the check itself can miss."""


def miss_probability(population: int, false: int, drawn: int, sensitivity: Fraction = Fraction(1)) -> Fraction:
    """Return beta, the probability that a sample shows none of the false items.

    With a perfect check beta = C(N-d, n) / C(N, n); with a check that recognises a false item with probability q,
    beta = sum over j of P(j false items drawn) x (1-q)^j.

    Args:
        population: N, items in the list.
        false: d, false items among them.
        drawn: n, items drawn without replacement.
        sensitivity: q, the probability that the check recognises a false item that was drawn.

    Raises:
        StatisticsError: ``statistics-range``; ``statistics-too-large`` when the smaller of d and n is above
            ``MAX_TERMS`` (``MAX_IMPERFECT_TERMS`` when q is below 1).

    >>> miss_probability(10, 1, 3)
    Fraction(7, 10)
    >>> miss_probability(10, 1, 10, Fraction(9, 10))
    Fraction(1, 10)
    """
    natural("population", population)
    natural("false", false, 0, population)
    natural("drawn", drawn, 0, population)
    share("sensitivity", sensitivity)
    few, many = sorted((false, drawn))
    most = MAX_TERMS if sensitivity == 1 else MAX_IMPERFECT_TERMS
    if few > most and sensitivity != 0:
        raise too_large("an exact probability of this sample takes too long", most, few)
    if sensitivity == 0:
        return Fraction(1)
    if sensitivity == 1:
        return Fraction(math.perm(population - many, few), math.perm(population, few))
    return _imperfect(population, few, many, sensitivity)


def _imperfect(population: int, few: int, many: int, sensitivity: Fraction) -> Fraction:
    """Sum over j = 0..few; drawing n of N with d marked and drawing d of N with n marked is the same."""
    blind, whole = sensitivity.denominator - sensitivity.numerator, sensitivity.denominator
    rest = population - many
    total = 0
    for hit in range(few + 1):
        ways = math.comb(many, hit) * math.comb(rest, few - hit)
        total += ways * blind**hit * whole ** (few - hit)
    return Fraction(total, math.comb(population, few) * whole**few)


def smallest_sample(population: int, false: int, miss: Fraction, sensitivity: Fraction = Fraction(1)) -> int:
    """Return the smallest n whose miss probability is at most *miss*: the exact sample size.

    Args:
        population: N, items in the list.
        false: d, false items that must not be missed.
        miss: beta, the largest probability of missing them all; 1 - beta is the treaty's detection goal.
        sensitivity: q, as in :func:`miss_probability`.

    Raises:
        StatisticsError: ``statistics-range``; ``statistics-unreachable`` when looking at all N misses them more
            often; ``statistics-too-large``.

    >>> smallest_sample(100, 10, Fraction(1, 10)), smallest_sample(200, 5, Fraction(5, 100))
    (20, 90)
    """
    natural("population", population)
    natural("false", false, 0, population)
    share("miss", miss)
    share("sensitivity", sensitivity)
    if not power_at_most(1 - sensitivity, false, miss):
        raise unreachable(
            "looking at every item is not enough", f"{false} false items, sensitivity {sensitivity}, miss {miss}"
        )
    return smallest(lambda drawn: miss_probability(population, false, drawn, sensitivity) <= miss, population)


def approximate_sample(population: int, false: int, miss: Fraction) -> int:
    """Return ceil(N (1 - beta^(1/d))), the sample size that inspectors work out by hand.

    It is used because it is one line, needs no table, and is never below the exact size: each factor of the exact
    probability, (N-n-i)/(N-i), is at most (N-n)/N, so a sample that suffices here suffices. The price is a sample that
    can be far too large when d is most of N (N = 1000, d = 968, beta = 0.001: 8 for 2). Decided as ((N-n)/N)^d <= beta,
    without a root and without rounding. For a perfect check only.

    Args:
        population: N, at least 1.
        false: d, at least 1.
        miss: beta.

    Raises:
        StatisticsError: ``statistics-range``.

    >>> approximate_sample(100, 10, Fraction(1, 10)), approximate_sample(200, 5, Fraction(5, 100))
    (21, 91)
    """
    natural("population", population, 1)
    natural("false", false, 1, population)
    share("miss", miss)
    return smallest(lambda n: power_at_most(Fraction(population - n, population), false, miss), population)
