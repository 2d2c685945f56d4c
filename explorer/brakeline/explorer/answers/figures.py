"""What answers share: grades of figures computed from several inputs, units, plain words for numbers."""

from __future__ import annotations

import math

from brakeline.explorer.scenario.form import Given, Grade
from brakeline.explorer.scenario.load import Scenario

DAY_S = 86_400
DAY_MS = 86_400_000
YEAR_DAYS = 365.25
_RANK = (Grade.ASSUMED, Grade.PUBLISHED, Grade.MEASURED, Grade.DERIVED)


def weakest(*inputs: Given | Grade) -> Grade:
    """Return the weakest grade among *inputs*: a figure is no better known than its worst input."""
    grades = [item if isinstance(item, Grade) else item.graded for item in inputs]
    return min(grades, key=_RANK.index, default=Grade.DERIVED)


def rate(scenario: Scenario, chips: float, chip_class: str, utilisation: float) -> float:
    """Return N H U in FLOP a day."""
    return chips * float(scenario.chip(chip_class).peak_flop_per_s.value) * utilisation * DAY_S


def grown(days: float, growth: float) -> float:
    """Return the integral of growth^(t / year) over *days*: days' worth of today's rate.

    >>> round(grown(365.25, 2.0), 1)
    526.9
    """
    if math.isclose(growth, 1.0):
        return days
    pace = math.log(growth) / YEAR_DAYS
    return math.expm1(pace * days) / pace


def flop(value: float) -> str:
    """Write FLOP: ``2.5e24``."""
    if value <= 0:
        return "0"
    digits, _, exponent = f"{value:.1e}".partition("e")
    return f"{digits.removesuffix('.0')}e{int(exponent)}"


def days(value: float) -> str:
    """Write a time in days, or hours below two days.

    >>> days(0.5), days(9.75)
    ('12 hours', '9.8 days')
    """
    if 0.0 < value < 1 / 24:
        return f"{value * 1440:.0f} minutes"
    return f"{value * 24:.0f} hours" if value < 2 else f"{value:.1f} days" if value < 100 else f"{value:,.0f} days"


def percent(value: float) -> str:
    """Write a share: ``12 %``, with a decimal below 1 % and above 99 %."""
    shown = 100 * value
    return f"{shown:.1f} %" if 0 < shown < 1 or 99 < shown < 100 else f"{shown:.0f} %"
