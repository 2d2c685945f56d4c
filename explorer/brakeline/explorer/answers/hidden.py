"""How much could a cheat hide at best? By bisection over magnitudes, in the same worlds; and what bulk can never see.

Two magnitudes of each adversary, in its best way: up to the *cautious* one it is caught in at most 1 - goal of all
worlds; above the *sure* one it is caught in at least the goal. Between them lies the gamble.

Bulk accounting in closed form: over all periods the energy balance errs by sigma; a loss is seen with the goal's
probability from (z_(1-alpha) + z_P) sigma on (:mod:`brakeline.treaty.statistics.exploring.muf`). That is the best that
any test of the same readings can do at that false alarm, whatever its parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from brakeline.explorer.answers.detect import Detection, Setup, detect, known
from brakeline.explorer.answers.figures import flop, percent, weakest
from brakeline.explorer.answers.forms import QUESTIONS, Answer, Cell, Column, Figure, Rule, Series
from brakeline.explorer.model.books import honest
from brakeline.explorer.model.sample import draw
from brakeline.explorer.scenario.form import Adversary, Grade
from brakeline.explorer.scenario.load import Scenario
from brakeline.treaty.statistics.exploring.muf import smallest_loss_seen

FALSE_ALARM = 0.05
"""alpha of the bulk bound, the customary one; rules in force accuse far less often, and so see less."""
_LEAST = 1e20
_STEPS = 9
_CAVEAT = (
    "One site, one way at a time, in the days of the scenario; a cheat with several sites hides as much at each. "
    "Chips that nobody declared have no such bound: what nothing in a log can see is the last question."
)


@dataclass(frozen=True, slots=True)
class Best:
    """What an adversary can hide, FLOP.

    *cautious*: with a risk of at most 1 - goal; *sure*: from where the goal is met, None where nothing that the chips
    can do is seen so surely; *most*: what the chips can do.
    """

    adversary: Adversary
    way: str
    cautious: float
    sure: float | None
    most: float


def answer(scenario: Scenario, trials: int | None = None) -> Answer:
    """Answer for *scenario*, with *trials* worlds (default: a quarter of the scenario's, at least 100)."""
    setup = Setup.of(scenario, trials or max(100, scenario.terms.run.trials // 4))
    found = [best(setup, item) for item in scenario.terms.adversaries if known(item) and not _residual(setup, item)]
    found.sort(key=lambda item: -item.cautious)
    bulk = bulk_bound(setup)
    return Answer(
        "hidden",
        QUESTIONS["hidden"],
        _sentence(setup, found, bulk),
        _CAVEAT,
        tuple(_figures(setup, found, bulk)),
        (_bars(setup, found), _sizes(setup)),
    )


def _residual(setup: Setup, adversary: Adversary) -> bool:
    item = detect(setup, adversary, setup.quantity)
    return item is not None and bool(item.residual)


def best(setup: Setup, adversary: Adversary) -> Best:
    """Return what *adversary* can hide, by bisection on the logarithm: within a hundredth of a factor of ten."""
    goal = setup.scenario.document.goals.detection
    aim = goal.numerator / goal.denominator
    ceiling = setup.habits.capacity * setup.habits.periods * setup.habits.hide_utilisation

    def at(magnitude: float) -> Detection | None:
        return detect(setup, adversary, magnitude)

    def possible(magnitude: float) -> bool:
        item = at(magnitude)
        return item is not None and 2 * item.feasible >= setup.trials

    most = ceiling if possible(ceiling) else _largest(possible, ceiling)

    def quiet(magnitude: float) -> bool:
        item = at(magnitude)
        return item is None or (item.probability or 0.0) <= 1.0 - aim + 1e-9

    def unsure(magnitude: float) -> bool:
        item = at(magnitude)
        return item is None or (item.probability or 0.0) < aim

    cautious = most if quiet(most) else _largest(quiet, most)
    sure = None if unsure(most) else _largest(unsure, most)
    last = at(max(cautious, _LEAST))
    return Best(adversary, "" if last is None else last.way, cautious, sure, most)


def _largest(holds: Callable[[float], bool], above: float) -> float:
    """Return about the largest magnitude below *above* for which *holds*; 0 where it does not even at 1e20 FLOP."""
    low, high = math.log10(_LEAST), math.log10(above)
    if not holds(_LEAST):
        return 0.0
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if holds(10.0**middle) else (low, middle)
    return float(10.0**low)


def bulk_bound(setup: Setup, chips: float | None = None) -> float:
    """Return the FLOP that the energy balance of the whole time sees with the goal's probability, at alpha 5 %.

    sigma = error x sqrt(r + (1 - r)/periods) x attested energy; a FLOP of hidden training draws its joules less those
    of the idling that it replaces.
    """
    habits, goal = setup.habits, setup.scenario.document.goals.detection
    attested = float(np.mean(honest(habits, draw(habits, setup.seed, setup.trials)).attested)) * habits.energy
    attested *= habits.periods * (1.0 if chips is None else chips / habits.chips)
    sigma = habits.error * math.sqrt(habits.correlation + (1.0 - habits.correlation) / habits.periods) * attested
    if sigma == 0.0:
        return 0.0
    loss = smallest_loss_seen(sigma, FALSE_ALARM, goal.numerator / goal.denominator)
    watts = habits.hide_power * (habits.board_watts - habits.idle_watts)
    return loss / watts * habits.peak * habits.hide_utilisation if watts else math.inf


def _figures(setup: Setup, found: Sequence[Best], bulk: float) -> Iterator[Figure]:
    goal = setup.scenario.document.goals.detection
    aim = goal.numerator / goal.denominator
    top = found[0] if found else None
    formula = f"largest FLOP with P(caught) <= {1 - aim:.3g}, best adversary and way"
    note = "" if top is None else f"{top.adversary.name}: {top.adversary.strategy}, {top.way}"
    value = None if top is None else top.cautious
    yield Figure(
        "best",
        "hidden at best at one site, cautiously",
        value,
        "FLOP",
        formula,
        Grade.ASSUMED,
        "simulation",
        seed=setup.seed,
        trials=setup.trials,
        note=note,
    )
    for item in found:
        name = item.adversary.name
        note = f"{item.adversary.strategy}, {item.way}"
        note += "" if item.cautious < item.most * 0.97 else "; all that the chips can do"
        yield Figure(
            f"cautious-{name}",
            f"{name}: cautiously",
            item.cautious,
            "FLOP",
            formula,
            Grade.ASSUMED,
            "simulation",
            seed=setup.seed,
            trials=setup.trials,
            note=note,
        )
        above = "" if item.sure is not None else "nothing that the chips can do is seen so surely"
        yield Figure(
            f"sure-{name}",
            f"{name}: seen with {percent(aim)} from",
            item.sure,
            "FLOP",
            f"least FLOP with P(caught) >= {aim:.3g}",
            Grade.ASSUMED,
            "simulation",
            seed=setup.seed,
            trials=setup.trials,
            note=above,
        )
    meters = setup.scenario.terms.meters
    formula = "(z_.95 + z_goal) error sqrt(r + (1-r)/periods) x energy, as FLOP of hidden training"
    yield Figure(
        "bulk",
        "least that any test of a site's energy balance can see",
        bulk,
        "FLOP",
        formula,
        weakest(meters.error, meters.correlation, setup.scenario.fleet.chips),
        "R. Avenhaus and M. J. Canty, Compliance Quantified, 1996, ch. 5",
    )
    lowest = min((line.flop.value for line in setup.scenario.document.thresholds), default=None)
    yield Figure(
        "lowest-line",
        "the treaty's lowest line",
        None if lowest is None else float(lowest),
        "FLOP",
        "threshold.flop",
        Grade.DERIVED,
        "the treaty",
    )


def _sentence(setup: Setup, found: Sequence[Best], bulk: float) -> str:
    goal = setup.scenario.document.goals.detection
    risk = percent(1 - goal.numerator / goal.denominator)
    if not found:
        return "The fast model knows none of this scenario's adversaries."
    top = found[0]
    told = (
        f"With a risk of {risk} a cheat hides {flop(top.cautious)} FLOP at one site in {setup.scenario.terms.run.days} "
        f"days, by {top.adversary.name} ({top.adversary.strategy})"
    )
    lines = [line for line in setup.scenario.document.thresholds if line.flop.value < bulk]
    if lines:
        told += f"; bulk accounting alone cannot see less than {flop(bulk)} there, and so cannot guard the line at "
        told += flop(float(lines[0].flop.value))
    return told + "."


def _bars(setup: Setup, found: Sequence[Best]) -> Series:
    rows: list[tuple[Cell, ...]] = [
        (item.adversary.name, item.adversary.strategy, item.way, item.cautious or None, item.sure, item.most)
        for item in found
    ]
    columns = (
        Column("adversary", "adversary", kind="name"),
        Column("strategy", "strategy", kind="name"),
        Column("way", "best way", kind="name"),
        Column("cautious", "hidden cautiously", "FLOP", log=True),
        Column("sure", "surely seen from", "FLOP", log=True),
        Column("most", "what the chips can do", "FLOP", log=True),
    )
    rules = tuple(
        Rule("cautious", float(line.flop.value), f"line: {line.name}") for line in setup.scenario.document.thresholds
    )
    rules += (Rule("cautious", setup.quantity, "significant quantity"),)
    title = f"What can be hidden at one site in {setup.scenario.terms.run.days} days"
    return Series(
        "best", title, columns, tuple(rows), "bar", "adversary", "cautious", low="cautious", high="sure", rules=rules
    )


def _sizes(setup: Setup) -> Series:
    """Return what the bulk bound is for sites of other sizes: it grows with the site, lines do not."""
    sizes = [10 ** (2 + step / 4) for step in range(17)]
    rows = tuple((size, bulk_bound(setup, size)) for size in sizes)
    columns = (
        Column("chips", "chips of a site", log=True),
        Column("flop", "least that bulk accounting sees", "FLOP", log=True),
    )
    rules = tuple(
        Rule("flop", float(line.flop.value), f"line: {line.name}") for line in setup.scenario.document.thresholds
    )
    title = "What bulk accounting cannot see, by the size of a site"
    return Series(
        "bulk",
        title,
        columns,
        rows,
        "line",
        "chips",
        "flop",
        rules=(*rules, Rule("chips", setup.habits.chips, "a site of the scenario")),
    )
