"""Evidence fusion: independent hints add up in log-odds, hints that share a cause do not.

log O = log O_0 + sum over groups g of d_g x (sum of log LR_i in g), with d_g = 1 / (1 + (n_g - 1) r_g).

A likelihood ratio says how much more likely the observation is if the site cheats than if it is honest (I. J. Good,
*Probability and the Weighing of Evidence*, 1950). The discount d is that of n equally correlated observations with a
normal error: it is exact for those (their joint likelihood ratio is that power of the product), and L. Kish's design
effect (*Survey Sampling*, 1965) elsewhere. With r = 1 a group of n says as much as its average item once.

What it cannot do: find out which hints share a cause. Whoever says r = 0 claims independence, and must defend it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from brakeline.treaty.statistics.exploring.normal import Number, number

_MOST = 1e30


@dataclass(frozen=True, slots=True)
class Hint:
    """One observation: its likelihood ratio (cheat over honest), and the group it shares a cause with."""

    likelihood_ratio: float
    group: str


def fuse(prior: Number, hints: Sequence[Hint], correlation: Mapping[str, float]) -> float:
    """Return the probability of a cheat after all *hints*.

    Args:
        prior: probability before them, in (0, 1).
        hints: observations; order does not matter.
        correlation: r of each group, 0 (independent) to 1 (the same thing seen n times). Every group must be named:
            there is no default, because 0 would be a claim that nobody made.

    Raises:
        StatisticsError: ``statistics-range``.
        KeyError: a group without a correlation.

    >>> fuse(0.5, [Hint(3.0, "meters"), Hint(3.0, "meters")], {"meters": 1.0})
    0.75
    >>> round(fuse(0.5, [Hint(3.0, "meters"), Hint(3.0, "meters")], {"meters": 0.0}), 3)
    0.9
    """
    prior = number("prior", prior, 0.0, 1.0, open_ends=True)
    groups: dict[str, list[float]] = {}
    for hint in hints:
        ratio = number("likelihood_ratio", hint.likelihood_ratio, 1.0 / _MOST, _MOST)
        groups.setdefault(hint.group, []).append(math.log(ratio))
    log_odds = math.log(prior) - math.log1p(-prior)
    for group, logs in sorted(groups.items()):
        shared = number("correlation", correlation[group], 0.0, 1.0)
        log_odds += math.fsum(logs) / (1.0 + (len(logs) - 1) * shared)
    if log_odds >= 0.0:
        return 1.0 / (1.0 + math.exp(-min(log_odds, 700.0)))
    return math.exp(max(log_odds, -700.0)) / (1.0 + math.exp(max(log_odds, -700.0)))
