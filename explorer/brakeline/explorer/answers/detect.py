"""How surely and how soon cheats are caught: the fast model asked by adversary and magnitude, the worst way first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from brakeline.explorer.answers.figures import DAY_MS
from brakeline.explorer.evasion import STRATEGIES
from brakeline.explorer.model.books import WAYS
from brakeline.explorer.model.habits import Habits, RuleBook
from brakeline.explorer.model.intervals import Interval, clopper_pearson, wilson
from brakeline.explorer.model.rules import Outcome, play, ways
from brakeline.explorer.scenario.form import Adversary
from brakeline.explorer.scenario.load import Scenario


@dataclass(frozen=True, slots=True)
class Setup:
    """What is asked: a scenario, its habits and rules as the model takes them, how many worlds, whence."""

    scenario: Scenario
    habits: Habits
    rules: RuleBook
    seed: int
    trials: int

    @classmethod
    def of(cls, scenario: Scenario, trials: int | None = None) -> Setup:
        """Return the setup that *scenario* states; fewer *trials* where time is short."""
        habits, run = Habits.of(scenario), scenario.terms.run
        return cls(scenario, habits, RuleBook.of(scenario.document, habits), run.seed, trials or run.trials)

    @property
    def period_days(self) -> float:
        """Length of a period."""
        return 1.0 / self.habits.day

    @property
    def quantity(self) -> float:
        """The significant quantity, FLOP."""
        return float(self.scenario.document.goals.significant_quantity_flop.value)


@dataclass(frozen=True, slots=True)
class Detection:
    """What comes of one adversary who hides *flop*, in the way that is seen least.

    Attributes:
        feasible: worlds in which the chips can do it; 0 where they never can.
        caught: in how many of these; *in_time*: before the run has become a significant quantity, with decide and stop.
        delay_days: median from the begin of hiding until books that give it away are due; None where none do.
    """

    adversary: Adversary
    way: str
    flop: float
    feasible: int
    caught: int
    in_time: int
    delay_days: float | None

    @property
    def probability(self) -> float | None:
        """The share of feasible worlds in which it is caught."""
        return self.caught / self.feasible if self.feasible else None

    @property
    def interval(self) -> Interval | None:
        """95 % of it: Wilson's, or at 0 and 1 Clopper and Pearson's."""
        if not self.feasible:
            return None
        certain = self.caught in (0, self.feasible)
        return (clopper_pearson if certain else wilson)(self.caught, self.feasible)

    @property
    def residual(self) -> str:
        """Why nothing in a log can see it; "" where something may."""
        return STRATEGIES[self.adversary.strategy].residual


def known(adversary: Adversary) -> bool:
    """Say whether the fast model knows what *adversary* does."""
    return bool(WAYS.get(adversary.strategy)) and bool(ways(adversary.strategy, adversary.way))


def detect(setup: Setup, adversary: Adversary, flop: float) -> Detection | None:
    """Return what comes of *adversary*; of several ways the one that is caught least, then latest. None: not known."""
    found = [
        _detection(setup, adversary, way, flop, play(*_key(setup), adversary.strategy, way, flop))
        for way in ways(adversary.strategy, adversary.way)
    ]
    possible = [item for item in found if item.feasible]
    if not possible:
        return found[0] if found else None
    return min(possible, key=lambda item: (item.probability or 0.0, -(item.delay_days or 1e9)))


def _key(setup: Setup) -> tuple[Habits, RuleBook, int, int]:
    return setup.habits, setup.rules, setup.seed, setup.trials


def _detection(setup: Setup, adversary: Adversary, way: str, flop: float, outcome: Outcome) -> Detection:
    seen = outcome.feasible & (outcome.caught < outcome.periods)
    report = setup.scenario.document.deadlines.report_ms.value / DAY_MS
    delays = outcome.delays * setup.period_days + report
    ready = _ready_days(setup, flop, outcome)
    act = response_days(setup.scenario) or 0.0
    return Detection(
        adversary,
        way,
        flop,
        int(outcome.feasible.sum()),
        int(seen.sum()),
        int((delays + act <= ready).sum()),
        float(np.median(delays)) if delays.size else None,
    )


def _ready_days(setup: Setup, flop: float, outcome: Outcome) -> float:
    """Return after how many days of hiding the run has become a significant quantity, at its pace."""
    span = (outcome.periods - setup.habits.day - outcome.began) * setup.period_days
    return span * setup.quantity / flop


def response_days(scenario: Scenario) -> float | None:
    """Return decide + stop, days; None where the time to decide is not given."""
    decide = scenario.terms.response.decide_days
    return None if decide is None else decide.value + scenario.document.deadlines.stop_ms.value / DAY_MS
