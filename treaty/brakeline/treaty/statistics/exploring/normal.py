"""The normal distribution and its inverse, and the check of inputs that every exploring module makes."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TypeAlias

from brakeline.treaty.statistics.bounds import StatisticsError

_ROOT_TWO = math.sqrt(2.0)

Number: TypeAlias = float | Fraction
"""What the exploring functions take; they compute and answer in floats."""


def number(name: str, value: Number, least: float, most: float, *, open_ends: bool = False) -> float:
    """Return *value* when it is finite and within [least, most], or (least, most) (``statistics-range`` otherwise)."""
    inside = least < value < most if open_ends else least <= value <= most
    if not math.isfinite(value) or not inside:
        limits = f"between {least} and {most}" if open_ends else f"from {least} to {most}"
        raise StatisticsError(
            code="statistics-range",
            message=f"{name} is out of range",
            expected=f"a finite number {limits}",
            found=repr(value),
        )
    return float(value)


def cumulative(x: float) -> float:
    """Return Phi(x), the probability that a standard normal value is at most *x*.

    >>> round(cumulative(1.6448536269514722), 12)
    0.95
    """
    return 0.5 * math.erfc(-x / _ROOT_TWO)


def density(x: float) -> float:
    """Return phi(x) = exp(-x^2/2) / sqrt(2 pi)."""
    return math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def quantile(probability: float) -> float:
    """Return z with Phi(z) = *probability*, by halving; within 1e-12.

    Raises:
        StatisticsError: ``statistics-range`` unless 1e-300 <= probability <= 1 - 1e-16.

    >>> round(quantile(0.95), 6)
    1.644854
    """
    number("probability", probability, 1e-300, 1.0 - 1e-16)
    low, high = -40.0, 40.0
    while high - low > 1e-13 * max(1.0, abs(low)):
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        low, high = (middle, high) if cumulative(middle) < probability else (low, middle)
    return (low + high) / 2.0
