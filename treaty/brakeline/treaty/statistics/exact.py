"""Comparing powers of fractions exactly, and finding the smallest number that will do.

A sample size is a comparison, base^exponent <= bound, asked many times. Rounding it would make two auditors draw
samples of different size; computing it outright makes numbers of millions of digits. So it is decided by directed
rounding: a lower and an upper bound in fixed point, at growing precision, until they lie on one side; only equality is
computed outright, and then the bound itself is as long as the power.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from brakeline.treaty.statistics.bounds import MAX_COUNT, natural, share, unreachable

_PRECISIONS = (128, 512, 2048, 8192)
"""Binary digits after the point, tried in turn."""


def power_at_most(base: Fraction, exponent: int, bound: Fraction) -> bool:
    """Say whether base^exponent <= bound, exactly.

    Args:
        base: a fraction in [0, 1].
        exponent: an integer >= 0.
        bound: a fraction in [0, 1].

    Raises:
        StatisticsError: ``statistics-range``.

    >>> power_at_most(Fraction(99, 100), 299, Fraction(5, 100)), power_at_most(Fraction(99, 100), 298, Fraction(5, 100))
    (True, False)
    """
    share("base", base)
    share("bound", bound)
    natural("exponent", exponent)
    if bound == 0 or base in (0, 1):
        return (base == 0 and exponent > 0) or bound == 1
    for bits in _PRECISIONS:
        low, high = _power_bounds(base, exponent, bits)
        if high * bound.denominator <= bound.numerator << bits:
            return True
        if low * bound.denominator > bound.numerator << bits:
            return False
    return pow(base, exponent) <= bound


def _power_bounds(base: Fraction, exponent: int, bits: int) -> tuple[int, int]:
    """Return integers with low <= base^exponent x 2^bits <= high."""
    low_base = (base.numerator << bits) // base.denominator
    high_base = -((-base.numerator << bits) // base.denominator)
    low = high = 1 << bits
    for digit in f"{exponent:b}":
        low, high = (low * low) >> bits, -((-high * high) >> bits)
        if digit == "1":
            low, high = (low * low_base) >> bits, -((-high * high_base) >> bits)
    return low, high


def smallest(enough: Callable[[int], bool], most: int = MAX_COUNT) -> int:
    """Return the smallest n in [0, *most*] for which *enough*, which once true stays true, holds.

    Doubles first and halves then, so that no n far above the answer is ever tried.

    Raises:
        StatisticsError: ``statistics-unreachable`` when it does not hold at *most* either.
    """
    if enough(0):
        return 0
    below, above = 0, min(1, most)
    while not enough(above):
        if above == most:
            raise unreachable("no number in range is enough", f"not even {most}")
        below, above = above, min(2 * above, most)
    while above - below > 1:
        middle = (above + below) // 2
        below, above = (below, middle) if enough(middle) else (middle, above)
    return above
