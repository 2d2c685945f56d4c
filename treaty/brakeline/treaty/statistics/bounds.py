"""What may be asked of the statistics: bounds come first, and what lies outside them has a stable code.

``statistics-range``: a number that the formula is not defined for. ``statistics-unreachable``: no sample, however
large, reaches the goal. ``statistics-too-large``: defined, and refused, because an exact answer would take too long.
A value of the wrong type (a float, a bool) is the caller's mistake: ``TypeError``.
"""

from __future__ import annotations

from fractions import Fraction

from brakeline.treaty.errors import TreatyError

MAX_COUNT = 10**18
"""Largest population, sample or count: beyond every number of chips, rows or segments there will be."""


class StatisticsError(TreatyError):
    """A question that the statistics cannot answer (codes ``statistics-*``)."""


def natural(name: str, value: int, least: int = 0, most: int = MAX_COUNT) -> int:
    """Return *value* when it is an integer in [*least*, *most*] (``statistics-range`` otherwise)."""
    if type(value) is not int:
        raise TypeError(f"{name} takes an int, not {type(value).__name__}")
    if not least <= value <= most:
        raise StatisticsError(
            code="statistics-range",
            message=f"{name} is out of range",
            expected=f"an integer from {least} to {most}",
            found=str(value)[:60],
        )
    return value


def share(name: str, value: Fraction, *, above_zero: bool = False) -> Fraction:
    """Return *value* when it is a fraction in [0, 1], or in (0, 1] (``statistics-range`` otherwise)."""
    if type(value) is not Fraction:
        raise TypeError(f"{name} takes a Fraction, not {type(value).__name__}")
    if not 0 <= value <= 1 or (above_zero and value == 0):
        raise StatisticsError(
            code="statistics-range",
            message=f"{name} is out of range",
            expected="more than 0 and at most 1" if above_zero else "from 0 to 1",
            found=str(value)[:60],
            fix="give it as a fraction: five percent is Fraction(5, 100)",
        )
    return value


def unreachable(message: str, found: str) -> StatisticsError:
    """Return the error that says that no sample reaches the goal."""
    return StatisticsError(
        code="statistics-unreachable",
        message=message,
        expected="a goal that looking at everything reaches",
        found=found,
        fix="ask for a lower probability of detection, a larger cheat, or a better check",
    )


def too_large(message: str, most: int, found: int) -> StatisticsError:
    """Return the error that says that an exact answer would take too long."""
    return StatisticsError(
        code="statistics-too-large",
        message=message,
        expected=f"at most {most}",
        found=str(found),
        fix="divide the population into strata, or use the approximation, which is never too small",
    )
