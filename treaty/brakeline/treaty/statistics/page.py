"""Page's cumulative sum, in integers: a small loss in every period adds up, honest noise does not.

S <- max(0, S + x - K), and it signals when S > H (E. S. Page, *Continuous inspection schemes*, Biometrika 41, 1954).
This is the test of the rules in force (``muf``, ``energy-gap``): no float, no square root, so every auditor comes to
the same period. How often it cries wolf, and how soon it sees a loss, is explored with
:mod:`brakeline.treaty.statistics.exploring.run_length`; :func:`terms_for` turns that choice into the treaty's integers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from brakeline.treaty.statistics.bounds import StatisticsError, natural


@dataclass(frozen=True, slots=True)
class PageTerms:
    """K, forgiven in every period, and H, the sum above which the test signals; in the unit of what is summed."""

    k: int
    h: int

    def step(self, total: int, value: int) -> int:
        """Return S after a period that measured *value* (negative when less was found than expected)."""
        return max(0, total + value - self.k)

    def first_signal(self, values: Iterable[int]) -> int | None:
        """Return the index of the first value after which S > H, or None.

        >>> PageTerms(k=2, h=5).first_signal([1, 4, 4, 4])
        3
        """
        total = 0
        for index, value in enumerate(values):
            total = self.step(total, value)
            if total > self.h:
                return index
        return None


def terms_for(sigma: int, reference: Fraction, interval: Fraction) -> PageTerms:
    """Return K = ceil(k sigma) and H = ceil(h sigma): both rounded up, towards leaving the honest alone.

    Args:
        sigma: standard deviation of one period's measurement, in the unit of what is summed.
        reference: k in sigmas; half of the loss per period that must be seen.
        interval: h in sigmas.

    Raises:
        StatisticsError: ``statistics-range``.

    >>> terms_for(1001, Fraction(1, 2), Fraction(5))
    PageTerms(k=501, h=5005)
    """
    natural("sigma", sigma, 0, 10**40)
    for name, value in (("reference", reference), ("interval", interval)):
        if value < 0:
            raise StatisticsError(
                code="statistics-range", message=f"{name} is out of range", expected="0 or more", found=str(value)[:60]
            )
    return PageTerms(k=-int(-sigma * reference // 1), h=-int(-sigma * interval // 1))
