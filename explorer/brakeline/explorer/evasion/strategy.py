"""What a strategy of evasion is, and what it is asked to hide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from brakeline.explorer.worlds.world import World
from brakeline.treaty.findings import Severity
from brakeline.treaty.statements import Activity


class Infeasible(Exception):
    """The site's chips cannot do what is asked in the time: nothing to hide."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a cheat is to do.

    Attributes:
        flop: training to be hidden, FLOP.
        begins, ends: the periods in which it runs.
        way: which of the strategy's ways.
        chance: the cheat's own random numbers, seeded.
    """

    flop: int
    begins: int
    ends: int
    way: str
    chance: Random

    @property
    def periods(self) -> range:
        """The periods in which it runs."""
        return range(self.begins, self.ends)


@dataclass(frozen=True, slots=True)
class Strategy:
    """One way round.

    Attributes:
        name: kebab-case; *does*: what the cheat does, in a sentence.
        seen_by: rules that are meant to see it.
        ways: the forms it may take; the corpus finds the one that is seen least.
        cheat: turns an honest world into the cheat's, in place (:class:`Infeasible`).
        residual: why nothing in the logs can see it, where that is so; "" where it counts as a miss.
        least: from which severity a finding counts as seen.
        sites: how many sites its world needs; the first is the cheat's.
        days: how many days its world needs at the least.
    """

    name: str
    does: str
    seen_by: tuple[str, ...]
    cheat: Callable[[World, Plan], None]
    ways: tuple[str, ...] = ("as it is",)
    residual: str = ""
    least: Severity = Severity.DISCREPANCY
    sites: int = 1
    days: int = 0


WORKING = (Activity.INFERENCE, Activity.EVALUATION, Activity.OTHER)
"""Activities that may use chips and are not training."""
