"""Holds the fast model against exact mode: the same worlds, through arrays and through the judge of verifiers.

Both say of every world whether, and in which period, a cheat is known. What is reported: both probabilities with their
intervals, and in how many worlds the two do not say the same. Judging the same worlds twice shows a difference that two
independent samples of the size would not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from brakeline.explorer.model import exact
from brakeline.explorer.model.habits import Habits, RuleBook
from brakeline.explorer.model.intervals import Interval, clopper_pearson, wilson
from brakeline.explorer.model.rules import play
from brakeline.treaty.document import TreatyDocument


@dataclass(frozen=True, slots=True)
class Agreement:
    """What both said.

    Attributes:
        strategy, way, flop: what was hidden how.
        worlds: in which it is feasible, by exact mode.
        exact, fast: in how many of these each says that it is caught.
        differ: in how many they differ about that; *later*: about the period, where both say that it is.
    """

    strategy: str
    way: str
    flop: int
    worlds: int
    exact: int
    fast: int
    differ: int
    later: int

    @property
    def exact_interval(self) -> Interval:
        """95 % of the probability, by exact mode: Wilson's."""
        return wilson(self.exact, self.worlds)

    @property
    def fast_interval(self) -> Interval:
        """95 % of the probability, by the fast model in the same worlds."""
        return wilson(self.fast, self.worlds)

    @property
    def difference(self) -> Interval:
        """95 % of the probability that the two differ in a world: Clopper and Pearson's."""
        return clopper_pearson(self.differ, self.worlds)

    @property
    def half_width(self) -> float:
        """Half of the exact interval's width."""
        low, high = self.exact_interval
        return (high - low) / 2

    @property
    def agrees(self) -> bool:
        """Whether each probability lies in the other's interval."""
        share, other = self.exact / self.worlds, self.fast / self.worlds
        low, high = self.exact_interval
        tiny = 1e-9
        inside = low - tiny <= other <= high + tiny
        return inside and self.fast_interval.low - tiny <= share <= self.fast_interval.high + tiny


def compare(
    document: TreatyDocument,
    habits: Habits,
    strategy: str,
    way: str,
    flop: int,
    seed: int,
    worlds: int,
    jobs: int = 1,
) -> Agreement | None:
    """Play *worlds* worlds both ways; None where the chips can do it in none.

    Raises:
        ScenarioError: ``exact-habits``: habits that the corpus's cheats do not share.
    """
    case = exact.Case(document.to_canonical(), habits, strategy, way, flop)
    verdicts = exact.play(case, seed, range(worlds), jobs)
    outcome = play(habits, RuleBook.of(document, habits), seed, worlds, strategy, way, float(flop))
    known = np.array([habits.periods if item.known is None else item.known for item in verdicts])
    possible = np.array([item.feasible for item in verdicts])
    if not possible.any():
        return None
    one, other = (known < habits.periods)[possible], (outcome.caught < habits.periods)[possible]
    same = one & other
    later = int((known[possible] != outcome.caught[possible])[same].sum())
    return Agreement(
        strategy, way, flop, int(possible.sum()), int(one.sum()), int(other.sum()), int((one != other).sum()), later
    )
