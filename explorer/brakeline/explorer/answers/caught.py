"""What would be caught, and when? By simulation; against the breakout line t = SQ/(N H U), in closed form.

Breakout: the time in which the chips of a site, all of them, compute a significant quantity
(:mod:`brakeline.treaty.statistics.timeliness`). Detecting, deciding and stopping must fit inside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from brakeline.explorer.answers.detect import Detection, Setup, detect, response_days
from brakeline.explorer.answers.figures import DAY_MS, days, flop, percent, weakest
from brakeline.explorer.answers.forms import QUESTIONS, Answer, Column, Figure, Rule, Series
from brakeline.explorer.scenario.form import Grade
from brakeline.explorer.scenario.load import Scenario
from brakeline.treaty.quantities import Flop
from brakeline.treaty.spotcheck.draw import rows_to_draw
from brakeline.treaty.statistics.attribute import miss_probability
from brakeline.treaty.statistics.timeliness import time_to_quantity

_CAVEAT = (
    "Simulated sites whose habits are assumptions, cheats that somebody thought of, one at a time; the rules are those "
    "that verifiers run. Who has no chips for it in the time is left out; what nothing in a log can see is not counted."
)


def answer(scenario: Scenario, trials: int | None = None) -> Answer:
    """Answer for *scenario*, with *trials* worlds (default: the scenario's)."""
    setup = Setup.of(scenario, trials)
    magnitudes = sorted({*scenario.terms.hiding.flop, setup.quantity})
    found = [
        item
        for adversary in scenario.terms.adversaries
        for magnitude in magnitudes
        if (item := detect(setup, adversary, magnitude)) is not None
    ]
    at = [item for item in found if item.flop == setup.quantity]
    worst = worst_of(at)
    figures = tuple(_figures(setup, at, worst))
    series = (_curves(setup, found), _breakout(setup))
    return Answer("caught", QUESTIONS["caught"], _sentence(setup, at, worst), _CAVEAT, figures, series)


def worst_of(found: Sequence[Detection]) -> Detection | None:
    """Return the detection that is least likely, of adversaries that are feasible and no residual."""
    counted = [item for item in found if item.feasible and not item.residual]
    return min(counted, key=lambda item: item.probability or 0.0, default=None)


def breakout_days(scenario: Scenario, chips: int) -> float:
    """Return t = SQ/(N H U) in days, for *chips* like those of the fleet that is looked at."""
    fleet = scenario.fleet
    peak = scenario.chip(fleet.chip_class).peak_flop_per_s
    quantity = scenario.document.goals.significant_quantity_flop
    use = Fraction(scenario.terms.hiding.utilisation.value).limit_denominator(10_000)
    return time_to_quantity(Flop(quantity.value), chips, peak, use) / DAY_MS


def needed_days(setup: Setup) -> float | None:
    """Return the least time to report, decide and stop, days; None where the time to decide is not asked."""
    act = response_days(setup.scenario)
    report = setup.scenario.document.deadlines.report_ms.value / DAY_MS
    return None if act is None else act + report + setup.period_days


def row_checks(setup: Setup) -> float | None:
    """Return the probability that opened rows alone show a significant quantity; None where no rows are drawn.

    Closed form: each period d of N rows are false, n are drawn, each recognised with row_sensitivity; periods are
    independent (:func:`brakeline.treaty.statistics.attribute.miss_probability`).
    """
    document, habits = setup.scenario.document, setup.habits
    opening = document.rule("false-opening")
    if opening is None or document.rule("unopened-challenge") is None:
        return None
    slots = max(1, opening.integer("slots"))
    rows = habits.chips * slots
    periods = habits.periods - 2 * habits.day
    share = min(1.0, setup.quantity / periods / habits.capacity / max(habits.hide_utilisation, 1e-9))
    seen = Fraction(setup.scenario.terms.meters.row_sensitivity.value).limit_denominator(1000)
    missed = miss_probability(rows, round(share * rows), min(rows, rows_to_draw(document, rows, slots)), seen)
    return float(1 - float(missed) ** periods)


def _figures(setup: Setup, at: Sequence[Detection], worst: Detection | None) -> Iterator[Figure]:
    scenario, goal = setup.scenario, setup.scenario.document.goals.detection
    yield _probability("worst", "the cheat that is seen least, at a significant quantity", setup, worst)
    for item in at:
        yield _probability(f"caught-{item.adversary.name}", f"caught: {item.adversary.name}", setup, item)
    late = [item for item in at if item.feasible and not item.residual]
    timely = min((item.in_time / item.feasible for item in late), default=None)
    formula = "P(detect + decide + stop before the run has reached SQ), the least of all adversaries"
    note = "" if response_days(scenario) is not None else "without the time to decide, which is not asked"
    yield Figure(
        "in-time",
        "caught in time",
        timely,
        "",
        formula,
        Grade.ASSUMED,
        "simulation",
        seed=setup.seed,
        trials=setup.trials,
        note=note,
    )
    t = breakout_days(scenario, setup.habits.chips)
    grade = weakest(scenario.fleet.chips, scenario.terms.hiding.utilisation)
    source = "IAEA Safeguards Glossary 2022, sec. 3"
    yield Figure(
        "breakout", "breakout: a site's chips make a significant quantity", t, "days", "SQ/(N H U)", grade, source
    )
    total = needed_days(setup)
    asked = "" if total is not None else "response.decide_days is not given: not asked"
    formula = "report_ms + period_ms + decide + stop_ms"
    yield Figure("needed", "least time to report, decide and stop", total, "days", formula, Grade.ASSUMED, note=asked)
    rows = row_checks(setup)
    formula = "1 - (sum_j Hyp(j) (1-q)^j)^periods"
    note = "" if rows is not None else "the treaty draws no rows"
    grade = weakest(scenario.terms.meters.row_sensitivity)
    yield Figure("rows", "opened rows alone show it", rows, "", formula, grade, "attribute sampling", note=note)
    aim = goal.numerator / goal.denominator
    yield Figure("goal", "what the treaty wants", aim, "", "goals.detection", Grade.DERIVED, "the treaty")


def _probability(name: str, title: str, setup: Setup, item: Detection | None) -> Figure:
    if item is None or not item.feasible:
        note = "the chips cannot do it in the time"
        return Figure(name, title, None, "", "caught / worlds", Grade.ASSUMED, note=note)
    ends = item.interval
    assert ends is not None
    note = f"{item.adversary.strategy}, {item.way}"
    note += f"; nothing in a log can see it: {item.residual}" if item.residual else ""
    return Figure(
        name,
        title,
        item.probability,
        "",
        "worlds in which a rule speaks that is silent of the honest site / worlds",
        Grade.ASSUMED,
        "simulation",
        setup.seed,
        item.feasible,
        ends.low,
        ends.high,
        note,
    )


def _sentence(setup: Setup, at: Sequence[Detection], worst: Detection | None) -> str:
    document = setup.scenario.document
    quantity = flop(setup.quantity)
    if worst is None or worst.probability is None:
        return f"No adversary of this scenario can hide {quantity} FLOP in {setup.scenario.terms.run.days} days."
    goal = document.goals.detection
    counted = [item for item in at if item.feasible and not item.residual]
    enough = [item for item in counted if (item.probability or 0.0) * goal.denominator >= goal.numerator]
    aim = percent(goal.numerator / goal.denominator)
    told = f"{len(enough)} of {len(counted)} ways to hide {quantity} FLOP at one site are caught as often as "
    told += f"the treaty wants ({aim})"
    delays = [item.delay_days for item in enough if item.delay_days is not None]
    if delays:
        told += f", the slowest of them after {days(max(delays))}"
    breakout = days(breakout_days(setup.scenario, setup.habits.chips))
    if len(enough) < len(counted):
        told += f"; {worst.adversary.name} ({worst.adversary.strategy}) only with {percent(worst.probability)}"
    told += f"; such a site breaks out in {breakout}"
    need = needed_days(setup)
    if need is not None:
        inside = need <= breakout_days(setup.scenario, setup.habits.chips)
        told += f", and to report, decide and stop takes {days(need)}: {'in time' if inside else 'too late'}"
    return told + "."


def _curves(setup: Setup, found: Sequence[Detection]) -> Series:
    columns = (
        Column("adversary", "adversary", kind="name"),
        Column("strategy", "strategy", kind="name"),
        Column("way", "in the way that is seen least", kind="name"),
        Column("flop", "hidden training", "FLOP", log=True),
        Column("probability", "probability to be caught"),
        Column("low", "95 %: low"),
        Column("high", "95 %: high"),
        Column("delay_days", "median time until it is known", "days"),
        Column("in_time", "caught in time"),
        Column("worlds", "worlds in which it is possible"),
    )
    rows = tuple(
        (
            item.adversary.name,
            item.adversary.strategy,
            item.way,
            item.flop,
            item.probability,
            item.interval.low if item.interval else None,
            item.interval.high if item.interval else None,
            item.delay_days,
            item.in_time / item.feasible if item.feasible else None,
            item.feasible,
        )
        for item in found
    )
    goal = setup.scenario.document.goals.detection
    rules = (
        Rule("flop", setup.quantity, "significant quantity"),
        Rule("probability", goal.numerator / goal.denominator, "goal"),
    )
    title = f"Caught within {setup.scenario.terms.run.days} days, by how much is hidden at one site"
    return Series("curves", title, columns, rows, "line", "flop", "probability", "adversary", "low", "high", rules)


def _breakout(setup: Setup) -> Series:
    scenario = setup.scenario
    sizes = [round(10 ** (2 + step / 6)) for step in range(31)]
    rows = tuple((chips, breakout_days(scenario, chips)) for chips in sizes)
    columns = (Column("chips", "chips", log=True), Column("days", "breakout", "days", log=True))
    need = response_days(scenario)
    report = scenario.document.deadlines.report_ms.value / DAY_MS + setup.period_days
    rules = [Rule("chips", setup.habits.chips, "a site of the scenario")]
    if need is not None:
        rules.append(Rule("days", need + report, "report, decide and stop"))
    title = "How long a site's chips need for a significant quantity"
    return Series("breakout", title, columns, rows, "line", "chips", "days", rules=tuple(rules))
