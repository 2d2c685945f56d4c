"""Chip sampling: visits to a fleet look at a few chips each; how likely is a hidden training run to be met?

Source: Y. Shavit, *What does it take to catch a Chinchilla?*, arXiv:2303.11341, 2023, sec. 4: a run of T FLOP within
t seconds needs k = T/(H U t) chips; P = 1 - prod over visits of (1 - rho k/C)^s, where s chips of a fleet of C are
looked at and rho is the probability that the chip's own record shows the run.

Sees: a run spread over chips of the declared fleet. Cannot see: chips that are not in the fleet's list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from brakeline.treaty.quantities import DurationMs, Flop
from brakeline.treaty.statistics.bounds import natural, share, too_large, unreachable
from brakeline.treaty.statistics.exact import power_at_most, smallest
from brakeline.treaty.statistics.timeliness import MS_PER_S, positive_rate

MAX_LOOKS = 100_000
"""Chips looked at over all visits of one exact probability."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit: how many chips of the fleet take part in the run then, and how many chips are looked at."""

    guilty: int
    looked_at: int


def guilty_chips(run: Flop, peak_flop_per_s: Flop, utilisation: Fraction, duration: DurationMs) -> int:
    """Return k = T/(H U t), the chips a run needs to be done in time; at least 1.

    Rounded down: the fewer chips take part, the harder they are to meet, so a sample planned on k is never too small.

    Args:
        run: T, FLOP of the run.
        peak_flop_per_s: H, dense peak of one chip, above 0.
        utilisation: U in (0, 1].
        duration: t, milliseconds, above 0.

    Raises:
        StatisticsError: ``statistics-range``.

    >>> guilty_chips(Flop(10**25), Flop(989 * 10**12), Fraction(4, 10), DurationMs(30 * 86_400_000))
    9752
    """
    rate = positive_rate(1, peak_flop_per_s, utilisation)
    natural("duration in milliseconds", duration.value, 1)
    return max(1, run.value * MS_PER_S // (rate * duration.value))


def met_probability(visits: Sequence[Visit], fleet: int, sensitivity: Fraction) -> Fraction:
    """Return P = 1 - prod (1 - rho k_t/C)^(s_t), the probability that some visit meets the run.

    Drawn with replacement, so it errs on the low side: without replacement the same visits see more.

    Args:
        visits: k_t and s_t of each visit.
        fleet: C, chips in the fleet, at least 1.
        sensitivity: rho.

    Raises:
        StatisticsError: ``statistics-range``; ``statistics-too-large`` above ``MAX_LOOKS`` chips looked at.
    """
    natural("fleet", fleet, 1)
    share("sensitivity", sensitivity)
    looks = sum(natural("looked_at", visit.looked_at) for visit in visits)
    if looks > MAX_LOOKS:
        raise too_large("an exact probability of these visits takes too long", MAX_LOOKS, looks)
    missed = Fraction(1)
    for visit in visits:
        natural("guilty", visit.guilty, 0, fleet)
        missed *= (1 - sensitivity * Fraction(visit.guilty, fleet)) ** visit.looked_at
    return 1 - missed


def looks_needed(guilty: int, fleet: int, sensitivity: Fraction, miss: Fraction) -> int:
    """Return the fewest chips to look at, drawn with replacement, so that a run is missed with at most *miss*.

    Without replacement and with rho = 1 this is :func:`brakeline.treaty.statistics.attribute.smallest_sample`.

    Raises:
        StatisticsError: ``statistics-range``; ``statistics-unreachable`` when no chip shows the run.

    >>> looks_needed(9752, 10**6, Fraction(1), Fraction(1, 10))
    235
    """
    natural("fleet", fleet, 1)
    natural("guilty", guilty, 0, fleet)
    share("sensitivity", sensitivity)
    share("miss", miss)
    blind = 1 - sensitivity * Fraction(guilty, fleet)
    if blind == 1 and miss < 1:
        raise unreachable("no chip of the fleet shows the run", f"{guilty} of {fleet} chips, sensitivity {sensitivity}")
    if blind > 0 and miss == 0:
        raise unreachable("draws with replacement never exclude a miss", "miss 0")
    return smallest(lambda looks: power_at_most(blind, looks, miss))
